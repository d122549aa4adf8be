"""The dates of an .ics file: its events, each from its start to its end.

A small reader. All-day events hold their dates, timed ones every date that they touch, on the clock
that the file writes (`TZID` and `Z` are not converted). Of recurring events only yearly ones are read, and
anything that would make a date wrong is refused rather than guessed at.

Source: RFC 5545: 3.1 (folded lines), 3.3.4 and 3.3.5 (dates), 3.3.6 (durations), 3.3.10 (recurrence),
3.6.1 (DTEND is exclusive; an all-day event without an end lasts one day), 3.8.5 (recurring events).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from typing import NamedTuple, NoReturn

from cronq.errors import ScheduleError
from cronq.schedule.calendar_files import MAX_CHARS, MAX_DAYS, label_of
from cronq.schedule.calendars import FIRST_YEAR, LAST_CALENDAR_DAY, LAST_YEAR, Dates, Entry, Yearly
from cronq.schedule.days import EPOCH_ORDINAL, month_length
from cronq.schedule.pieces import printable

_PROPERTY = re.compile(
    r"(?P<name>[A-Za-z0-9-]+)(?P<parameters>(?:;[^\":;]*(?:\"[^\"]*\"[^\":;]*)*)*):(?P<value>.*)"
)
_VALUE = re.compile(
    r"(?P<year>[0-9]{4})(?P<month>[0-9]{2})(?P<day>[0-9]{2})"
    r"(?:T(?P<hour>[0-9]{2})(?P<minute>[0-9]{2})(?P<second>[0-9]{2})Z?)?"
)
_DURATION = re.compile(
    r"\+?P(?:(?P<weeks>[0-9]{1,4})W|(?:(?P<days>[0-9]{1,5})D)?"
    r"(?:T(?:(?P<hours>[0-9]{1,5})H)?(?:(?P<minutes>[0-9]{1,6})M)?(?:(?P<seconds>[0-9]{1,7})S)?)?)"
)
_ESCAPED = re.compile(r"\\([nN,;\\])")
_TOO_HARD = ("RDATE", "EXDATE", "EXRULE", "RECURRENCE-ID")
_HINT_RULE = "only FREQ=YEARLY is read, with INTERVAL, COUNT and UNTIL; write the dates as single events"
_SHOWN = 60


class Line(NamedTuple):
    """A property and the number of the line on which it begins."""

    number: int
    text: str
    name: str
    value: str


class Moment(NamedTuple):
    """A date and the second of the day; None for a date without a time."""

    day: int
    tod: int | None


def read_ics(text: str) -> list[Entry]:
    """The dates of all events.

    Raises:
        ScheduleError: The text is no calendar, or holds an event that cannot be read; the message
            begins with the number of the line.
    """
    if len(text) > MAX_CHARS:
        raise ScheduleError(f"the calendar has {len(text)} characters, more than {MAX_CHARS}")
    lines = [_property(number, line) for number, line in _unfolded(text)]
    first = next((line for line in lines if line is not None), None)
    if first is None or (first.name, first.value.upper()) != ("BEGIN", "VCALENDAR"):
        raise ScheduleError("this is no .ics file", hint="it begins with BEGIN:VCALENDAR")
    entries: list[Entry] = []
    total = 0
    for event in _events([line for line in lines if line is not None]):
        for entry in _entries(event):
            total += 230 if isinstance(entry, Yearly) else entry.last - entry.first + 1
            if total > MAX_DAYS:
                _refuse(event["BEGIN"], f"more than {MAX_DAYS} days", "a calendar file is meant for holidays")
            entries.append(entry)
    return entries


def _unfolded(text: str) -> Iterator[tuple[int, str]]:
    """The lines with their continuations, which begin with a space or a tab."""
    first, *lines = text.removeprefix("\ufeff").split("\n")
    start, parts = 1, [first.rstrip("\r")]
    for number, line in enumerate(lines, 2):
        if line[:1] in (" ", "\t"):
            parts.append(line[1:].rstrip("\r"))
            continue
        yield start, "".join(parts)
        start, parts = number, [line.rstrip("\r")]
    yield start, "".join(parts)


def _property(number: int, text: str) -> Line | None:
    if not text.strip():
        return None
    found = _PROPERTY.fullmatch(text) if len(text) < MAX_CHARS else None
    if found is None:
        _refuse(Line(number, text, "", ""), "not a line of an .ics file", "lines are NAME:value")
    return Line(number, text, found["name"].upper(), found["value"].strip())


def _events(lines: list[Line]) -> Iterator[dict[str, Line]]:
    """The properties of each VEVENT, without those of what is inside it (alarms)."""
    event: dict[str, Line] | None = None
    nested: list[str] = []
    for line in lines:
        kind = line.value.upper()
        if line.name == "BEGIN" and event is None and kind == "VEVENT":
            event = {"BEGIN": line}
        elif line.name == "BEGIN" and event is not None:
            nested.append(kind)
        elif line.name == "END" and nested:
            nested.pop()
        elif line.name == "END" and kind == "VEVENT" and event is not None:
            yield event
            event = None
        elif event is not None and not nested:
            event.setdefault(line.name, line)
    if event is not None:
        _refuse(event["BEGIN"], "the event has no END:VEVENT", "the file seems to be cut off")


def _entries(event: dict[str, Line]) -> Iterator[Entry]:
    status = event.get("STATUS")
    if status is not None and status.value.upper() == "CANCELLED":
        return
    for name in _TOO_HARD:
        if name in event:
            _refuse(event[name], f"{name} is not read", "write the dates as single events")
    if "DTSTART" not in event:
        _refuse(event["BEGIN"], "the event has no DTSTART", "an event needs a first date")
    start = _moment(event["DTSTART"])
    last = _last(event, start)
    summary = event.get("SUMMARY")
    label = "" if summary is None else label_of(_unescaped(summary.value).replace("#", ""))
    if "RRULE" not in event:
        yield _dates(start.day, last, label)
        return
    yield from _recurring(event["RRULE"], start.day, last, label)


def _dates(first: int, last: int, label: str) -> Dates:
    return Dates(first, min(last, LAST_CALENDAR_DAY), label)


def _unescaped(value: str) -> str:
    return _ESCAPED.sub(lambda found: " " if found[1] in "nN" else found[1], value)


def _moment(line: Line) -> Moment:
    found = _VALUE.fullmatch(line.value)
    if found is None:
        _refuse(line, f"`{_shown(line.value)}` is not a date", "dates are 20261224 or 20261224T180000")
    year, month, day = int(found["year"]), int(found["month"]), int(found["day"])
    if not FIRST_YEAR <= year <= LAST_YEAR:
        _refuse(line, f"the year {year} is out of range {FIRST_YEAR}-{LAST_YEAR}", "")
    if not (1 <= month <= 12 and 1 <= day <= month_length(year, month)):
        _refuse(line, f"there is no {found['year']}-{found['month']}-{found['day']}", "")
    number = date(year, month, day).toordinal() - EPOCH_ORDINAL
    if found["hour"] is None:
        return Moment(number, None)
    hour, minute, second = int(found["hour"]), int(found["minute"]), int(found["second"])
    if hour > 23 or minute > 59 or second > 60:
        _refuse(line, f"`{_shown(line.value)}` is not a time", "")
    return Moment(number, hour * 3600 + minute * 60 + second)


def _last(event: dict[str, Line], start: Moment) -> int:
    """The last day that an event touches."""
    end_line = event.get("DTEND")
    if end_line is not None:
        end = _moment(end_line)
    elif "DURATION" in event:
        end_line = event["DURATION"]
        end = _after(start, end_line)
    else:
        return start.day
    if (end.day, end.tod or 0) < (start.day, start.tod or 0):
        _refuse(end_line, "the event ends before it starts", "")
    # The end is exclusive: a date, or midnight, is no part of the event.
    return max(start.day, end.day - 1) if not end.tod else end.day


def _after(start: Moment, line: Line) -> Moment:
    found = _DURATION.fullmatch(line.value)
    if found is None or not any(found.groups()):
        _refuse(line, f"`{_shown(line.value)}` is not a duration", "such as P1D or PT8H")
    weeks, days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    total = (start.tod or 0) + hours * 3600 + minutes * 60 + seconds
    return Moment(start.day + weeks * 7 + days + total // 86400, total % 86400)


def _recurring(line: Line, first: int, last: int, label: str) -> Iterator[Entry]:
    step, count, until = _rule(line, first)
    start = date.fromordinal(first + EPOCH_ORDINAL)
    if count is None and until is None and last == first:
        yield Yearly(start.year, step, start.month, start.day, label)
        return
    left = count
    for day in Yearly(start.year, step, start.month, start.day, label).days():
        if (until is not None and day > until) or left == 0:
            return
        left = None if left is None else left - 1
        yield _dates(day, day + last - first, label)


def _rule(line: Line, first: int) -> tuple[int, int | None, int | None]:
    """INTERVAL, COUNT and UNTIL of a yearly rule."""
    parts = dict(part.partition("=")[::2] for part in line.value.upper().split(";") if part)
    start = date.fromordinal(first + EPOCH_ORDINAL)
    # Calendar programs write the date of DTSTART once more; that says nothing new.
    allowed = {"WKST": None, "BYMONTH": str(start.month), "BYMONTHDAY": str(start.day)}
    if parts.pop("FREQ", "") != "YEARLY":
        _refuse(line, "this recurrence is not read", _HINT_RULE)
    interval, count, until = parts.pop("INTERVAL", "1"), parts.pop("COUNT", None), parts.pop("UNTIL", None)
    for name, value in parts.items():
        if name not in allowed or allowed[name] not in (None, value):
            _refuse(line, f"{_shown(name)} in a recurrence is not read", _HINT_RULE)
    if parts.keys() == {"BYMONTHDAY"} or parts.keys() == {"BYMONTHDAY", "WKST"}:
        # Without BYMONTH it names the day of every month.
        _refuse(line, "BYMONTHDAY in a recurrence is not read", _HINT_RULE)
    for name, number in (("INTERVAL", interval), ("COUNT", count)):
        if number is not None and not re.fullmatch(r"[1-9][0-9]{0,3}", number):
            _refuse(line, f"`{name}={_shown(number)}` is not a number from 1 to 9999", _HINT_RULE)
    last = None if until is None else _moment(line._replace(value=until)).day
    return int(interval), None if count is None else int(count), last


def _shown(text: str) -> str:
    return printable(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")


def _refuse(line: Line, message: str, hint: str) -> NoReturn:
    shown = _shown(line.text)
    place = line.text.find(line.value) if line.value else 0
    span = (place, len(shown)) if 0 <= place < len(shown) else (0, len(shown))
    raise ScheduleError(f"line {line.number}: {message}", hint=hint, text=shown, span=span)
