"""systemd's `OnCalendar` texts, after the prefix `oncalendar:`.

::

    oncalendar: [WEEKDAYS] [[YEAR-]MONTH-DAY] [HOUR:MINUTE[:SECOND]] [ZONE]
    oncalendar: Mon..Fri *-*-* 09:00        oncalendar: *-02~01 12:00        oncalendar: hourly

Source: systemd.time(7), "Calendar Events". Weekday and date must both match there.
"""

from __future__ import annotations

import re
from datetime import date
from typing import NamedTuple

from cronq.schedule.cron import minutes_of_day
from cronq.schedule.days import (
    EPOCH_ORDINAL,
    NEVER,
    MonthDays,
    first_of_month,
    month_length,
    rotated,
    weekday_of,
)
from cronq.schedule.fields import DAY, HOUR, MINUTE, MONTH, SECOND, Field
from cronq.schedule.masks import stepped
from cronq.schedule.pieces import Piece, did_you_mean
from cronq.schedule.walls import CronWalls
from cronq.schedule.zones import is_zone

SHORTHANDS = {
    "minutely": "*-*-* *:*:00",
    "hourly": "*-*-* *:00:00",
    "daily": "*-*-* 00:00:00",
    "weekly": "Mon *-*-* 00:00:00",
    "monthly": "*-*-01 00:00:00",
    "quarterly": "*-01,04,07,10-01 00:00:00",
    "semiannually": "*-01,07-01 00:00:00",
    "yearly": "*-01-01 00:00:00",
    "annually": "*-01-01 00:00:00",
}
_WEEKDAYS = {
    name: n
    for n, day in enumerate(["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"])
    for name in (day, day[:3])
}
_YEAR = Field("year", "year", "years", 1970, 2199, {})
_PREFIX = re.compile(r"oncalendar:[ \t]*", re.I)
_ITEM = re.compile(r"(?:(\*)|([0-9]+)(?:\.\.([0-9]+))?)(?:/([0-9]+))?")
_DATE = re.compile(r"(?:(?P<year>[^-~\s]+)-)?(?P<month>[^-~\s:]+)(?P<sign>[-~])(?P<day>[^-~\s:]+)")
_TIME = re.compile(r"(?P<hour>[^:\s]+):(?P<minute>[^:\s]+)(?::(?P<second>[^:\s]+))?")
_HINT = "such as `oncalendar: Mon..Fri *-*-* 09:00`; see systemd.time(7)"


class CalendarSyntax(NamedTuple):
    """A calendar event as read.

    Attributes:
        years: Bit n is year 1970 + n.
        months: Bit m is month m.
        days: Bit d is day d of the month, or the d-th from its end.
        from_end: Whether days count from the end (`~`).
        weekdays: Bit 0 is Sunday.
        hours: Bit set.
        minutes: Bit set.
        seconds: Bit set.
        is_interval: Whether the hour's or minute's text starts with `*`, as for cron (rule 14).
        zone: The zone named in the text, or None.
    """

    piece: Piece
    years: int
    months: int
    days: int
    from_end: bool
    weekdays: int
    hours: int
    minutes: int
    seconds: int
    is_interval: bool
    zone: str | None

    @property
    def has_years(self) -> bool:
        """Whether some years are left out."""
        return self.years != ALL_YEARS


ALL_YEARS = stepped(0, _YEAR.high - _YEAR.low, 1)


def read_calendar(piece: Piece) -> CalendarSyntax:
    """The calendar event after `oncalendar:`.

    Raises:
        ScheduleError: It cannot be read.
    """
    found = _PREFIX.match(piece.text)
    body = piece.cut(found.end() if found else 0, len(piece.text))
    words = body.words()
    if not words:
        raise piece.error("`oncalendar:` needs a calendar event", _HINT)
    named = words.pop().text if len(words) > 1 and _is_zone_word(words[-1].text) else None
    shorthand = SHORTHANDS.get(words[0].text.lower())
    if shorthand is not None and len(words) == 1:
        words = Piece(shorthand, 0, len(shorthand)).words()
    weekdays = 127
    if words and not _has_date_or_time(words[0].text):
        weekdays = _weekdays(words.pop(0))
    day = words.pop(0) if words and _DATE.fullmatch(words[0].text) else None
    time = words.pop(0) if words and _TIME.fullmatch(words[0].text) else None
    if words:
        raise words[0].error(f"`{words[0].text}` is not read in a calendar event", _HINT)
    years, months, days, from_end = _date(day)
    hours, minutes, seconds, is_interval = _time(time)
    return CalendarSyntax(
        piece, years, months, days, from_end, weekdays, hours, minutes, seconds, is_interval, named
    )


def _is_zone_word(text: str) -> bool:
    return text[0].isalpha() and text.lower()[:3] not in _WEEKDAYS and is_zone(text)


def _has_date_or_time(text: str) -> bool:
    return not text[0].isalpha()


