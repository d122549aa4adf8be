"""The engine against croniter as a naive searcher of wall times, and against cronsim where it is right."""

from __future__ import annotations

import random
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from croniter import CroniterError, croniter
from cronsim import CronSim, CronSimError

from cronq.errors import ScheduleError
from cronq.schedule import parse
from cronq.schedule.cron import read_cron
from cronq.schedule.masks import bits, mask_of
from cronq.schedule.pieces import Piece
from cronq.schedule.zones import zone
from tests.property.schedule.schedule_oracle import (
    CHANGES,
    DAYS,
    MONTHS,
    after,
    fires,
    fresh_seed,
    random_cron,
    window,
)

MINUTE = timedelta(minutes=1)


def is_fair_to_croniter(text: str) -> bool:
    """Without what croniter 7.0 is known to misread: `5-5` is every minute to it, `#` and `W` beside days."""
    words = text.split()
    if any(mark in text for mark in "#W") or "L" in words[4]:
        return False
    names = {name: number for number, name in enumerate(DAYS)} | {name: n for n, name in enumerate(MONTHS, 1)}
    for place, word in enumerate(words):
        for low, high in re.findall(r"(\w+)-(\w+)", word):
            ends = [names.get(end, 0) or int(names.get(end, end)) for end in (low, high)]
            if ends[0] == ends[1] or (place == 4 and ends[0] % 7 == ends[1] % 7 and ends != [0, 7]):
                return False
    return True


def naive_times(text: str, start: datetime, end: datetime) -> list[datetime]:
    """Wall times after start and before end, as croniter finds them without any zone."""
    walker = croniter(text, start, ret_type=datetime, implement_cron_bug=True)
    found = []
    try:
        while (wall := walker.get_next()) < end:
            found.append(wall)
    except CroniterError:
        pass
    return found


def placed(walls: list[datetime], tz: ZoneInfo, is_interval: bool) -> set[datetime]:
    """Rule 15 applied to wall times one by one, with zoneinfo's folds."""
    found = set()
    for wall in walls:
        first, second = (wall.replace(tzinfo=tz, fold=fold).astimezone(UTC) for fold in (0, 1))
        if first == second:
            found.add(first)
        elif first < second:
            found.update([first, second] if is_interval else [first])
        elif not is_interval:
            # A gap: fold 0 reads the offset before it, so stepping on finds the first real minute.
            at = second
            while at.astimezone(tz).replace(tzinfo=None, fold=0) < wall:
                at += MINUTE
            found.add(at)
    return found


def run_croniter(total: int) -> int:
    seed = fresh_seed()
    rng = random.Random(seed)
    compared = 0
    while compared < total:
        key, change = rng.choice(CHANGES)
        middle = datetime.fromisoformat(change)
        case = random_cron(rng, middle, special=rng.random() < 0.3)
        if not is_fair_to_croniter(case.text):
            continue
        low, high = middle - timedelta(days=3), middle + timedelta(days=3)
        walls = naive_times(case.text, low - timedelta(days=2), high + timedelta(days=2))
        expected = placed(walls, zone(key), case.is_interval)
        start, end = (
            (low + timedelta(days=1)).replace(tzinfo=UTC),
            (high - timedelta(days=1)).replace(tzinfo=UTC),
        )
        note = f"{case.text!r} in {key}, seed {seed}"
        try:
            found = list(parse(case.text, tz=key).between(start, end))
        except ScheduleError:
            found = []
        assert found == sorted(at for at in expected if start <= at < end), note
        compared += max(1, min(len(found), 20))
    return compared


def run_far(total: int) -> int:
    """`next` in UTC over years, where no clock changes."""
    seed = fresh_seed()
    rng = random.Random(seed)
    compared = 0
    while compared < total:
        start = datetime(2000, 1, 1) + timedelta(seconds=rng.randrange(90 * 366 * 86400))  # noqa: DTZ001
        case = random_cron(rng, start, special=False)
        if not is_fair_to_croniter(case.text):
            continue
        note = f"{case.text!r} after {start}, seed {seed}"
        try:
            expected = croniter(case.text, start, ret_type=datetime, implement_cron_bug=True).get_next()
        except CroniterError:
            continue
        assert parse(case.text).next(start.replace(tzinfo=UTC)) == expected.replace(tzinfo=UTC), note
        compared += 1
    return compared


