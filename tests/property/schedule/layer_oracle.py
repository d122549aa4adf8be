"""The laws of every layer around a schedule, and the layers' rules worked out fire time by fire time.

Shares no code with the layers: dates and landings come from `zoneinfo` and datetimes.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

from cronq.schedule.calendars import Calendar
from cronq.schedule.firetimes import FireTimes
from cronq.schedule.schedule import datetime_from_us, us_from_datetime
from cronq.schedule.zones import zone

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
EPOCH_DATE = date(1970, 1, 1)


def local(at_us: int, tz: str) -> datetime:
    """The wall time of an instant, without its zone."""
    return datetime_from_us(at_us).astimezone(zone(tz)).replace(tzinfo=None, fold=0)


def landed(wall: datetime, tz: str) -> int:
    """The instant of a wall time as a fixed-time job sees it (rule 15)."""
    key = zone(tz)
    while True:
        at = wall.replace(tzinfo=key, fold=0).astimezone(UTC)
        if at.astimezone(key).replace(tzinfo=None, fold=0) == wall:
            return us_from_datetime(at)
        wall = wall.replace(second=0, microsecond=0) + MINUTE


def is_held(calendar: Calendar, day: date) -> bool:
    """Whether a calendar holds a date."""
    return calendar.label((day - EPOCH_DATE).days) is not None


def shifted(fire_us: int, uses: list[tuple[Calendar, str]], tz: str) -> int | None:
    """What one fire time becomes under calendars."""
    wall = local(fire_us, tz)
    rules = [rule for calendar, rule in uses if is_held(calendar, wall.date())]
    if not rules:
        return fire_us
    if "skip" in rules:
        return None
    step = DAY if rules[0] == "next" else -DAY
    target = wall + step
    while target.isoweekday() > 5 or any(is_held(calendar, target.date()) for calendar, _ in uses):
        target += step
        if abs(target - wall) > 366 * 50 * DAY:
            return None
    return landed(target, tz)


def check_laws(
    rng: random.Random, times: FireTimes, expected: list[int], low: int, high: int, note: str
) -> None:
    """Assert that a layer yields what is expected in low <= fire time < high, whichever way it is asked."""
    assert list(times.iter_us(low, high)) == expected, note
    assert times.count_us(low, high) == len(expected), note
    assert expected == sorted(set(expected)), note
    for _ in range(12):
        at = rng.randrange(low, high)
        if expected and rng.random() < 0.5:
            at = rng.choice(expected) + rng.choice([-1, 0, 1])
        after = next((fire for fire in expected if fire > at), None)
        before = next((fire for fire in reversed(expected) if fire < at), None)
        found, earlier = times.next_us(at), times.prev_us(at)
        assert found == after or (after is None and (found is None or found >= high)), f"next {at}: {note}"
        assert earlier == before or (before is None and (earlier is None or earlier < low)), (
            f"prev {at}: {note}"
        )
        left, right = sorted((at, rng.randrange(low, high)))
        part = [fire for fire in expected if left <= fire < right]
        assert list(times.iter_us(left, right)) == part, f"{left}..{right}: {note}"
        assert times.count_us(left, right) == len(part), f"{left}..{right}: {note}"


def brute(times: FireTimes, low: int, high: int, rule: Callable[[int], int | None], margin: int) -> list[int]:
    """The fire times in low <= fire time < high after a rule, from all within a margin around."""
    found = {rule(fire) for fire in times.iter_us(low - margin, high + margin)}
    return sorted(fire for fire in found if fire is not None and low <= fire < high)
