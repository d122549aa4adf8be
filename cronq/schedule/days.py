"""Which days a schedule runs on: sets of day numbers, searched both ways.

A day number counts days since 1970-01-01. Inside a month a set is an integer whose bit n is
day n + 1, so that the next day is the lowest set bit and needs no walk.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import date
from typing import Protocol

from cronq.schedule.masks import bits

NEVER = 1 << 60
"""Later than every day and every second; its negative is earlier than all."""

EPOCH_ORDINAL = 719163
HORIZON_YEARS = 50
"""A schedule that does not fire in so many years is refused (rule 13)."""

FIRST_DAY = date(2, 1, 1).toordinal() - EPOCH_ORDINAL
LAST_DAY = date(9998, 12, 31).toordinal() - EPOCH_ORDINAL
_LENGTHS = (0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_EVERY_SEVENTH = 1 | 1 << 7 | 1 << 14 | 1 << 21 | 1 << 28
_from_ordinal = date.fromordinal


def month_length(year: int, month: int) -> int:
    """28 to 31."""
    if month == 2 and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0):
        return 29
    return _LENGTHS[month]


def weekday_of(day: int) -> int:
    """0 for Sunday to 6 for Saturday."""
    return (day + 4) % 7


class DaySet(Protocol):
    """A set of day numbers."""

    def first(self, day: int) -> int:
        """The first member at or after `day`, or `NEVER`."""

    def last(self, day: int) -> int:
        """The last member at or before `day`, or `-NEVER`."""

    def count(self, low: int, high: int) -> int:
        """How many members are in low <= day < high."""


class EveryDay:
    """All days."""

    __slots__ = ()

    def first(self, day: int) -> int:
        """The first member at or after `day`, or `NEVER`."""
        return day if day <= LAST_DAY else NEVER

    def last(self, day: int) -> int:
        """The last member at or before `day`, or `-NEVER`."""
        return day if day >= FIRST_DAY else -NEVER

    def count(self, low: int, high: int) -> int:
        """How many members are in low <= day < high."""
        return max(0, high - low)


class Weekdays:
    """The days of some weekdays, in all months."""

    __slots__ = ("_mask",)

    def __init__(self, mask: int) -> None:
        self._mask = mask

    def first(self, day: int) -> int:
        """The first member at or after `day`, or `NEVER`."""
        ahead = self._mask * 129 >> (day + 4) % 7
        return day + (ahead & -ahead).bit_length() - 1 if day <= LAST_DAY else NEVER

    def last(self, day: int) -> int:
        """The last member at or before `day`, or `-NEVER`."""
        behind = self._mask * 129 & (2 << (day + 4) % 7 + 7) - 1
        return day - (day + 4) % 7 - 7 + behind.bit_length() - 1 if day >= FIRST_DAY else -NEVER

    def count(self, low: int, high: int) -> int:
        """How many members are in low <= day < high."""
        weeks, rest = divmod(max(0, high - low), 7)
        extra = (self._mask * 129 >> weekday_of(low)) & ((1 << rest) - 1)
        return weeks * self._mask.bit_count() + extra.bit_count()


class MonthDays(ABC):
    """Base of the day sets that are decided month by month.

    Args:
        months: Bit m - 1 is set where month m can hold a member.
    """

    __slots__ = ("_months",)

    def __init__(self, months: int) -> None:
        self._months = months

    @abstractmethod
    def month_mask(self, year: int, month: int) -> int:
        """The members in a month whose bit is set in `months`: bit n is day n + 1."""

    def first(self, day: int) -> int:
        """The first member at or after `day`, or `NEVER` when there is none within 50 years."""
        if not FIRST_DAY <= day <= LAST_DAY:
            return NEVER if day > 0 else self.first(FIRST_DAY)
        on = _from_ordinal(day + EPOCH_ORDINAL)
        year, month = on.year, on.month
        if self._months >> month - 1 & 1:
            rest = self.month_mask(year, month) >> on.day - 1
            if rest:
                return day + (rest & -rest).bit_length() - 1
        final = min(year + HORIZON_YEARS, 9998)
        while True:
            rest = self._months >> month
            if rest:
                month += (rest & -rest).bit_length()
            else:
                year += 1
                if year > final:
                    return NEVER
                month = (self._months & -self._months).bit_length()
            mask = self.month_mask(year, month)
            if mask:
                return first_of_month(year, month) + (mask & -mask).bit_length() - 1

    def last(self, day: int) -> int:
        """The last member at or before `day`, or `-NEVER` when there is none within 50 years."""
        if not FIRST_DAY <= day <= LAST_DAY:
            return -NEVER if day < 0 else self.last(LAST_DAY)
        on = _from_ordinal(day + EPOCH_ORDINAL)
        year, month = on.year, on.month
        if self._months >> month - 1 & 1:
            rest = self.month_mask(year, month) & (1 << on.day) - 1
            if rest:
                return day - on.day + rest.bit_length()
        final = max(year - HORIZON_YEARS, 2)
        while True:
            rest = self._months & (1 << month - 1) - 1
            if rest:
                month = rest.bit_length()
            else:
                year -= 1
                if year < final:
                    return -NEVER
                month = self._months.bit_length()
            mask = self.month_mask(year, month)
            if mask:
                return first_of_month(year, month) + mask.bit_length() - 1

    def count(self, low: int, high: int) -> int:
        """How many members are in low <= day < high."""
        low, high = max(low, FIRST_DAY), min(high, LAST_DAY + 1)
        total = 0
        while low < high:
            on = _from_ordinal(low + EPOCH_ORDINAL)
            start = low - on.day + 1
            length = month_length(on.year, on.month)
            if self._months >> on.month - 1 & 1:
                mask = self.month_mask(on.year, on.month) >> on.day - 1
                if start + length > high:
                    mask &= (1 << high - low) - 1
                total += mask.bit_count()
            low = start + length
        return total


class CronDays(MonthDays):
    """The day-of-month, month and day-of-week fields of a cron expression.

    Source: crontab(5): when either day field starts with `*` both must match, else one is enough.

    Args:
        months: Bit m - 1 for month m.
        days: Bit d - 1 for day d of the month.
        weekdays: Bit 0 is Sunday.
        both: Whether both day fields must match.
        special: The items that are no numbers, or None.
    """

    __slots__ = ("_both", "_days", "_special", "_weekdays")

    def __init__(
        self, months: int, days: int, weekdays: int, both: bool, special: SpecialDays | None = None
    ) -> None:
        super().__init__(months)
        self._days = days
        self._weekdays = weekdays
        self._both = both
        self._special = special

    def month_mask(self, year: int, month: int) -> int:
        """The members in one month."""
        length = month_length(year, month)
        full = (1 << length) - 1
        days = self._days & full
        weekdays = self._weekdays
        if self._special is None and (weekdays == 127 or not weekdays):
            return days if self._both or not weekdays else full
        opens = weekday_of(first_of_month(year, month))
        on_weekdays = rotated(weekdays, opens) * _EVERY_SEVENTH & full
        if self._special is not None:
            days |= self._special.in_month(length, opens)
            on_weekdays |= self._special.on_weekdays(length, opens)
        return days & on_weekdays if self._both else days | on_weekdays


class SpecialDays:
    """The items `L`, `LW`, `15W`, `5#3` and `5L`.

    Args:
        last: Whether the last day of the month is a member.
        last_workday: Whether the last Monday-to-Friday is.
        near: Bit d - 1 for `dW`.
        nth: Bit 7 * (n - 1) + weekday for `weekday#n`.
        last_weekdays: Bit for `weekdayL`.
    """

    __slots__ = ("_last", "_last_weekdays", "_last_workday", "_near", "_nth")

    def __init__(self, last: bool, last_workday: bool, near: int, nth: int, last_weekdays: int) -> None:
        self._last = last
        self._last_workday = last_workday
        self._near = near
        self._nth = nth
        self._last_weekdays = last_weekdays

    def in_month(self, length: int, opens: int) -> int:
        """The members by day of the month, in a month that opens with weekday `opens`."""
        mask = 1 << length - 1 if self._last else 0
        if self._last_workday:
            weekday = (opens + length - 1) % 7
            mask |= 1 << length - 1 - {6: 1, 0: 2}.get(weekday, 0)
        for index in bits(self._near & (1 << length) - 1):
            weekday = (opens + index) % 7
            if weekday == 6:
                index += 2 if index == 0 else -1
            elif weekday == 0:
                index += -2 if index == length - 1 else 1
            mask |= 1 << index
        return mask

    def on_weekdays(self, length: int, opens: int) -> int:
        """The members by weekday."""
        mask = 0
        for week in range(5):
            mask |= rotated(self._nth >> 7 * week & 127, opens) << 7 * week
        mask &= (1 << length) - 1
        return mask | rotated(self._last_weekdays, (opens + length) % 7) << length - 7


def first_of_month(year: int, month: int) -> int:
    """The day number of the first of a month."""
    return date(year, month, 1).toordinal() - EPOCH_ORDINAL


def rotated(weekdays: int, opens: int) -> int:
    """Weekday bits turned so that bit 0 is weekday `opens`."""
    return (weekdays >> opens | weekdays << 7 - opens) & 127
