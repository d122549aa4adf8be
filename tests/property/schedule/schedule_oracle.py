"""The rule of schedules.md as a walker that looks at every minute (or second), and random schedules.

Written from the rule alone: it shares no code with the engine, keeps datetimes where the engine
keeps integers, and asks `zoneinfo` about every single instant.
"""

from __future__ import annotations

import calendar
import os
import random
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from cronq.schedule.zones import zone

MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)
Matcher = Callable[[datetime], bool]

# Zone and a UTC instant near each change that schedules.md §7 wants tested, two per line or more.
CHANGES: list[tuple[str, str]] = [
    ("America/New_York", "2026-03-08T07:00"),
    ("America/New_York", "2026-11-01T06:00"),
    ("Europe/Berlin", "2027-03-28T01:00"),
    ("Europe/Berlin", "2026-10-25T01:00"),
    ("Europe/London", "2026-03-29T01:00"),
    ("Europe/London", "2026-10-25T01:00"),
    ("Australia/Lord_Howe", "2026-04-04T15:00"),
    ("Australia/Lord_Howe", "2026-10-03T15:30"),
    ("America/Sao_Paulo", "2018-11-04T03:00"),
    ("America/Sao_Paulo", "2018-02-18T02:00"),
    ("Asia/Amman", "2021-03-25T22:00"),
    ("Asia/Amman", "2021-10-28T22:00"),
    ("America/St_Johns", "2010-03-14T03:31"),
    ("America/St_Johns", "2010-11-07T02:31"),
    ("Antarctica/Troll", "2026-03-29T01:00"),
    ("Antarctica/Troll", "2026-10-25T01:00"),
    ("Africa/Casablanca", "2026-02-15T02:00"),
    ("Africa/Casablanca", "2026-03-22T02:00"),
    ("Asia/Kathmandu", "1985-12-31T18:30"),
    ("Pacific/Apia", "2011-12-30T10:00"),
    ("Pacific/Apia", "2011-09-24T14:00"),
    ("Pacific/Apia", "2012-03-31T14:00"),
    ("Pacific/Chatham", "2026-04-04T14:00"),
    ("Pacific/Chatham", "2026-09-26T14:00"),
    ("Asia/Pyongyang", "2018-05-04T15:00"),
    ("Asia/Pyongyang", "2015-08-14T15:00"),
    ("America/Caracas", "2016-05-01T07:00"),
    ("America/Caracas", "2007-12-09T07:00"),
    ("Pacific/Kwajalein", "1993-08-21T12:00"),
    ("America/Havana", "2026-03-08T05:00"),
    ("America/Havana", "2026-11-01T05:00"),
    ("Asia/Beirut", "2026-03-28T22:00"),
    ("America/Scoresbysund", "2024-03-31T01:00"),
    ("UTC", "2026-03-08T07:00"),
]


# An offset of whole seconds until 1972: for walkers that look at every second.
SECOND_CHANGES = [*CHANGES, ("Africa/Monrovia", "1972-01-07T00:44")]


def fresh_seed() -> int:
    """The seed of this run: from CRONQ_SEED, or new; every assertion prints it."""
    return int(os.environ.get("CRONQ_SEED") or random.SystemRandom().randrange(1 << 32))


@dataclass(frozen=True)
class Case:
    """A random schedule and what it means."""

    text: str
    matches: Matcher
    is_interval: bool
    six: bool = False


@dataclass(frozen=True)
class Window:
    """Every tick from start to end with its wall time."""

    ticks: list[datetime]
    walls: list[datetime]
    tick: timedelta


@cache
def window(tz: str, change: str, hours: int, seconds: bool) -> Window:
    """The ticks around a change."""
    tick = SECOND if seconds else MINUTE
    middle = datetime.fromisoformat(change).replace(tzinfo=UTC)
    start = middle - timedelta(hours=hours)
    count = int(timedelta(hours=2 * hours) / tick)
    ticks = [start + n * tick for n in range(count)]
    key: ZoneInfo = zone(tz)
    return Window(ticks, [at.astimezone(key).replace(tzinfo=None, fold=0) for at in ticks], tick)


def fires(case: Case, view: Window, dst: str) -> list[datetime]:
    """The fire times in a window: rules 15 and 16 word by word."""
    repeats = dst == "both" or (dst == "cron" and case.is_interval)
    moves = dst != "skip" and not case.is_interval
    found: list[datetime] = []
    latest = view.walls[0] - view.tick
    is_owed = False
    for at, wall in zip(view.ticks, view.walls, strict=True):
        fire = case.matches(wall) and (repeats or wall > latest)
        missing = latest + view.tick
        while moves and not is_owed and missing < wall:
            is_owed = case.matches(missing)
            missing += view.tick
        # A minute of which a gap leaves a part is not an existing one.
        if fire or (is_owed and wall.second == 0):
            found.append(at)
        is_owed = is_owed and wall.second != 0
        latest = max(latest, wall)
    return found


