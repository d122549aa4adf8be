"""Sets of wall times: what a schedule says before any zone turns it into instants.

A wall time is counted in seconds as if the zone were UTC. Sets are searched both ways and
streamed in chunks: pairs of a base and offsets from it, both in microseconds, so that a day of a
frequent schedule costs one pair.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from cronq.schedule.days import NEVER, DaySet
from cronq.schedule.masks import bits

DAY_S = 86400
US = 1_000_000
DAY_US = DAY_S * US

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
        """The members in low <= wall < high, ascending."""
        single = self._seconds & (self._seconds - 1) == 0
        inner = [0] if single else [second * US for second in bits(self._seconds)]
        shift = _lowest(self._seconds) * US if single else 0
        whole = [minute * 60 * US + shift for minute in bits(self._minutes)]
        low_us, high_us = low * US, high * US
        day = self._days.first(low // DAY_S)
        while (base := day * DAY_US) < high_us:
            minutes = whole
            if base < low_us or base + DAY_US > high_us:
                # A chunk of a minute may hold members on both sides of the border.
                margin = 0 if single else 60 * US
                minutes = [tod for tod in whole if low_us - margin <= base + tod < high_us]
            if single:
                yield base, minutes
            else:
                yield from _minute_chunks(base, minutes, inner, low_us, high_us)
            day = self._days.first(day + 1)

    def count(self, low: int, high: int) -> int:
        """How many members are in low <= wall < high."""
        if low >= high:
            return 0
        first_day, first_tod = divmod(low, DAY_S)
        last_day, last_tod = divmod(high, DAY_S)
        total = self._days.count(first_day, last_day) * self._before(DAY_S)
        if self._days.first(first_day) == first_day:
            total -= self._before(first_tod)
        if last_tod and self._days.first(last_day) == last_day:
            total += self._before(last_tod)
        return total

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


def _minute_chunks(
    base: int, minutes: Sequence[int], seconds: list[int], low_us: int, high_us: int
) -> Iterator[Chunk]:
    for tod in minutes:
        start = base + tod
        if start < low_us or start + 60 * US > high_us:
            yield start, [second for second in seconds if low_us <= start + second < high_us]
        else:
            yield start, seconds


def _lowest(mask: int) -> int:
    return (mask & -mask).bit_length() - 1
