"""Day sets of every n-th day, week and month."""

from __future__ import annotations

from datetime import date

from cronq.schedule.cron import special_days
from cronq.schedule.days import (
    EPOCH_ORDINAL,
    FIRST_DAY,
    LAST_DAY,
    NEVER,
    CronDays,
    DaySet,
    MonthDays,
    month_length,
    weekday_of,
)
from cronq.schedule.fields import WEEKDAY, FieldSyntax

# Monday 1970-01-05: weeks are counted from Monday, as in ISO 8601.
_MONDAY = 4


class DaySteps:
    """Every `step`-th day that is one of some weekdays.

    Args:
        step: At least 1.
        anchor: A day number that is counted as the first.
        weekdays: Bit 0 is Sunday.
    """

    __slots__ = ("_anchor", "_step", "_weekdays")

    def __init__(self, step: int, anchor: int, weekdays: int) -> None:
        self._step = step
        self._anchor = anchor
        self._weekdays = weekdays

    def first(self, day: int) -> int:
        """The first member at or after `day`, or `NEVER`."""
        day += (self._anchor - day) % self._step
        # The weekdays of n-th days repeat after seven of them.
        for ahead in range(day, day + 7 * self._step, self._step):
            if self._weekdays >> weekday_of(ahead) & 1:
                return ahead if ahead <= LAST_DAY else NEVER
        return NEVER

    def last(self, day: int) -> int:
        """The last member at or before `day`, or `-NEVER`."""
        day -= (day - self._anchor) % self._step
        for behind in range(day, day - 7 * self._step, -self._step):
            if self._weekdays >> weekday_of(behind) & 1:
                return behind if behind >= FIRST_DAY else -NEVER
        return -NEVER

    def count(self, low: int, high: int) -> int:
        """How many members are in low <= day < high."""
        return _count(self, low, high)


class WeekSteps:
    """Some weekdays of every `step`-th week.

    Args:
        step: At least 1.
        start: A day in the first week, or None for the week of 1970-01-05.
        weekdays: Bit 0 is Sunday; 0 for the weekday of `start`, or Monday.
    """

    __slots__ = ("_monday", "_offsets", "_step")

    def __init__(self, step: int, start: int | None, weekdays: int) -> None:
        first = _MONDAY if start is None else start
        mask = weekdays or 1 << weekday_of(first)
        self._monday = first - (first - _MONDAY) % 7
        self._offsets = tuple(offset for offset in range(7) if mask >> (offset + 1) % 7 & 1)
        self._step = step

    def first(self, day: int) -> int:
        """The first member at or after `day`, or `NEVER`."""
        period = 7 * self._step
        opens = day - (day - self._monday) % period
        found = opens + period + self._offsets[0]
        for offset in reversed(self._offsets):
            if opens + offset >= day:
                found = opens + offset
        return found if found <= LAST_DAY else NEVER

    def last(self, day: int) -> int:
        """The last member at or before `day`, or `-NEVER`."""
        period = 7 * self._step
        opens = day - (day - self._monday) % period
        for offset in reversed(self._offsets):
            if opens + offset <= day:
                break
        else:
            offset = self._offsets[-1] - period
        found = opens + offset
        return found if found >= FIRST_DAY else -NEVER

    def count(self, low: int, high: int) -> int:
        """How many members are in low <= day < high."""
        return _count(self, low, high)


class MonthSteps(MonthDays):
    """Some days of every `step`-th month.

    Args:
        step: At least 1.
        start: A day in the first month, or None for 1970-01-01.
        on: The day-of-month or day-of-week field, or None for the day of `start`.
        mask: The numbers that `on` holds.
    """

    __slots__ = ("_anchor", "_inner", "_step")

    def __init__(self, step: int, start: int | None, on: FieldSyntax | None, mask: int) -> None:
        opens = date.fromordinal((start or 0) + EPOCH_ORDINAL)
        self._anchor = opens.year * 12 + opens.month - 1
        self._step = step
        months = 0
        for n in range(0, 12 * step, step):
            months |= 1 << (self._anchor + n) % 12
        super().__init__(months)
        if on is None:
            self._inner = CronDays(months, 1 << opens.day - 1, 127, both=True)
        elif on.field is WEEKDAY:
            empty = on._replace(items=())
            self._inner = CronDays(months, 0, mask, both=False, special=special_days(empty, on))
        else:
            empty = on._replace(items=())
            self._inner = CronDays(months, mask >> 1, 0, both=False, special=special_days(on, empty))

    def month_mask(self, year: int, month: int) -> int:
        """The members in one month."""
        if (year * 12 + month - 1 - self._anchor) % self._step:
            return 0
        return self._inner.month_mask(year, month) & (1 << month_length(year, month)) - 1


def _count(days: DaySet, low: int, high: int) -> int:
    total = 0
    day = days.first(low)
    while day < high:
        total += 1
        day = days.first(day + 1)
    return total


def day_steps(step: int, start: int | None, weekdays: int) -> DaySteps:
    """Every `step`-th day, counted from `start` or from Monday 1970-01-05."""
    return DaySteps(step, _MONDAY if start is None else start, weekdays)