def after(found: list[datetime], at: datetime) -> datetime | None:
    """The first fire time after an instant, of those in a window."""
    place = bisect_right(found, at)
    return found[place] if place < len(found) else None


def before(found: list[datetime], at: datetime) -> datetime | None:
    """The last fire time before an instant, of those in a window."""
    place = bisect_left(found, at)
    return found[place - 1] if place else None


DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]


def random_field(
    rng: random.Random, low: int, high: int, near: list[int], names: list[str], star: float
) -> str:
    """A field: `*` with the given likelihood, else a list of values, ranges and steps."""
    if rng.random() < star:
        return rng.choice(["*", "*", "*", f"*/{rng.choice([2, 3, 5, 7, 10, 15, 20, 30, 45, 70])}"])
    items = []
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        first = rng.choice(near) if near and rng.random() < 0.8 else rng.randint(low, high)
        kind = rng.random()
        if kind < 0.6:
            items.append(_name(rng, first, low, names))
        elif kind < 0.8:
            last = rng.randint(low, high)
            items.append(f"{_name(rng, first, low, names)}-{_name(rng, last, low, names)}")
        else:
            last = rng.randint(first, high)
            step = rng.randint(1, 20)
            text = f"{first}-{last}/{step}"
            items.append(text if names is DAYS or rng.random() < 0.5 else f"{first}/{step}")
    return ",".join(items)


def _name(rng: random.Random, value: int, low: int, names: list[str]) -> str:
    if names and rng.random() < 0.5:
        return names[(value - low) % len(names)]
    return str(value) if rng.random() < 0.9 else f"0{value}"


def field_values(text: str, low: int, high: int, names: list[str]) -> set[int]:
    """The numbers of a field, special day items left out."""
    found: set[int] = set()
    for item in text.lower().split(","):
        for index, name in enumerate(names):
            item = item.replace(name, str(index + low))
        if item in ("l", "lw") or "#" in item or item.endswith(("w", "l")):
            continue
        body, _, step_text = item.partition("/")
        step = int(step_text or 1)
        if body in ("*", "?"):
            found.update(range(low, high + 1, step))
        elif "-" in body:
            first, last = (int(part) for part in body.split("-"))
            if names is DAYS and last == 0 and first > 0 and not text.lower().endswith("-0"):
                last = 7
            if first > last:
                found.update([*range(first, high + 1), *range(low, last + 1)])
            else:
                found.update(range(first, last + 1, step))
        else:
            found.update(range(int(body), high + 1, step) if step_text else [int(body)])
    return found


def day_special(text: str, wall: datetime) -> bool:
    """Whether `L`, `LW` or `15W` in a day-of-month field names a date."""
    length = calendar.monthrange(wall.year, wall.month)[1]
    for item in text.upper().split(","):
        if item == "L" and wall.day == length:
            return True
        if item == "LW" and wall.day == max(
            d for d in range(1, length + 1) if wall.replace(day=d).isoweekday() < 6
        ):
            return True
        if item.endswith("W") and item != "LW" and int(item[:-1]) <= length:
            wanted = int(item[:-1])
            workdays = [d for d in range(1, length + 1) if wall.replace(day=d).isoweekday() < 6]
            # Friday before Saturday, Monday after Sunday: at equal distance neither can happen.
            if wall.day == min(workdays, key=lambda d: abs(d - wanted)):
                return True
    return False


def weekday_special(text: str, wall: datetime) -> bool:
    """Whether `5#3` or `5L` in a day-of-week field names a date."""
    length = calendar.monthrange(wall.year, wall.month)[1]
    for item in text.lower().split(","):
        for index, name in enumerate(DAYS):
            item = item.replace(name, str(index))
        if "#" in item:
            day, number = (int(part) for part in item.split("#"))
            if wall.isoweekday() % 7 == day % 7 and (wall.day - 1) // 7 + 1 == number:
                return True
        elif item.endswith("l") and wall.isoweekday() % 7 == int(item[:-1]) % 7 and wall.day + 7 > length:
            return True
    return False


def cron_matcher(text: str) -> Matcher:
    """The predicate of a cron expression, from rules 4 to 8."""
    words = text.split()
    second_text = words.pop(0) if len(words) == 6 else "0"
    seconds = field_values(second_text, 0, 59, [])
    minutes = field_values(words[0], 0, 59, [])
    hours = field_values(words[1], 0, 23, [])
    days = field_values(words[2], 1, 31, [])
    months = field_values(words[3], 1, 12, MONTHS)
    weekdays = {value % 7 for value in field_values(words[4], 0, 7, DAYS)}
    both = words[2][0] in "*?" or words[4][0] in "*?"

    @cache
    def on_day(year: int, month: int, day: int) -> bool:
        wall = datetime(year, month, day)  # noqa: DTZ001 - a wall time has no zone
        by_day = day in days or day_special(words[2], wall)
        by_weekday = wall.isoweekday() % 7 in weekdays or weekday_special(words[4], wall)
        return month in months and ((by_day and by_weekday) if both else (by_day or by_weekday))

    def matches(wall: datetime) -> bool:
        return (
            wall.minute in minutes
            and wall.hour in hours
            and wall.second in seconds
            and on_day(wall.year, wall.month, wall.day)
        )

    return matches


