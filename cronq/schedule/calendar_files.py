"""Calendar files in plain text: one date or range of dates a line.

::

    # when the office is closed
    2026-12-24..2027-01-02  between the years
    2027-05-07              bridge day
    *-03-14                 every year
    2028/4-02-29            every fourth year, from 2028
"""

from __future__ import annotations

import re
from typing import NoReturn

from cronq.errors import ScheduleError
from cronq.schedule.calendars import FIRST_YEAR, LAST_CALENDAR_DAY, LAST_YEAR, Dates, Entry, Yearly
from cronq.schedule.days import month_length
from cronq.schedule.pieces import Piece, printable
from cronq.schedule.readers import read_day

_YEARLY = re.compile(r"(?:\*|(?P<year>[0-9]{4})/(?P<step>[0-9]{1,3}))-(?P<month>[0-9]{2})-(?P<day>[0-9]{2})")
_HINT = "a line is a date, `2026-12-24..2027-01-02` or `*-12-25`, then perhaps a label; `#` is a comment"
MAX_DAYS = 200_000
"""Days of one calendar, ranges counted in full."""

MAX_CHARS = 2_000_000
_MAX_LINE = 1000
_MAX_LABEL = 200


def read_dates(text: str) -> list[Entry]:
    """The entries of a calendar file.

    Raises:
        ScheduleError: A line cannot be read. The message begins with its number, and the span
            points into the line.
    """
    if len(text) > MAX_CHARS:
        raise ScheduleError(f"the calendar has {len(text)} characters, more than {MAX_CHARS}", hint=_HINT)
    entries: list[Entry] = []
    total = 0
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        entry = _read_line(number, line.rstrip("\r"))
        if entry is None:
            continue
        total += 230 if isinstance(entry, Yearly) else entry.last - entry.first + 1
        if total > MAX_DAYS:
            at_line(number, Piece(line, 0, len(line)).error(f"more than {MAX_DAYS} days", _HINT))
        entries.append(entry)
    return entries


def at_line(number: int, error: ScheduleError) -> NoReturn:
    """Raise an error of one line with the number of the line before the message."""
    raise ScheduleError(
        f"line {number}: {error.message}", hint=error.hint, text=error.text, span=error.span
    ) from error


def _read_line(number: int, line: str) -> Entry | None:
    if len(line) > _MAX_LINE:
        at_line(number, Piece(line[:60], 0, 60).error("the line is too long", _HINT))
    words = Piece(line, 0, len(line)).words()
    if not words or words[0].text.startswith("#"):
        return None
    try:
        return _read_entry(words[0], label_of(line[words[0].end :]))
    except ScheduleError as error:
        at_line(number, error)


def label_of(text: str) -> str:
    """A label as it is kept: without a comment, on one line, printable and not too long."""
    text = re.split(r"(?:^|\s)#", text, maxsplit=1)[0]
    return " ".join(printable(" ".join(text.split())).split())[:_MAX_LABEL].rstrip()


def _read_entry(word: Piece, label: str) -> Entry:
    if found := _YEARLY.fullmatch(word.text):
        return _read_yearly(word, found, label)
    first_text, dots, last_text = word.text.partition("..")
    if not first_text[:1].isdigit():
        raise word.error(f"`{word.text}` is not a date", _HINT)
    first = read_day(word.cut(0, len(first_text)))
    if not dots:
        return Dates(first, first, label)
    after = len(first_text) + 2
    last = read_day(word.cut(after, after + len(last_text)))
    if last < first:
        raise word.error(f"the range {word.text} goes backwards", "the earlier date stands first")
    return Dates(first, min(last, LAST_CALENDAR_DAY), label)


def _read_yearly(word: Piece, found: re.Match[str], label: str) -> Yearly:
    year, step = int(found["year"] or FIRST_YEAR), int(found["step"] or 1)
    month, day = int(found["month"]), int(found["day"])
    checks = (
        ("year", year, FIRST_YEAR, LAST_YEAR),
        ("step", step, 1, 230),
        ("month", month, 1, 12),
        # 2000 was a leap year: 29 February is a date of some years.
        ("day", day, 1, month_length(2000, month) if 1 <= month <= 12 else 31),
    )
    for name, value, low, high in checks:
        if not low <= value <= high:
            raise word.cut(*found.span(name)).error(f"{name} {value} is out of range {low}-{high}", _HINT)
    return Yearly(year, step, month, day, label)