def _weekdays(word: Piece) -> int:
    mask = 0
    at = 0
    for text in word.text.split(","):
        piece = word.cut(at, at + len(text))
        first, dots, last = text.replace("-", "..").partition("..")
        low = _weekday(piece, first)
        high = _weekday(piece, last) if dots else low
        mask |= stepped(low, high if high >= low else high + 7, 1)
        at += len(text) + 1
    return (mask | mask >> 7) & 127


def _weekday(piece: Piece, text: str) -> int:
    found = _WEEKDAYS.get(text.lower())
    if found is None:
        hint = did_you_mean(text, [*_WEEKDAYS, *SHORTHANDS]) or _HINT
        raise piece.error(f"`{piece.text}` is not read in a calendar event", hint)
    return found


def _date(word: Piece | None) -> tuple[int, int, int, bool]:
    found = _DATE.fullmatch(word.text) if word is not None else None
    if word is None or found is None:
        return ALL_YEARS, stepped(1, 12, 1), stepped(1, 31, 1), False
    years = ALL_YEARS
    if found["year"] is not None:
        years = _component(word.cut(*found.span("year")), _YEAR) >> _YEAR.low
    months = _component(word.cut(*found.span("month")), MONTH)
    days = _component(word.cut(*found.span("day")), DAY)
    return years, months, days, found["sign"] == "~"


def _time(word: Piece | None) -> tuple[int, int, int, bool]:
    found = _TIME.fullmatch(word.text) if word is not None else None
    if word is None or found is None:
        return 1, 1, 1, False
    hours = _component(word.cut(*found.span("hour")), HOUR)
    minutes = _component(word.cut(*found.span("minute")), MINUTE)
    seconds = 1
    if found["second"] is not None:
        seconds = _component(word.cut(*found.span("second")), SECOND)
    return hours, minutes, seconds, found["hour"][0] == "*" or found["minute"][0] == "*"


def _component(piece: Piece, field: Field) -> int:
    mask = 0
    at = 0
    for text in piece.text.split(","):
        item = piece.cut(at, at + len(text))
        at += len(text) + 1
        found = _ITEM.fullmatch(text)
        if found is None:
            raise item.error(f"`{text}` is not read as a {field.label}", _HINT)
        star, low_text, high_text, step_text = found.groups()
        step = int(step_text) if step_text else 0
        if step_text and not step:
            raise item.cut(*found.span(4)).error(f"a step of 0 in the {field.label}", "steps start at 1")
        low = field.low if star else _number(item.cut(*found.span(2)), low_text, field)
        high = low
        if high_text is not None:
            high = _number(item.cut(*found.span(3)), high_text, field)
        elif star or step:
            high = field.high
        if low > high:
            raise item.error(f"the range {text} goes backwards", "write it as two ranges")
        mask |= stepped(low, high, step or 1)
    return mask


def _number(piece: Piece, text: str, field: Field) -> int:
    value = int(text)
    if field is _YEAR and len(text) == 2:
        # Source: systemd.time(7): two digits mean 1970 to 2069.
        value += 1900 if value >= 70 else 2000
    if not field.low <= value <= field.high:
        hint = f"{field.plural} are {field.low} to {field.high}"
        raise piece.error(f"{field.label} {value} is out of range {field.low}-{field.high}", hint)
    return value


class CalendarDays(MonthDays):
    """The days of a calendar event."""

    __slots__ = ("_days", "_from_end", "_weekdays", "_years")

    def __init__(self, syntax: CalendarSyntax) -> None:
        super().__init__(syntax.months >> 1)
        self._years = syntax.years
        self._days = syntax.days >> 1
        self._from_end = syntax.from_end
        self._weekdays = syntax.weekdays

    def first(self, day: int) -> int:
        """The first member at or after `day`, or `NEVER`; named years are found however far ahead."""
        opens = _YEAR.low + ((self._years & -self._years).bit_length() - 1)
        return (
            super().first(max(day, date(opens, 1, 1).toordinal() - EPOCH_ORDINAL)) if self._years else NEVER
        )

    def last(self, day: int) -> int:
        """The last member at or before `day`, or `-NEVER`."""
        closes = _YEAR.low + self._years.bit_length() - 1
        return super().last(min(day, date(closes, 12, 31).toordinal() - EPOCH_ORDINAL))

    def month_mask(self, year: int, month: int) -> int:
        """The members in one month."""
        if not (_YEAR.low <= year <= _YEAR.high and self._years >> year - _YEAR.low & 1):
            return 0
        length = month_length(year, month)
        days = self._days & (1 << length) - 1
        if self._from_end:
            days = sum(1 << length - 1 - n for n in range(length) if days >> n & 1)
        if self._weekdays == 127:
            return days
        opens = weekday_of(first_of_month(year, month))
        weekly = rotated(self._weekdays, opens)
        return days & (weekly | weekly << 7 | weekly << 14 | weekly << 21 | weekly << 28)


def walls_of_calendar(syntax: CalendarSyntax) -> CronWalls:
    """The wall times of a calendar event."""
    return CronWalls(CalendarDays(syntax), minutes_of_day(syntax.hours, syntax.minutes), syntax.seconds)
