"""Calendars: named sets of dates with labels, shared by jobs.

::

    a text file ─┐
    an .ics file ┼─▶ DatedCalendar ─┐
                 │                  ├─ Calendar: label(day), days(low, high), to_text()
    us-holidays ─┴─▶ HolidayCalendar┘  (dates asked of the `holidays` package, year by year)

A calendar says which dates it holds and nothing about what a job does on them: `shift` does.
Dates are day numbers since 1970-01-01, from 1970 to 2199.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from datetime import date
from typing import NamedTuple, Protocol

from cronq.errors import ScheduleError
from cronq.schedule.days import EPOCH_ORDINAL, month_length
from cronq.schedule.pieces import did_you_mean, printable

FIRST_YEAR, LAST_YEAR = 1970, 2199
FIRST_CALENDAR_DAY = 0
LAST_CALENDAR_DAY = date(LAST_YEAR, 12, 31).toordinal() - EPOCH_ORDINAL
PACKAGE_PREFIX = "holidays:"
"""How the stored text of a calendar from the package begins."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Calendar(Protocol):
    """A named set of dates."""

    @property
    def name(self) -> str:
        """How jobs refer to it."""

    def label(self, day: int) -> str | None:
        """What the day is called, perhaps nothing (""); None when the calendar does not hold it."""

    def days(self, low: int, high: int) -> Iterable[int]:
        """The days held in low <= day < high, ascending."""

    def to_text(self) -> str:
        """The text to store, which `calendar_from_text` reads."""


class Dates(NamedTuple):
    """The days from first to last, both included."""

    first: int
    last: int
    label: str


class Yearly(NamedTuple):
    """A date of every `step`-th year from `year` on; 29 February only where there is one."""

    year: int
    step: int
    month: int
    day: int
    label: str

    def days(self) -> Iterator[int]:
        """Its days as far as calendars go."""
        for year in range(self.year, LAST_YEAR + 1, self.step):
            if self.day <= month_length(year, self.month):
                yield date(year, self.month, self.day).toordinal() - EPOCH_ORDINAL


Entry = Dates | Yearly


class DatedCalendar:
    """A calendar whose dates are written down.

    Args:
        name: How jobs refer to it.
        entries: In any order; a day that two of them hold has both labels.
    """

    __slots__ = ("_days", "_entries", "_labels", "_name", "_text")

    def __init__(self, name: str, entries: Iterable[Entry]) -> None:
        self._name = name
        self._entries = tuple(sorted(set(entries), key=_order))
        self._labels: dict[int, str] = {}
        for entry in self._entries:
            days = entry.days() if isinstance(entry, Yearly) else range(entry.first, entry.last + 1)
            for day in days:
                self._add(day, entry.label)
        self._days = sorted(self._labels)
        self._text = "".join(f"{line_of(entry)}\n" for entry in self._entries)

    def _add(self, day: int, label: str) -> None:
        known = self._labels.get(day)
        is_new = label and label not in (known or "").split("; ")
        self._labels[day] = f"{known}; {label}" if known and is_new else known or label

    def __repr__(self) -> str:
        return f"DatedCalendar({self._name!r}, {len(self._days)} days)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DatedCalendar) and (self.name, self._text) == (other.name, other._text)

    def __hash__(self) -> int:
        return hash((self._name, self._text))

    @property
    def name(self) -> str:
        """How jobs refer to it."""
        return self._name

    def label(self, day: int) -> str | None:
        """What the day is called, perhaps nothing (""); None when the calendar does not hold it."""
        return self._labels.get(day)

    def days(self, low: int, high: int) -> list[int]:
        """The days held in low <= day < high, ascending."""
        return self._days[bisect_left(self._days, low) : bisect_left(self._days, high)]

    def to_text(self) -> str:
        """The text to store: one entry a line, in the form of a calendar file."""
        return self._text


def _order(entry: Entry) -> tuple[int, int, str]:
    if isinstance(entry, Yearly):
        return -1, (entry.month * 32 + entry.day) * 10_000 + entry.year, entry.label
    return entry.first, entry.last, entry.label


def line_of(entry: Entry) -> str:
    """An entry as a line of a calendar file."""
    if isinstance(entry, Yearly):
        is_plain = entry.year == FIRST_YEAR and entry.step == 1
        years = "*" if is_plain else f"{entry.year}/{entry.step}"
        text = f"{years}-{entry.month:02}-{entry.day:02}"
    else:
        text = date_text(entry.first)
        if entry.last != entry.first:
            text += f"..{date_text(entry.last)}"
    return f"{text} {entry.label}".rstrip()


def date_text(day: int) -> str:
    """A day number as `2026-12-24`."""
    return date.fromordinal(day + EPOCH_ORDINAL).isoformat()


def weekday_text(day: int) -> str:
    """A day number as `Thu 2026-12-24`."""
    return date.fromordinal(day + EPOCH_ORDINAL).strftime("%a %Y-%m-%d")


def listing(calendar: Calendar, first: date, last: date) -> list[tuple[date, str]]:
    """The dates of a calendar from `first` to `last`, both included, with their labels."""
    low, high = first.toordinal() - EPOCH_ORDINAL, last.toordinal() - EPOCH_ORDINAL + 1
    return [
        (date.fromordinal(day + EPOCH_ORDINAL), calendar.label(day) or "") for day in calendar.days(low, high)
    ]


def calendar_from_text(name: str, text: str) -> Calendar:
    """The calendar that `to_text` wrote, or the one that a calendar file describes.

    The `holidays` package is not looked at before a date is asked for, so this costs nothing where
    calendars are only listed.

    Raises:
        ScheduleError: The text cannot be read; names the line.
    """
    if text.startswith(PACKAGE_PREFIX):
        from cronq.schedule.holiday_package import HolidayCalendar

        return HolidayCalendar(name, text.removeprefix(PACKAGE_PREFIX).strip())
    from cronq.schedule.calendar_files import read_dates

    return DatedCalendar(name, read_dates(text))


def check_name(name: str) -> str:
    """The name, if a calendar may have it.

    Raises:
        ScheduleError: It holds other signs than letters, digits, `.`, `_` and `-`, or none.
    """
    if _NAME.fullmatch(name):
        return name
    shown = printable(name[:64])
    raise ScheduleError(
        f"`{shown}` cannot be the name of a calendar",
        hint="letters, digits, `.`, `_` and `-`, at most 64 of them, the first a letter or digit",
        text=shown,
        span=(0, len(shown)),
    )


def unknown_calendar(name: str, known: Iterable[str]) -> tuple[str, str]:
    """Message and hint for a name that no calendar has."""
    names = sorted(known)
    hint = did_you_mean(name, names)
    if not hint and names:
        hint = "there are " + ", ".join(f"`{each}`" for each in names[:8])
    more = "holidays of a country need no definition: us-holidays, de-by-holidays, nyse-holidays"
    return f"no calendar named `{name}`", hint or more
