"""Dates and times as people type them: `2026-12-24T18:00`, `14:00`, `tomorrow 09:00`, `2h ago`.

A time without an offset is a wall time of the zone. Where clock changes make it

* **missing**, it is the first full minute after the gap (02:30 in a spring gap from 02:00 is 03:00),
* **repeated**, it is the first of its two instants,

as for a fixed-time job (rule 15). An offset or a `Z` names one instant and needs no rule.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from cronq.errors import DurationError, InstantError
from cronq.schedule.days import EPOCH_ORDINAL
from cronq.schedule.duration import parse_duration
from cronq.schedule.pieces import did_you_mean, printable
from cronq.schedule.schedule import datetime_from_us, us_from_datetime
from cronq.schedule.spans import ZoneSpans, spans_of
from cronq.schedule.walls import DAY_S, US

_DATE = r"(?P<year>[0-9]{4})-(?P<month>[0-9]{2})-(?P<day>[0-9]{2})"
_TIME = (
    r"(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2})(?:[.,](?P<fraction>[0-9]{1,9}))?)?"
)
_OFFSET = r"(?P<offset>[zZ]|[+-][0-9]{2}(?::?[0-9]{2})?)"
_ABSOLUTE = re.compile(rf"{_DATE}(?:(?:[tT]| +){_TIME}(?: ?{_OFFSET})?)?")
_RELATIVE_DAY = re.compile(rf"(?P<word>today|tomorrow|yesterday)(?: +{_TIME})?", re.I)
_CLOCK = re.compile(_TIME)
_AGO = re.compile(r"(?P<duration>\S+) +ago", re.I)
_SIGNED = re.compile(r"(?P<sign>[+-]) ?(?P<duration>[0-9]\S*)")
_IN = re.compile(r"in +(?P<duration>\S.*)", re.I)
_WORD = re.compile(r"[A-Za-z]+")
_DAYS = {"yesterday": -1, "today": 0, "tomorrow": 1}
_HINT = "write 2026-12-24T18:00, 2026-12-24T18:00Z, 14:00, tomorrow 09:00, now or -2h"
_MAX_CHARS = 64
_YEARS = (1970, 2199)
# What the pattern of a time cannot check, since it must also say which part is wrong.
_RANGES = (("month", 1, 12), ("day", 1, 31), ("hour", 0, 23), ("minute", 0, 59), ("second", 0, 59))


class Resolved(NamedTuple):
    """An instant in microseconds since the epoch, and whether it was told relative to now."""

    at_us: int
    is_relative: bool


def parse_instant(text: str, *, tz: str, now: datetime) -> datetime:
    """The instant that a text names, in UTC.

    Args:
        text: ISO 8601 with or without an offset, `14:00` (the next such time after now),
            `today 18:00`, `tomorrow 09:00`, `now`, `-2h`, `2h ago`, `in 2h`.
        tz: The IANA key of the zone for times without an offset.
        now: An aware datetime.

    Raises:
        InstantError: With the span of the offending characters.
        TimezoneError: There is no such zone.
    """
    return datetime_from_us(resolve(text, tz=tz, now_us=us_from_datetime(now)).at_us)


def is_relative(text: str) -> bool:
    """Whether the text means another instant tomorrow than it does today."""
    return _ABSOLUTE.fullmatch(text.strip()) is None


def resolve(text: str, *, tz: str, now_us: int) -> Resolved:
    """`parse_instant` in microseconds, telling whether the answer depends on now."""
    body = text.strip(" \t")
    if not body:
        raise InstantError(
            "a date and time is missing", hint=_HINT, text=printable(text), span=(0, len(text))
        )
    if len(body) > _MAX_CHARS:
        cut = printable(text[:_MAX_CHARS])
        raise InstantError("too long for a date and time", hint=_HINT, text=cut, span=(0, len(cut)))
    shift = text.index(body)
    if found := _ABSOLUTE.fullmatch(body):
        return Resolved(_absolute(text, shift, found, tz), is_relative=False)
    if body.lower() == "now":
        return Resolved(now_us, is_relative=True)
    spans = spans_of(tz)
    if found := _RELATIVE_DAY.fullmatch(body):
        day = _today(spans, now_us) + _DAYS[found["word"].lower()]
        return Resolved(_from_wall(spans, day, _tod_us(text, shift, found)), is_relative=True)
    if found := _CLOCK.fullmatch(body):
        return Resolved(_next_clock(spans, now_us, _tod_us(text, shift, found)), is_relative=True)
    for shape, sign in ((_AGO, -1), (_SIGNED, 1), (_IN, 1)):
        if found := shape.fullmatch(body):
            sign = -1 if found.groupdict().get("sign") == "-" else sign
            return Resolved(now_us + sign * _duration_us(text, shift, found), is_relative=True)
    raise _unknown(text, body, shift)


def day_of(text: str, found: re.Match[str], shift: int) -> int:
    """The day number of a matched date.

    Raises:
        InstantError: The calendar has no such date.
    """
    _check(text, shift, found)
    year, month, day = int(found["year"]), int(found["month"]), int(found["day"])
    if not _YEARS[0] <= year <= _YEARS[1]:
        span = (shift + found.start("year"), shift + found.end("year"))
        raise InstantError(
            f"the year {year} is out of range {_YEARS[0]}-{_YEARS[1]}",
            hint=_HINT,
            text=printable(text),
            span=span,
        )
    try:
        return date(year, month, day).toordinal() - EPOCH_ORDINAL
    except ValueError as error:
        span = (shift + found.start("day"), shift + found.end("day"))
        raise InstantError(
            f"there is no {found['year']}-{found['month']}-{found['day']}",
            hint="the month is shorter",
            text=printable(text),
            span=span,
        ) from error


def _absolute(text: str, shift: int, found: re.Match[str], tz: str) -> int:
    day = day_of(text, found, shift)
    tod_us = _tod_us(text, shift, found)
    if found["offset"] is None:
        return _from_wall(spans_of(tz), day, tod_us)
    sign = found["offset"]
    offset = 0
    if sign not in "zZ":
        digits = sign[1:].replace(":", "").ljust(4, "0")
        hours, minutes = int(digits[:2]), int(digits[2:])
        if hours > 23 or minutes > 59:
            span = (shift + found.start("offset"), shift + found.end("offset"))
            raise InstantError(
                f"the offset {sign} is out of range", hint=_HINT, text=printable(text), span=span
            )
        offset = (hours * 3600 + minutes * 60) * (-1 if sign[0] == "-" else 1)
    return (day * DAY_S - offset) * US + tod_us


def _check(text: str, shift: int, found: re.Match[str]) -> None:
    groups = found.groupdict()
    for name, low, high in _RANGES:
        value = groups.get(name)
        if value is not None and not low <= int(value) <= high:
            raise InstantError(
                f"{name} {value} is out of range {low}-{high}",
                hint=_HINT,
                text=printable(text),
                span=(shift + found.start(name), shift + found.end(name)),
            )


def _tod_us(text: str, shift: int, found: re.Match[str]) -> int:
    _check(text, shift, found)
    if found["hour"] is None:
        return 0
    second = int(found["hour"]) * 3600 + int(found["minute"]) * 60 + int(found["second"] or 0)
    return second * US + int((found["fraction"] or "")[:6].ljust(6, "0"))


def _from_wall(spans: ZoneSpans, day: int, tod_us: int) -> int:
    wall = day * DAY_S + tod_us // US
    second = spans.first_instant(wall)
    is_moved = second + spans.at(second).offset != wall
    return second * US + (0 if is_moved else tod_us % US)


def _today(spans: ZoneSpans, now_us: int) -> int:
    second = now_us // US
    return (second + spans.at(second).offset) // DAY_S


def _next_clock(spans: ZoneSpans, now_us: int, tod_us: int) -> int:
    day = _today(spans, now_us)
    while (at_us := _from_wall(spans, day, tod_us)) <= now_us:
        day += 1
    return at_us


def _duration_us(text: str, shift: int, found: re.Match[str]) -> int:
    try:
        return round(parse_duration(found["duration"].replace(" ", "")) * US)
    except DurationError as error:
        start = shift + found.start("duration")
        left, right = error.span or (0, 0)
        span = (start + left, min(start + right, len(text)))
        raise InstantError(error.message, hint=error.hint, text=printable(text), span=span) from error


def _unknown(text: str, body: str, shift: int) -> InstantError:
    if found := _WORD.match(body):
        hint = did_you_mean(found[0], ["today", "tomorrow", "yesterday", "now"])
        if hint and found[0].lower() not in _DAYS:
            span = (shift, shift + found.end())
            return InstantError(f"unknown word `{found[0]}`", hint=hint, text=printable(text), span=span)
    span = (shift, shift + len(body))
    return InstantError(
        f"`{printable(body)}` is not a date and time", hint=_HINT, text=printable(text), span=span
    )


def format_utc(at_us: int) -> str:
    """The instant as `resolve` reads it back in any zone: `2026-12-24T18:00:00Z`."""
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at_us)
    return at.isoformat().replace("+00:00", "Z")


def local_text(at_us: int, tz: str) -> str:
    """The instant as a wall time with its offset: `Thu 2026-12-24 18:00 +01:00`."""
    second, fraction = divmod(at_us, US)
    offset = spans_of(tz).at(second).offset
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=second + offset)
    text = at.strftime("%a %Y-%m-%d %H:%M" if at.second == 0 and not fraction else "%a %Y-%m-%d %H:%M:%S")
    sign = "-" if offset < 0 else "+"
    return f"{text} {sign}{abs(offset) // 3600:02}:{abs(offset) // 60 % 60:02}"
