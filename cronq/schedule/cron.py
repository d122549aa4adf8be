"""Cron expressions of five and six fields, and the macros that stand for them."""

from __future__ import annotations

from typing import NamedTuple

from cronq.schedule.days import CronDays, DaySet, EveryDay, SpecialDays, Weekdays
from cronq.schedule.fields import (
    DAY,
    HOUR,
    MINUTE,
    MONTH,
    SECOND,
    WEEKDAY,
    FieldSyntax,
    read_field,
)
from cronq.schedule.masks import bits, mask_of
from cronq.schedule.pieces import Piece, joined
from cronq.schedule.walls import CronWalls

MACROS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}

_FIVE = (MINUTE, HOUR, DAY, MONTH, WEEKDAY)
_SIX = (SECOND, *_FIVE)
_SHAPE = "five fields are minute hour day-of-month month day-of-week; six put the second first"


class CronSyntax(NamedTuple):
    """A cron expression as it was written; `second` is None where there are five fields."""

    piece: Piece
    second: FieldSyntax | None
    minute: FieldSyntax
    hour: FieldSyntax
    day: FieldSyntax
    month: FieldSyntax
    weekday: FieldSyntax

    @property
    def is_interval(self) -> bool:
        """Whether clock changes treat it as an interval.

        Source: cron(8) of Debian: the minute or hour field's text starts with `*`.
        """
        return self.minute.text[0] == "*" or self.hour.text[0] == "*"

    @property
    def days(self) -> Piece:
        """The characters of the day-of-month and month fields (of an expression that is no macro)."""
        month = self.month
        return Piece(self.piece.full, self.day.start, month.start + len(month.text))

    @property
    def needs_both_days(self) -> bool:
        """Whether the two day fields must both match.

        Source: crontab(5), the note on day of month and day of week.
        """
        return self.day.is_star or self.weekday.is_star


def read_cron(piece: Piece, words: list[Piece]) -> CronSyntax:
    """The fields of an expression.

    Raises:
        ScheduleError: It breaks one of the rules 3 to 8.
    """
    count = len(words)
    if count == 5:
        fields = [read_field(word, field) for word, field in zip(words, _FIVE, strict=True)]
        return CronSyntax(piece, None, *fields)
    if count == 6:
        fields = [read_field(word, field) for word, field in zip(words, _SIX, strict=True)]
        return CronSyntax(piece, *fields)
    if count > 6:
        rest = joined(words[6], words[-1])
        hint = "a year is not read; " + _SHAPE if count == 7 else _SHAPE
        if any(char.isalpha() for char in rest.text):
            hint = "a command does not belong to the schedule; it stands after `--`"
        raise rest.error(f"the schedule has {count} fields, not 5 or 6", hint)
    plural = "field" if count == 1 else "fields"
    raise piece.error(f"the schedule has {count} {plural}, not 5: `{piece.text}`", _SHAPE)


def read_macro(piece: Piece) -> CronSyntax:
    """The expression that a macro stands for; its errors and spans are the macro's."""
    text = MACROS[piece.text.lower()]
    whole = Piece(text, 0, len(text))
    fields = [read_field(word, field) for word, field in zip(whole.words(), _FIVE, strict=True)]
    return CronSyntax(piece, None, *fields)


def walls_of_cron(syntax: CronSyntax, name: str) -> CronWalls:
    """The wall times of an expression.

    Args:
        syntax: The expression.
        name: The job's name, which places `H`.
    """
    minutes = minutes_of_day(mask_of(syntax.hour, name), mask_of(syntax.minute, name))
    seconds = mask_of(syntax.second, name) if syntax.second is not None else 1
    return CronWalls(days_of_cron(syntax, name), minutes, seconds)


def minutes_of_day(hours: int, minutes: int) -> int:
    """Bit n is minute n of the day, from bit sets of hours and of minutes of the hour."""
    mask = 0
    for hour in bits(hours):
        mask |= minutes << hour * 60
    return mask


def days_of_cron(syntax: CronSyntax, name: str) -> DaySet:
    """The days that the three day fields name together."""
    months = mask_of(syntax.month, name) >> 1
    days = mask_of(syntax.day, name) >> 1
    weekdays = mask_of(syntax.weekday, name)
    special = special_days(syntax.day, syntax.weekday)
    both = syntax.needs_both_days
    if special is None and months == 0xFFF:
        free_days, free_weekdays = days == 0x7FFFFFFF, weekdays == 127
        if (free_days and free_weekdays) or (not both and (free_days or free_weekdays)):
            return EveryDay()
        if free_days:
            return Weekdays(weekdays)
    return CronDays(months, days, weekdays, both, special)


def special_days(day: FieldSyntax, weekday: FieldSyntax) -> SpecialDays | None:
    """The items of the day fields that are no numbers, or None."""
    last = last_workday = False
    near = nth = last_weekdays = 0
    for item in (*day.items, *weekday.items):
        if item.kind == "last":
            last = True
        elif item.kind == "last_workday":
            last_workday = True
        elif item.kind == "near":
            near |= 1 << item.low - 1
        elif item.kind == "nth":
            nth |= 1 << 7 * (item.high - 1) + item.low
        elif item.kind == "last_weekday":
            last_weekdays |= 1 << item.low
    if last or last_workday or near or nth or last_weekdays:
        return SpecialDays(last, last_workday, near, nth, last_weekdays)
    return None