def random_cron(rng: random.Random, near: datetime, *, six: bool = False, special: bool = True) -> Case:
    """A cron expression that often fires near a wall time."""
    hours = [(near.hour + shift) % 24 for shift in (-2, -1, 0, 0, 1, 1, 2)]
    minutes = [0, 0, 15, 29, 30, 30, 45, 59]
    minute = random_field(rng, 0, 59, minutes, [], 0.35)
    hour = random_field(rng, 0, 23, hours, [], 0.35)
    day, weekday = "*", "*"
    if rng.random() < 0.3:
        day = random_field(rng, 1, 31, [near.day], [], 0.15)
        if special and rng.random() < 0.3:
            day = rng.choice(["L", "LW", f"{near.day}W", f"L,{near.day}", "15W", "1W", "31W", "?"])
    if rng.random() < 0.3:
        weekday = random_field(rng, 0, 7, [near.isoweekday() % 7], DAYS, 0.15)
        if special and rng.random() < 0.3:
            weekday = rng.choice(
                [f"{near.isoweekday() % 7}#{(near.day - 1) // 7 + 1}", "sunL", "5L", "0#2,fri#1"]
            )
    month = "*" if rng.random() < 0.85 else random_field(rng, 1, 12, [near.month], MONTHS, 0.1)
    text = f"{minute} {hour} {day} {month} {weekday}"
    if six:
        text = random_field(rng, 0, 59, [0, 1, 30, 59], [], 0.3) + " " + text
    words = text.split()[-5:]
    is_interval = words[0].startswith("*") or words[1].startswith("*")
    return Case(text, cron_matcher(text), is_interval, six)


def random_every(rng: random.Random) -> Case:
    """An interval in whole minutes, which divides the day or not."""
    step = rng.choice([5, 7, 10, 15, 20, 30, 45, 60, 70, 90, 120, 180, 420, 1440, 2160, 2880, 10080])
    text = f"every {step}m"
    kind = rng.random()
    anchor = datetime(1970, 1, 5)  # noqa: DTZ001
    if kind < 0.4:
        return Case(text, lambda wall: int((wall - anchor) / MINUTE) % step == 0, True)
    first = rng.randrange(0, 1440, 5)
    text += f" from {first // 60:02}:{first % 60:02}"
    last = None
    if rng.random() < 0.6:
        low, last = rng.randrange(1440), rng.randrange(1440)
        text += f" between {low // 60:02}:{low % 60:02}-{last // 60:02}:{last % 60:02}"
    weekdays = set(range(7))
    if rng.random() < 0.3:
        text += " on fri-mon"
        weekdays = {5, 6, 0, 1}

    def matches(wall: datetime) -> bool:
        tod = wall.hour * 60 + wall.minute
        inside = last is None or (low <= tod <= last if low <= last else (tod >= low or tod <= last))
        return inside and wall.isoweekday() % 7 in weekdays and (tod - first) % 1440 % step == 0

    return Case(text, matches, True)


def random_nth(rng: random.Random, near: datetime) -> Case:
    """Every n-th day, week or month at some times."""
    number = rng.choice([1, 2, 3])
    first, second = rng.randrange(1440), near.hour * 60 + rng.choice([0, 15, 30, 45])
    times = {first, second}
    at = ",".join(f"{tod // 60:02}:{tod % 60:02}" for tod in sorted(times))
    unit = rng.choice(["days", "weeks", "months"])
    start = (near - timedelta(days=rng.randrange(60))).replace(hour=0, minute=0, second=0)
    weekdays = {near.isoweekday() % 7, rng.randrange(7)}
    on = ""
    if unit == "weeks":
        on = " on " + ",".join(DAYS[day] for day in weekdays)
    elif unit == "months":
        on = f" on {near.day},L"
    monday = start - timedelta(days=start.weekday())

    def matches(wall: datetime) -> bool:
        if wall.hour * 60 + wall.minute not in times or wall < start:
            return False
        days = (wall - start).days
        if unit == "days":
            return days % number == 0
        if unit == "weeks":
            return wall.isoweekday() % 7 in weekdays and (wall - monday).days // 7 % number == 0
        months = (wall.year - start.year) * 12 + wall.month - start.month
        is_last = wall.day == calendar.monthrange(wall.year, wall.month)[1]
        return months % number == 0 and (wall.day == near.day or is_last)

    return Case(f"every {number} {unit}{on} at {at} from {start:%Y-%m-%d}", matches, False)


def random_case(rng: random.Random, near: datetime) -> Case:
    """Any schedule of whole minutes."""
    kind = rng.random()
    if kind < 0.8:
        return random_cron(rng, near)
    return random_every(rng) if kind < 0.9 else random_nth(rng, near)
