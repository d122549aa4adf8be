"""Wall times at even distances: what `every 10m` names.

Two kinds of counting, so that neither surprises:

* **steady**: on and on from one wall time, always the same distance apart (`every 70m`, `every 36h`);
* **daily**: anew each day from a time of day (`every 50m from 09:00`, `… between 09:00-17:00`).

They are the same where the interval divides the day.
"""

from __future__ import annotations

from collections.abc import Iterator

from cronq.schedule.days import FIRST_DAY, HORIZON_YEARS, LAST_DAY, NEVER, DaySet, Weekdays, weekday_of
from cronq.schedule.walls import DAY_S, DAY_US, US, Chunk, count_days

# Monday 1970-01-05 00:00: a midnight, and the start of a week for intervals of weeks.
STEADY_ANCHOR = 4 * DAY_S
_HORIZON_S = HORIZON_YEARS * 366 * DAY_S


class SteadyWalls:
    """Every `step` seconds, counted on from `anchor` both ways, on some weekdays.

    Args:
        step: Seconds, at least 1.
        anchor: A wall time that is a member (if its weekday is).
        weekdays: Bit 0 is Sunday.
    """

    __slots__ = ("_anchor", "_step", "_weekdays")

    def __init__(self, step: int, anchor: int, weekdays: int = 127) -> None:
        self._step = step
        self._anchor = anchor
        self._weekdays = weekdays

    def first(self, wall: int) -> int:
        """The first member at or after `wall`, or `NEVER`."""
        final = min(wall + _HORIZON_S, LAST_DAY * DAY_S)
        while wall < final:
            wall += (self._anchor - wall) % self._step
            day = wall // DAY_S
            if self._weekdays >> weekday_of(day) & 1:
                return wall
            wall = max(wall + 1, Weekdays(self._weekdays).first(day) * DAY_S)
        return NEVER

    def last(self, wall: int) -> int:
        """The last member at or before `wall`, or `-NEVER`."""
        final = max(wall - _HORIZON_S, FIRST_DAY * DAY_S)
        while wall > final:
            wall -= (wall - self._anchor) % self._step
            day = wall // DAY_S
            if self._weekdays >> weekday_of(day) & 1:
                return wall
            wall = min(wall - 1, (Weekdays(self._weekdays).last(day) + 1) * DAY_S - 1)
        return -NEVER

    def chunks(self, low: int, high: int) -> Iterator[Chunk]:
        """The members in low <= wall < high, a day at a time."""
        while (wall := self.first(low)) < high:
            low = min(high, wall - wall % DAY_S + DAY_S)
            yield wall * US, range(0, (low - wall) * US, self._step * US)

    def count(self, low: int, high: int) -> int:
        """How many members are in low <= wall < high."""
        if self._weekdays == 127:
            first = low + (self._anchor - low) % self._step
            return max(0, -(-(high - first) // self._step))
        return sum(len(offsets) for _, offsets in self.chunks(low, high))


class DailyWalls:
    """The same times on each of some days.

    Args:
        days: The days.
        tods: Seconds of the day as ranges: ascending, apart, none empty.
    """

    __slots__ = ("_days", "_tods")

    def __init__(self, days: DaySet, tods: tuple[range, ...]) -> None:
        self._days = days
        self._tods = tods

    def first(self, wall: int) -> int:
        """The first member at or after `wall`, or `NEVER`."""
        day, tod = divmod(wall, DAY_S)
        found = self._days.first(day)
        if found == day:
            for tods in self._tods:
                if tod <= tods[-1]:
                    ahead = max(0, -(-(tod - tods.start) // tods.step))
                    return day * DAY_S + tods[ahead]
            found = self._days.first(day + 1)
        return found * DAY_S + self._tods[0].start if found < NEVER else NEVER

    def last(self, wall: int) -> int:
        """The last member at or before `wall`, or `-NEVER`."""
        day, tod = divmod(wall, DAY_S)
        found = self._days.last(day)
        if found == day:
            for tods in reversed(self._tods):
                if tod >= tods.start:
                    return day * DAY_S + tods[min(len(tods) - 1, (tod - tods.start) // tods.step)]
            found = self._days.last(day - 1)
        return found * DAY_S + self._tods[-1][-1] if found > -NEVER else -NEVER

    def chunks(self, low: int, high: int) -> Iterator[Chunk]:
        """The members in low <= wall < high, ascending."""
        whole = [range(tods.start * US, tods.stop * US, tods.step * US) for tods in self._tods]
        day = self._days.first(low // DAY_S)
        while (base := day * DAY_US) < high * US:
            is_cut = base < low * US or base + DAY_US > high * US
            for offsets in whole:
                if is_cut:
                    yield base, [tod for tod in offsets if low * US <= base + tod < high * US]
                else:
                    yield base, offsets
            day = self._days.first(day + 1)

    def count(self, low: int, high: int) -> int:
        """How many members are in low <= wall < high."""
        return count_days(self._days, self._before, low, high)

    def _before(self, tod: int) -> int:
        return sum(len(range(tods.start, min(tods.stop, tod), tods.step)) for tods in self._tods)


def daily_tods(step: int, anchor: int, window: tuple[int, int] | None) -> tuple[range, ...]:
    """The seconds of the day of an interval that starts anew each day at `anchor`.

    Args:
        step: Seconds.
        anchor: Second of the day. Times before it belong to the count of the day before.
        window: First and last second of the day, both inside; past midnight when first > last.
    """
    windows = [(0, DAY_S - 1)]
    if window is not None:
        first, last = window
        windows = [window] if first <= last else [(0, last), (first, DAY_S - 1)]
    found = []
    for first, last in windows:
        for low, high, origin in ((0, anchor, anchor - DAY_S), (anchor, DAY_S, anchor)):
            start = max(first, low)
            start += (origin - start) % step
            tods = range(start, min(last + 1, high), step)
            if tods:
                found.append(tods)
    return tuple(found)
