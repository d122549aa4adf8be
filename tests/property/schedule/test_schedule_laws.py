"""Laws that hold for every schedule, whatever it says."""

from __future__ import annotations

import calendar
import random
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from heapq import merge
from itertools import pairwise

import pytest

from cronq.errors import ScheduleError
from cronq.schedule import Schedule, parse
from cronq.schedule.schedule import us_from_datetime
from cronq.schedule.zones import zone
from tests.property.schedule.schedule_oracle import (
    CHANGES,
    cron_matcher,
    fresh_seed,
    random_case,
    random_cron,
)

MICROSECOND = timedelta(microseconds=1)


def random_schedule(rng: random.Random) -> tuple[Schedule, datetime, str] | None:
    """A schedule, an instant near a clock change of its zone and its description, or None if refused."""
    key, change = rng.choice(CHANGES)
    at = datetime.fromisoformat(change).replace(tzinfo=UTC)
    at += timedelta(seconds=rng.uniform(-1, 1) * rng.choice([60, 7200, 86400, 30 * 86400]))
    near = at.astimezone(zone(key)).replace(tzinfo=None)
    case = random_case(rng, near) if rng.random() < 0.8 else random_cron(rng, near, six=True)
    dst = rng.choice(["cron", "skip", "both"])
    try:
        return parse(case.text, tz=key, dst=dst), at, f"{case.text!r} in {key}, dst={dst}"
    except ScheduleError:
        return None


def check_start_does_not_matter(rng: random.Random, schedule: Schedule, at: datetime, note: str) -> None:
    found = schedule.next(at)
    assert found is None or found > at, note
    if found is None:
        return
    assert found.tzinfo is UTC, note
    for share in (0.0, rng.random(), rng.random(), 1.0):
        between = min(at + (found - at) * share, found - MICROSECOND)
        assert schedule.next(between) == found, f"from {between}: {note}"
        assert schedule.next(between.astimezone(zone(schedule.tz))) == found, f"from {between} local: {note}"


def check_prev_is_the_mirror(schedule: Schedule, at: datetime, note: str) -> None:
    found = schedule.next(at)
    if found is not None:
        latest = schedule.prev(found + MICROSECOND)
        assert latest == found, note
        earlier = schedule.prev(found)
        assert earlier is None or (earlier <= at and schedule.next(earlier) == found), note
    earlier = schedule.prev(at)
    assert earlier is None or earlier < at, note
    if earlier is not None:
        following = schedule.next(earlier)
        assert following is None or following >= at, note
        assert schedule.next(earlier - MICROSECOND) == earlier, note


def check_stream_is_iteration(rng: random.Random, schedule: Schedule, at: datetime, note: str) -> None:
    end = at + timedelta(seconds=rng.choice([1, 3600, 86400, 5 * 86400, 400 * 86400]))
    streamed = []
    for found in schedule.between(at, end):
        streamed.append(found)
        if len(streamed) > 200:
            end = found
            streamed.pop()
            break
    iterated = []
    current = schedule.next(at - MICROSECOND)
    while current is not None and current < end:
        iterated.append(current)
        current = schedule.next(current)
    assert streamed == iterated, note
    low, high = us_from_datetime(at), us_from_datetime(end)
    assert schedule.count_us(low, high) == len(streamed), note
    assert list(schedule.iter_us(low, high)) == [us_from_datetime(found) for found in streamed], note
    assert streamed == sorted(set(streamed)), note


def run(total: int) -> int:
    seed = fresh_seed()
    rng = random.Random(seed)
    done = 0
    while done < total:
        drawn = random_schedule(rng)
        if drawn is None:
            continue
        schedule, at, note = drawn
        note = f"{note} at {at}, seed {seed}"
        check_start_does_not_matter(rng, schedule, at, note)
        check_prev_is_the_mirror(schedule, at, note)
        check_stream_is_iteration(rng, schedule, at, note)
        done += 1
    return done


def test_laws_hold() -> None:
    assert run(500) == 500


@pytest.mark.slow
def test_laws_hold_at_length() -> None:
    print("schedules", run(20_000))


