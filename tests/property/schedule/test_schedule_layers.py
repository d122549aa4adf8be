"""Bounds, calendars and blackouts against their rules applied to one fire time or minute at a time."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from cronq.errors import ScheduleError
from cronq.schedule import Schedule, parse
from cronq.schedule.assertions import parse_assertion
from cronq.schedule.blackout import read_blackouts
from cronq.schedule.bounds import Bounded, Bounds
from cronq.schedule.calendar_uses import CalendarUse
from cronq.schedule.calendars import Calendar, DatedCalendar, Dates, Yearly
from cronq.schedule.schedule import datetime_from_us, us_from_datetime
from cronq.schedule.shift import Shifted
from cronq.schedule.zones import zone
from tests.property.schedule.layer_oracle import EPOCH_DATE, brute, check_laws, is_held, local, shifted
from tests.property.schedule.schedule_oracle import CHANGES, fresh_seed, random_case

DAY_US = 86_400_000_000


def random_calendar(rng: random.Random, name: str, near: int) -> DatedCalendar:
    entries: list[Dates | Yearly] = []
    for _ in range(rng.choice([1, 2, 4, 8])):
        first = near + rng.randrange(-12, 12)
        entries.append(Dates(first, first + rng.choice([0, 0, 0, 1, 3, 6]), rng.choice(["", "a", "b c"])))
    if rng.random() < 0.3:
        entries.append(Yearly(1970, rng.choice([1, 2]), rng.randint(1, 12), rng.randint(1, 28), "yearly"))
    return DatedCalendar(name, entries)


def draw(rng: random.Random) -> tuple[Schedule, str, datetime] | None:
    """A schedule of at most some thousand fire times a month, its zone and a change of its clock."""
    key, change = rng.choice(CHANGES)
    at = datetime.fromisoformat(change).replace(tzinfo=UTC)
    near = at.astimezone(zone(key)).replace(tzinfo=None)
    near += timedelta(days=rng.choice([-1, 0, 0, 0, 1, 3]))
    try:
        schedule = parse(random_case(rng, near).text, tz=key, dst=rng.choice(["cron", "skip", "both"]))
    except ScheduleError:
        return None
    start = us_from_datetime(at)
    return (schedule, key, at) if schedule.count_us(start, start + 30 * DAY_US) < 1500 else None


def check_calendars(rng: random.Random, schedule: Schedule, key: str, at: datetime, seed: int) -> None:
    near = (at.date() - EPOCH_DATE).days
    calendars: list[Calendar] = [
        random_calendar(rng, f"cal-{number}", near) for number in range(rng.choice([1, 1, 2, 3]))
    ]
    uses = [CalendarUse(calendar, rng.choice(["skip", "next", "previous"])) for calendar in calendars]
    low = us_from_datetime(at) - rng.randrange(1, 12) * DAY_US + rng.randrange(DAY_US)
    high = low + rng.randrange(1, 20) * DAY_US
    pairs = [(use.calendar, use.rule) for use in uses]
    note = f"{schedule!r} {[(use.text, use.calendar.to_text()) for use in uses]} seed {seed}"
    expected = brute(schedule, low, high, lambda fire: shifted(fire, pairs, key), 40 * DAY_US)
    times = Shifted(schedule, tuple(uses), key)
    check_laws(rng, times, expected, low, high, note)
    for fire in expected[:2] + expected[-2:]:
        sources = [
            source
            for source in schedule.iter_us(fire - 40 * DAY_US, fire + 40 * DAY_US)
            if any(is_held(calendar, local(source, key).date()) for calendar, _ in pairs)
            and shifted(source, pairs, key) == fire
        ]
        text = times.note_at(fire)
        assert (text is None) == (not sources), f"{fire} {text}: {note}"
        if text is not None and len({local(source, key).date() for source in sources}) < 3:
            assert all(f"{local(source, key):%a %Y-%m-%d}" in text for source in sources), f"{text}: {note}"


def run(total: int) -> int:
    seed = fresh_seed()
    rng = random.Random(seed)
    done = 0
    while done < total:
        drawn = draw(rng)
        if drawn is not None:
            check_calendars(rng, *drawn, seed)
            done += 1
    return done


def test_calendars_are_the_rule_applied_to_each_fire_time() -> None:
    assert run(25) == 25


@pytest.mark.slow
def test_calendars_are_the_rule_applied_to_each_fire_time_at_length() -> None:
    print("schedules under calendars", run(1000))


def test_bounds_are_the_fire_times_between_them() -> None:
    seed = fresh_seed()
    rng = random.Random(seed)
    done = 0
    while done < 60:
        drawn = draw(rng)
        if drawn is None:
            continue
        schedule, _, at = drawn
        low = us_from_datetime(at) - rng.randrange(20 * DAY_US)
        high = low + 30 * DAY_US
        first, last = sorted(rng.randrange(low, high) for _ in range(2))
        bounds = Bounds("a" if rng.random() < 0.8 else "", "b" if rng.random() < 0.8 else "")
        bounds = bounds._replace(
            low_us=first if bounds.start else bounds.low_us,
            high_us=last + 1 if bounds.until else bounds.high_us,
        )
        expected = [fire for fire in schedule.iter_us(low, high) if bounds.low_us <= fire < bounds.high_us]
        note = f"{schedule!r} {bounds} seed {seed}"
        check_laws(rng, Bounded(schedule, bounds), expected, low, high, note)
        done += 1


def test_holds_are_the_minutes_that_the_clock_shows_inside() -> None:
    """Against a walker that asks `zoneinfo` about every minute around a clock change."""
    seed = fresh_seed()
    rng = random.Random(seed)
    for _ in range(40):
        key, change = rng.choice(CHANGES)
        start = datetime.fromisoformat(change).replace(tzinfo=UTC) - timedelta(hours=30)
        spec = [
            [*rng.sample(range(0, 1440, 15), 2), rng.choice([127, 62, 65, 16])]
            for _ in range(rng.choice([1, 2, 3]))
        ]
        names = {127: "sun-sat", 62: "mon-fri", 65: "sat,sun", 16: "thu"}
        texts = tuple(
            f"{names[mask]} {a // 60:02}:{a % 60:02}-{b // 60:02}:{b % 60:02}:defer" for a, b, mask in spec
        )
        minutes = [start + timedelta(minutes=n) for n in range(72 * 60)]
        inside = []
        for at in minutes:
            wall = at.astimezone(zone(key))
            tod, day = wall.hour * 60 + wall.minute, wall.isoweekday() % 7
            inside.append(
                any(
                    (a <= tod < b and mask >> day & 1)
                    if a < b
                    else (tod >= a and mask >> day & 1) or (tod < b and mask >> (day - 1) % 7 & 1)
                    for a, b, mask in spec
                )
            )
        try:
            blackouts = read_blackouts(texts, key)
        except ScheduleError:
            # Together they hold a whole week.
            continue
        for place in rng.sample(range(len(minutes)), 200):
            hold = blackouts.at(us_from_datetime(minutes[place]))
            note = f"{texts} in {key} at {minutes[place]}, seed {seed}"
            assert (hold is not None) == inside[place], note
            if hold is not None and False in inside[place:]:
                assert datetime_from_us(hold.ends_us) == minutes[inside.index(False, place)], note


def violated(text: str, schedule: Schedule, key: str, low: int, high: int) -> bool:
    """Whether the fire times of a month violate an assertion, one by one."""
    words = text.split()
    fires = list(schedule.iter_us(low, high))
    walls = [local(fire, key) for fire in fires]
    if words[0] == "at":
        first = schedule.prev_us(low + 1)
        all_fires = [*([] if first is None else [first]), *fires]
        following = schedule.next_us(all_fires[-1] if all_fires else high)
        gaps = pairwise([*all_fires, *([] if following is None else [following])])
        limit = int(words[3][:-1]) * 3600 * 1_000_000
        return following is None or any(right - left > limit for left, right in gaps if left < high)
    if words[1] == "more":
        days = Counter(local(fire, key).date() for fire in schedule.iter_us(low - DAY_US, high + DAY_US))
        return any(days[wall.date()] > int(words[3]) for wall in walls)
    tods = [f"{wall:%H:%M:%S}" for wall in walls]
    first_tod, last_tod = words[2] + ":00", words[4] + ":00"
    if words[0] == "never":
        outside = [
            first_tod <= tod < last_tod if first_tod < last_tod else not last_tod <= tod < first_tod
            for tod in tods
        ]
    else:
        outside = [
            not first_tod <= tod <= last_tod if first_tod < last_tod else last_tod < tod < first_tod
            for tod in tods
        ]
    return any(outside)


def test_assertions_find_what_is_there() -> None:
    seed = fresh_seed()
    rng = random.Random(seed)
    seen = Counter[bool]()
    while seen.total() < 150:
        drawn = draw(rng)
        if drawn is None:
            continue
        schedule, key, at = drawn
        low = us_from_datetime(at) - rng.randrange(20 * DAY_US)
        # Days that go back over midnight have two beginnings, which the count per day does not tell.
        first, last = (f"{rng.randrange(24):02}:{rng.choice(['00', '15', '30'])}" for _ in range(2))
        texts = [
            f"{rng.choice(['never', 'only'])} between {first} and {last}",
            f"never more than {rng.choice([1, 2, 4, 24])} times a day",
            f"at least every {rng.choice([1, 12, 24, 25, 49, 200])}h",
        ]
        text = rng.choice(texts[1:] if first == last else texts)
        if "day" in text and key in ("America/St_Johns", "America/Sao_Paulo", "America/Havana", "Asia/Amman"):
            continue
        found = parse_assertion(text).check(schedule, key, low, 20 * DAY_US)
        note = f"{text!r} of {schedule!r} from {low}: {found}, seed {seed}"
        assert (found is not None) == violated(text, schedule, key, low, low + 20 * DAY_US), note
        seen[found is not None] += 1
    assert min(seen.values()) > 5, seen
