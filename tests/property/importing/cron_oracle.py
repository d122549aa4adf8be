"""Cron, after its own source: bit maps of the fields, the star flags, and the loop that wakes each minute.

It shares nothing with the importer or the engine: it reads the lines of a crontab by itself, keeps what cron
keeps (one bit a value, `DOM_STAR`, `DOW_STAR`, `MIN_STAR`, `HR_STAR`), and walks the wall clock by minutes.

Source: entry.c (`load_entry`, `get_list`, `get_range`) and cron.c (`main`, `find_jobs`) of Vixie cron 3.0 and
4.1, with the treatment of clock changes that Debian and cronie have.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cache

from cronq.schedule.zones import zone

MINUTE = timedelta(minutes=1)

MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun"]

SPECIAL = {
    # name: minute, hour, dom, month, dow; then the flags that load_entry sets for it
    "@yearly": ("0", "0", "1", "1", "*", {"dow"}),
    "@annually": ("0", "0", "1", "1", "*", {"dow"}),
    "@monthly": ("0", "0", "1", "*", "*", {"dow"}),
    "@weekly": ("0", "0", "*", "*", "0", {"dow"}),
    "@daily": ("0", "0", "*", "*", "*", set[str]()),
    "@midnight": ("0", "0", "*", "*", "*", set[str]()),
    "@hourly": ("0", "*", "*", "*", "*", {"hour"}),
}


@dataclass
class Entry:
    """One `struct entry`."""

    minute: set[int]
    hour: set[int]
    dom: set[int]
    month: set[int]
    dow: set[int]
    stars: set[str]

    @property
    def is_wild(self) -> bool:
        return bool(self.stars & {"minute", "hour"})

    def has_day(self, day: datetime) -> bool:
        if day.month not in self.month:
            return False
        in_month = day.day in self.dom
        in_week = (day.isoweekday() % 7) in self.dow
        return (in_month and in_week) if self.stars & {"dom", "dow"} else (in_month or in_week)

    def matches(self, wall: datetime) -> bool:
        return wall.minute in self.minute and wall.hour in self.hour and self.has_day(wall)


def entry_of(fields: str) -> Entry:
    """Read five fields, or a nickname."""
    if fields in SPECIAL:
        *texts, stars = SPECIAL[fields]
        flags = set(stars)
    else:
        texts = fields.split()
        names = ("minute", "hour", "dom", "month", "dow")
        flags = {name for name, text in zip(names, texts, strict=True) if text[0] == "*" and name != "month"}
    minute, hour, dom, month, dow = (
        get_list(str(text), low, high, names)
        for text, low, high, names in zip(
            texts, (0, 0, 1, 1, 0), (59, 23, 31, 12, 7), ([], [], [], MONTHS, DAYS), strict=True
        )
    )
    if dow & {0, 7}:
        dow |= {0, 7}
    return Entry(minute, hour, dom, month, dow, flags)


def get_list(text: str, low: int, high: int, names: list[str]) -> set[int]:
    bits: set[int] = set()
    for part in text.split(","):
        bits |= get_range(part, low, high, names)
    return bits


def get_range(text: str, low: int, high: int, names: list[str]) -> set[int]:
    body, _, step = text.partition("/")
    if body == "*":
        first, last = low, high
    else:
        one, dash, two = body.partition("-")
        first = get_number(one, low, names)
        last = get_number(two, low, names) if dash else first
        if first > last == 0:
            last = 7  # cronie: fri-sun
    bits = set()
    at = first
    while at <= last:
        assert low <= at <= high, text
        bits.add(at)
        at += int(step or 1)
    return bits


def get_number(text: str, low: int, names: list[str]) -> int:
    return int(text) if text.isdigit() else names.index(text.lower()) + low


# The year


def starts(entry: Entry, zone_name: str, first: datetime, last: datetime) -> list[datetime]:
    """Return when cron starts a job: UTC, ascending, `first <= t < last`."""
    there = zone(zone_name)
    found: set[datetime] = set()
    day = first - timedelta(days=1)
    while day < last + timedelta(days=1):
        following = day + timedelta(days=1)
        if day.astimezone(there).utcoffset() == following.astimezone(there).utcoffset():
            found.update(ordinary(entry, zone_name, day, following))
        else:
            # The loop remembers how far it was: it needs the minutes before the change, too.
            found.update(t for t in loop(entry, there, day - timedelta(hours=4), following) if t >= day)
        day = following
    # What a change of this day left over reaches no further than three hours.
    return sorted(t for t in found if first <= t < last)


def ordinary(entry: Entry, zone_name: str, day: datetime, following: datetime) -> Iterator[datetime]:
    if not any(entry.has_day(day + timedelta(days=n)) for n in (-1, 0, 1, 2)):
        return
    walls = minutes(zone_name, day, following)
    for hour in entry.hour:
        for minute in entry.minute:
            for at, wall in walls.get((hour, minute), ()):
                if entry.has_day(wall):
                    yield at


@cache
def minutes(
    zone_name: str, day: datetime, following: datetime
) -> dict[tuple[int, int], list[tuple[datetime, datetime]]]:
    """Return each minute, and its wall time, by hour and minute on the wall."""
    found: dict[tuple[int, int], list[tuple[datetime, datetime]]] = {}
    at = day
    while at < following:
        wall = at.astimezone(zone(zone_name)).replace(tzinfo=None)
        found.setdefault((wall.hour, wall.minute), []).append((at, wall))
        at += MINUTE
    return found


def loop(entry: Entry, there: tzinfo, first: datetime, last: datetime) -> Iterator[datetime]:
    """Yield what the main loop of cron starts, waking each minute."""
    epoch = datetime(1970, 1, 1)  # noqa: DTZ001 - a wall time

    def local_minute(at: datetime) -> int:
        return int((at.astimezone(there).replace(tzinfo=None) - epoch) / MINUTE)

    def fits(minute: int, *, wild: bool, fixed: bool) -> bool:
        is_asked = wild if entry.is_wild else fixed
        return is_asked and entry.matches(epoch + minute * MINUTE)

    virtual = local_minute(first - MINUTE)
    at = first
    while at < last:
        running = local_minute(at)
        difference = running - virtual
        is_due = False
        if difference == 1:
            virtual = running
            is_due = fits(virtual, wild=True, fixed=True)
        elif 1 < difference <= 5:
            while virtual < running:
                virtual += 1
                is_due |= fits(virtual, wild=True, fixed=True)
        elif 5 < difference <= 3 * 60:
            is_due = fits(running, wild=True, fixed=False)
            while virtual < running:
                virtual += 1
                is_due |= fits(virtual, wild=False, fixed=True)
        elif -3 * 60 < difference <= 0:
            is_due = fits(running, wild=True, fixed=False)
        else:
            virtual = running
            is_due = fits(virtual, wild=True, fixed=True)
        if is_due:
            yield at
        at += MINUTE


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def agree(ours: Iterable[datetime], theirs: Iterable[datetime]) -> str:
    """Return the first difference in words; empty if there is none."""
    one, other = set(ours), set(theirs)
    if one == other:
        return ""
    at = min(one ^ other)
    return f"{at:%a %Y-%m-%dT%H:%MZ} only {'ours' if at in one else 'cron'}"
