"""What a Schedule is as an object: immutable, small, cached, and cheap to import."""

from __future__ import annotations

import gc
import pickle
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone

import pytest

from cronq.errors import InvariantError
from cronq.schedule import Schedule, parse
from cronq.schedule.parse import forget
from cronq.schedule.schedule import datetime_from_us, us_from_datetime
from cronq.schedule.spans import ZoneSpans

NOW = datetime(2026, 3, 28, 12, 0, 5, tzinfo=UTC)
TEXTS = [
    "* * * * *",
    "*/5 * * * *",
    "0 9 * * 1-5",
    "0 0 29 2 *",
    "30 2 * * *",
    ["15W,L", "0 9 L,15W * fri#3,monL"][1],
    "*/7 */7 */5 * jan-mar mon,fri",
    "every 10m from 09:00 between 09:00-17:00 on mon-fri",
    "every 2 weeks on fri at 10:00 from 2026-01-09",
    "every 3 months on L at 12:00",
    "at 2026-12-24T18:00",
    "@reboot",
    "oncalendar: Mon..Fri *-*~01 09:00:30",
]


def deep_size(thing: object) -> int:
    """Bytes of an object and of what it alone refers to; zones, types and small numbers are shared."""
    seen: set[int] = set()
    total = 0
    waiting = [thing]
    while waiting:
        current = waiting.pop()
        shared = current is None or isinstance(current, bool | type | ZoneSpans) or callable(current)
        if id(current) in seen or shared or (isinstance(current, int) and -5 <= current <= 256):
            continue
        seen.add(id(current))
        total += sys.getsizeof(current)
        waiting.extend(gc.get_referents(current))
    return total


@pytest.mark.parametrize("text", TEXTS)
def test_a_schedule_is_smaller_than_two_kilobytes(text: str) -> None:
    schedule = parse(text, tz="Europe/Berlin", name="a-job-with-a-name")
    schedule.next(NOW)
    list(schedule.between(NOW, NOW + timedelta(days=1)))
    assert deep_size(schedule) < 2000


@pytest.mark.parametrize("text", TEXTS)
def test_a_schedule_is_immutable_hashable_and_travels(text: str) -> None:
    schedule = parse(text, tz="Europe/Berlin", name="x", dst="both")
    for name in ("text", "tz", "other"):
        with pytest.raises(InvariantError):
            setattr(schedule, name, "changed")
    with pytest.raises(InvariantError):
        del schedule.text
    again = pickle.loads(pickle.dumps(schedule))
    assert again == schedule
    assert hash(again) == hash(schedule)
    assert again.next(NOW) == schedule.next(NOW)
    assert repr(schedule) == f"Schedule({text!r}, tz='Europe/Berlin', dst='both')"
    assert schedule != "text"


def test_parsed_schedules_are_cached_by_all_that_decides() -> None:
    first = parse("H * * * *", tz="UTC", name="a")
    assert parse("H * * * *", tz="UTC", name="a") is first
    assert parse("H * * * *", tz="UTC", name="b") is not first
    assert parse("H * * * *", tz="Europe/Berlin", name="a") is not first
    assert parse("H * * * *", tz="UTC", name="a", dst="skip") is not first
    forget()
    assert parse("H * * * *", tz="UTC", name="a") == first


def test_attributes_tell_the_normal_form() -> None:
    schedule = parse("  */5 * * * *\t", tz="Asia/Tokyo", name="x", dst="skip")
    assert (schedule.text, schedule.tz, schedule.name, schedule.dst) == (
        "*/5 * * * *",
        "Asia/Tokyo",
        "x",
        "skip",
    )
    assert schedule.is_interval
    assert not schedule.at_startup
    assert not parse("5 * * * * ; 0 0 * * *").is_interval
    assert not parse("H/5 1 * * *").is_interval


def test_datetimes_of_any_zone_are_accepted_and_utc_comes_back() -> None:
    schedule = parse("0 12 * * *")
    east = timezone(timedelta(hours=9))
    assert schedule.next(NOW.astimezone(east)) == schedule.next(NOW)
    found = schedule.next(NOW)
    assert found is not None
    assert found.tzinfo is UTC


@pytest.mark.parametrize("method", ["next", "prev", "warnings", "notes_at"])
def test_a_naive_datetime_is_a_bug(method: str) -> None:
    with pytest.raises(InvariantError):
        getattr(parse("@daily"), method)(datetime(2026, 1, 1))  # noqa: DTZ001


def test_twins_in_microseconds_agree() -> None:
    schedule: Schedule = parse("*/7 3 * * *", tz="America/New_York")
    now_us = us_from_datetime(NOW)
    later = NOW + timedelta(days=3)
    found = schedule.next_us(now_us)
    earlier = schedule.prev_us(now_us)
    assert found is not None
    assert earlier is not None
    assert datetime_from_us(found) == schedule.next(NOW)
    assert datetime_from_us(earlier) == schedule.prev(NOW)
    streamed = [datetime_from_us(at) for at in schedule.iter_us(now_us, us_from_datetime(later))]
    assert streamed == list(schedule.between(NOW, later))
    assert schedule.count_us(now_us, us_from_datetime(later)) == len(streamed) == 27


@pytest.mark.parametrize("tz", ["UTC", "Europe/Berlin", "Pacific/Apia"])
@pytest.mark.parametrize("text", [*TEXTS, "every 90s", "every 7h on mon", "every 5 days", "every 36h"])
def test_the_ends_of_the_calendar_are_no_accident(text: str, tz: str) -> None:
    schedule = parse(text, tz=tz)
    first, last = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    assert schedule.next(last) is None
    assert schedule.prev(first) is None
    near = schedule.next(last - timedelta(days=800))
    assert near is None or near.year in range(9997, 10000)
    near = schedule.prev(first + timedelta(days=800))
    assert near is None or near.year in range(1, 4)
    assert schedule.count_us(us_from_datetime(last) - 10**12, us_from_datetime(last)) == 0


def test_between_is_half_open() -> None:
    schedule = parse("0 * * * *")
    start = datetime(2026, 1, 1, tzinfo=UTC)
    found = list(schedule.between(start, start + timedelta(hours=2)))
    assert found == [start, start + timedelta(hours=1)]
    assert list(schedule.between(start, start)) == []
    assert list(schedule.between(start + timedelta(hours=5), start)) == []
    assert schedule.count_us(5, 5) == schedule.count_us(10, 5) == 0


def test_between_streams() -> None:
    endless = parse("* * * * * *").between(NOW, datetime(2199, 1, 1, tzinfo=UTC))
    assert next(endless) == NOW
    assert next(endless) == NOW + timedelta(seconds=1)


def test_the_clock_is_asked_for_now_only_when_it_matters() -> None:
    assert parse("in 10m").text.startswith("at 20")
    assert parse("in 10m").next(datetime(2020, 1, 1, tzinfo=UTC)) is not None


def test_importing_and_parsing_stay_light() -> None:
    heavy = ["croniter", "dateutil", "rich", "difflib", "ctypes", "asyncio", "hashlib", "importlib.metadata"]
    code = (
        "import sys; from cronq.schedule import parse; "
        "parse('*/5 9-17 * * 1-5', tz='Europe/Berlin'); parse('every 10m'); parse('@daily'); "
        f"print([m for m in {heavy} if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
