"""Sets of wall times: what a schedule says before any zone turns it into instants.

A wall time is counted in seconds as if the zone were UTC. Sets are searched both ways and
streamed in chunks: pairs of a base and offsets from it, both in microseconds, so that a day of a
frequent schedule costs one pair.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from cronq.schedule.days import NEVER, DaySet
from cronq.schedule.masks import bits

DAY_S = 86400
US = 1_000_000
MINUTE_US = 60 * US
DAY_US = DAY_S * US
_MANY = 48
"""So many fire times a day are streamed by the hour."""

Chunk = tuple[int, Sequence[int]]


class Walls(Protocol):
    """A set of wall times."""

    def first(self, wall: int) -> int:
        """The first member at or after `wall`, or `NEVER`."""

    def last(self, wall: int) -> int:
        """The last member at or before `wall`, or `-NEVER`."""

    def chunks(self, low: int, high: int) -> Iterator[Chunk]:
        """The members in low <= wall < high, ascending."""

    def count(self, low: int, high: int) -> int:
        """How many members are in low <= wall < high."""


def count_days(days: DaySet, before: Callable[[int], int], low: int, high: int) -> int:
    """How many members are in low <= wall < high, if each of the days has the same.

    Args:
        days: The days that have members.
        before: How many members of a day come before a second of it.
        low: Wall seconds.
        high: Wall seconds.
    """
    if low >= high:
        return 0
    first_day, first_tod = divmod(low, DAY_S)
    last_day, last_tod = divmod(high, DAY_S)
    total = days.count(first_day, last_day) * before(DAY_S)
    if days.first(first_day) == first_day:
        total -= before(first_tod)
    if last_tod and days.first(last_day) == last_day:
        total += before(last_tod)
    return total


class CronWalls:
    """Days times minutes of the day times seconds of the minute.

    Args:
        days: The days.
        minutes: Bit n is minute n of the day, 0 to 1439; never empty.
        seconds: Bit n is second n of the minute; never empty.
    """

    __slots__ = ("_days", "_first_tod", "_minutes", "_seconds")

    def __init__(self, days: DaySet, minutes: int, seconds: int = 1) -> None:
        self._days = days
        self._minutes = minutes
        self._seconds = seconds
        self._first_tod = _lowest(minutes) * 60 + _lowest(seconds)

    def first(self, wall: int) -> int:
        """The first member at or after `wall`, or `NEVER`."""
        if self._seconds == 1:
            return self._first_minute((wall + 59) // 60)
        day, tod = divmod(wall, DAY_S)
        found = self._days.first(day)
        if found == day:
            minute, second = divmod(tod, 60)
            rest = self._minutes >> minute
            if rest & 1:
                later = self._seconds >> second
                if later:
                    return wall + (later & -later).bit_length() - 1
                rest ^= 1
            if rest:
                minute += (rest & -rest).bit_length() - 1
                return day * DAY_S + minute * 60 + self._first_tod % 60
            found = self._days.first(day + 1)
        return found * DAY_S + self._first_tod if found < NEVER else NEVER

    def _first_minute(self, minute: int) -> int:
        """`first` for whole minutes, the case that must be quick."""
        day = minute // 1440
        found = self._days.first(day)
        if found == day:
            rest = self._minutes >> minute - day * 1440
            if rest & 1:
                return minute * 60
            if rest:
                return (minute + (rest & -rest).bit_length() - 1) * 60
            found = self._days.first(day + 1)
        return found * DAY_S + self._first_tod if found < NEVER else NEVER

    def last(self, wall: int) -> int:
        """The last member at or before `wall`, or `-NEVER`."""
        day, tod = divmod(wall, DAY_S)
        found = self._days.last(day)
        minutes = self._minutes
        if found == day:
            minute, second = divmod(tod, 60)
            if minutes >> minute & 1:
                earlier = self._seconds & (2 << second) - 1
                if earlier:
                    return wall - second + earlier.bit_length() - 1
            rest = minutes & (1 << minute) - 1
            if rest:
                return day * DAY_S + (rest.bit_length() - 1) * 60 + self._seconds.bit_length() - 1
            found = self._days.last(day - 1)
        if found <= -NEVER:
            return -NEVER
        return found * DAY_S + (minutes.bit_length() - 1) * 60 + self._seconds.bit_length() - 1

    def chunks(self, low: int, high: int) -> Iterator[Chunk]:
        """The members in low <= wall < high, ascending: by days, hours or minutes, as dense as they are."""
        pieces, size = self._pieces()
        low_us, high_us = low * US, high * US
        day = self._days.first(low // DAY_S)
        while (base := day * DAY_US) < high_us:
            for start, offsets in pieces:
                opens = base + start
                if opens >= high_us:
                    break
                if opens >= low_us and opens + size <= high_us:
                    yield opens, offsets
                elif opens + size > low_us:
                    yield opens, [at for at in offsets if low_us <= opens + at < high_us]
            day = self._days.first(day + 1)

    def _pieces(self) -> tuple[list[Chunk], int]:
        """The chunks of one day and the time that each of them covers, in microseconds."""
        if self._seconds & (self._seconds - 1):
            seconds = [second * US for second in bits(self._seconds)]
            return [(minute * MINUTE_US, seconds) for minute in bits(self._minutes)], MINUTE_US
        shift = _lowest(self._seconds) * US
        if self._minutes.bit_count() <= _MANY:
            return [(0, [minute * MINUTE_US + shift for minute in bits(self._minutes)])], DAY_US
        pieces: list[Chunk] = []
        # Most hours look alike: they share one list, which the reader recognises.
        known: dict[int, list[int]] = {}
        for hour in range(24):
            minutes = self._minutes >> hour * 60 & (1 << 60) - 1
            if minutes and minutes not in known:
                known[minutes] = [minute * MINUTE_US + shift for minute in bits(minutes)]
            if minutes:
                pieces.append((hour * 60 * MINUTE_US, known[minutes]))
        return pieces, 60 * MINUTE_US

    def count(self, low: int, high: int) -> int:
        """How many members are in low <= wall < high."""
        return count_days(self._days, self._before, low, high)

    def _before(self, tod: int) -> int:
        minute, second = divmod(tod, 60)
        total = (self._minutes & (1 << minute) - 1).bit_count() * self._seconds.bit_count()
        if self._minutes >> minute & 1:
            total += (self._seconds & (1 << second) - 1).bit_count()
        return total


class Since:
    """The members of another set at or after a wall time."""

    __slots__ = ("_start", "_walls")

    def __init__(self, walls: Walls, start: int) -> None:
        self._walls = walls
        self._start = start

    def first(self, wall: int) -> int:
        """The first member at or after `wall`, or `NEVER`."""
        return self._walls.first(max(wall, self._start))

    def last(self, wall: int) -> int:
        """The last member at or before `wall`, or `-NEVER`."""
        found = self._walls.last(wall)
        return found if found >= self._start else -NEVER

    def chunks(self, low: int, high: int) -> Iterator[Chunk]:
        """The members in low <= wall < high, ascending."""
        return self._walls.chunks(max(low, self._start), high)

    def count(self, low: int, high: int) -> int:
        """How many members are in low <= wall < high."""
        return self._walls.count(max(low, self._start), high)


def _lowest(mask: int) -> int:
    return (mask & -mask).bit_length() - 1