def test_a_union_is_the_merge_of_its_parts() -> None:
    seed = fresh_seed()
    rng = random.Random(seed)
    for _ in range(60):
        key, change = rng.choice(CHANGES)
        at = datetime.fromisoformat(change).replace(tzinfo=UTC) - timedelta(days=1)
        end = at + timedelta(days=2)
        texts = [random_case(rng, at.replace(tzinfo=None)).text for _ in range(rng.choice([2, 3]))]
        try:
            parts = [parse(text, tz=key) for text in texts]
        except ScheduleError:
            continue
        union = parse(" ; ".join(texts), tz=key)
        note = f"{union.text!r} in {key}, seed {seed}"
        expected = list(dict.fromkeys(merge(*(part.between(at, end) for part in parts))))
        assert list(union.between(at, end)) == expected, note
        assert union.count_us(us_from_datetime(at), us_from_datetime(end)) == len(expected), note
        assert union.next(at) == min((f for part in parts if (f := part.next(at))), default=None), note
        assert union.prev(end) == max((f for part in parts if (f := part.prev(end))), default=None), note


@pytest.mark.parametrize(("key", "change"), CHANGES)
def test_fires_per_day_across_changes(key: str, change: str) -> None:
    """A daily job fires once on every day that exists; an hourly one once per real hour."""
    at = datetime.fromisoformat(change).replace(tzinfo=UTC)
    start, end = at - timedelta(days=4), at + timedelta(days=4)
    for text in ("30 2 * * *", "0 0 * * *", "59 23 * * *", "30 1 * * *"):
        per_day = Counter(
            fire.astimezone(zone(key)).date() for fire in parse(text, tz=key).between(start, end)
        )
        # A missing time at the end of a day moves into the next one, which then has two.
        assert sum(per_day.values()) in (7, 8, 9), f"{text} in {key}"
        assert max(per_day.values()) <= 2, f"{text} in {key}"
    whole_hours = {span.utcoffset() for span in (start.astimezone(zone(key)), end.astimezone(zone(key)))}
    if all(offset is not None and offset.total_seconds() % 3600 == 0 for offset in whole_hours):
        hourly = list(parse("0 * * * *", tz=key).between(start, end))
        assert {right - left for left, right in pairwise(hourly)} == {timedelta(hours=1)}


def days_of(text: str, start: date, years: int) -> list[date]:
    """The days of a schedule at 12:00, looked at one by one."""
    matches = cron_matcher(text)
    days = (start + timedelta(days=n) for n in range(years * 366))
    noon = datetime(1, 1, 1, 12, tzinfo=None).time()  # noqa: DTZ001
    return [day for day in days if matches(datetime.combine(day, noon))]


def test_rare_days_over_decades() -> None:
    seed = fresh_seed()
    rng = random.Random(seed)
    texts = [
        "0 12 29 2 *",
        "0 12 29 2 */7",
        "0 12 31 * 5",
        "0 12 31W 2-3 *",
        "0 12 L 2 ?",
        "0 12 LW * 1#1",
        "0 12 */9 2 1",
    ]
    for text in texts:
        start = date(rng.randrange(1990, 2090), rng.randint(1, 12), rng.randint(1, 28))
        expected = days_of(text, start, 60)
        schedule = parse(text)
        low = datetime.combine(start, datetime.min.time(), tzinfo=UTC)
        found = [fire.date() for fire in schedule.between(low, low + timedelta(days=60 * 366))]
        assert found == expected, f"{text} from {start}, seed {seed}"
        high = low + timedelta(days=60 * 366)
        assert schedule.count_us(us_from_datetime(low), us_from_datetime(high)) == len(expected), text


def test_every_special_item_in_every_shape_of_month() -> None:
    """28 to 31 days, opening with each weekday: 2000 to 2027 have them all."""
    special = [f"{day}W" for day in range(1, 32)]
    texts = [f"0 12 {item} * *" for item in (*special, "L", "LW", "L,15", "1W,LW")]
    texts += [f"0 12 * * {day}#{n}" for day in range(7) for n in range(1, 6)] + [
        f"0 12 * * {day}L" for day in range(8)
    ]
    low, high = datetime(2000, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC)
    for text in random.Random(fresh_seed()).sample(texts, 8):
        expected = days_of(text, low.date(), 28)
        expected = [day for day in expected if day < high.date()]
        assert [fire.date() for fire in parse(text).between(low, high)] == expected, text


def test_the_months_of_the_calendar_are_the_librarys() -> None:
    from cronq.schedule.days import month_length

    for year in (1900, 1999, 2000, 2023, 2024, 2100):
        for month in range(1, 13):
            assert month_length(year, month) == calendar.monthrange(year, month)[1]