class LoopsForever(Exception):
    """cronsim went round more often than any search needs."""


class BoundedCronSim(CronSim):
    """cronsim 2.8 does not end on some expressions beside a clock change, so its steps are counted."""

    ticks = 0

    def tick(self, seconds: int = 1) -> None:
        self.ticks += 1
        if self.ticks > 20_000:
            raise LoopsForever
        super().tick(seconds)


def cronsim_next(text: str, at: datetime) -> datetime | None:
    try:
        return next(BoundedCronSim(text, at)).astimezone(UTC)
    except (CronSimError, StopIteration, ValueError, OverflowError):
        return None


def run_cronsim(total: int) -> Counter[str]:
    """Compare in zones; where the two differ, the minute walker decides, and must be with us."""
    seed = fresh_seed()
    rng = random.Random(seed)
    seen: Counter[str] = Counter()
    while seen["compared"] < total:
        key, change = rng.choice(CHANGES)
        view = window(key, change, 40, False)
        near = view.walls[len(view.walls) // 2]
        case = random_cron(rng, near, special=False)
        start = view.ticks[len(view.ticks) // 2] + timedelta(seconds=rng.randrange(-86400, 86400))
        try:
            expected = cronsim_next(case.text, start.astimezone(zone(key)))
        except LoopsForever:
            seen["loops for ever"] += 1
            continue
        if expected is None:
            continue
        found = parse(case.text, tz=key).next(start)
        seen["compared"] += 1
        if found == expected:
            continue
        note = f"{case.text!r} in {key} after {start}, seed {seed}"
        walked = after(fires(case, view, "cron"), start)
        assert found == walked or (walked is None and found is not None and found > view.ticks[-1]), note
        kind = "interval" if case.is_interval else "fixed"
        seen[f"{kind}, past instant" if expected <= start else f"{kind}, {key}"] += 1
    return seen


def test_croniter_as_a_searcher_of_wall_times_agrees_in_zones() -> None:
    assert run_croniter(300) >= 300


def test_croniter_agrees_over_years_in_utc() -> None:
    assert run_far(600) >= 600


def test_where_cronsim_differs_the_walker_is_with_us() -> None:
    assert run_cronsim(1000)["compared"] >= 1000


@pytest.mark.slow
def test_croniter_as_a_searcher_of_wall_times_agrees_in_zones_at_length() -> None:
    print("croniter in zones", run_croniter(20_000))


@pytest.mark.slow
def test_croniter_agrees_over_years_in_utc_at_length() -> None:
    print("croniter in UTC", run_far(20_000))


@pytest.mark.slow
def test_where_cronsim_differs_the_walker_is_with_us_at_length() -> None:
    print("cronsim", run_cronsim(20_000))


def test_plain_fields_are_read_as_croniter_reads_them() -> None:
    seed = fresh_seed()
    rng = random.Random(seed)
    for _ in range(500):
        case = random_cron(rng, datetime(2026, 5, 3), special=False)  # noqa: DTZ001
        if not is_fair_to_croniter(case.text):
            continue
        whole = Piece(case.text, 0, len(case.text))
        syntax = read_cron(whole, whole.words())
        expanded = croniter.expand(case.text)[0]
        fields = (syntax.minute, syntax.hour, syntax.day, syntax.month, syntax.weekday)
        for field, values in zip(fields, expanded, strict=True):
            if values == ["*"]:
                continue
            wanted = sorted(
                {int(value) % 7 if field.field.name == "weekday" else int(value) for value in values}
            )
            assert bits(mask_of(field, "")) == wanted, f"{field.text!r} of {case.text!r}, seed {seed}"
