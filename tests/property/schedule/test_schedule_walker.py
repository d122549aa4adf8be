"""The engine against the minute-by-minute walker, around every change worth testing."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from cronq.errors import ScheduleError
from cronq.schedule import Schedule, parse
from tests.property.schedule.schedule_oracle import (
    CHANGES,
    SECOND_CHANGES,
    Case,
    Window,
    after,
    before,
    fires,
    fresh_seed,
    random_case,
    random_cron,
    window,
)

POLICIES = ("cron", "cron", "cron", "skip", "both")


def starts_in(rng: random.Random, view: Window, count: int) -> list[datetime]:
    """Instants crowded around the middle of a window, many of them with a fraction of a second."""
    middle = view.ticks[len(view.ticks) // 2]
    spread = (view.ticks[-1] - view.ticks[0]).total_seconds() / 2
    found = []
    for _ in range(count):
        scale = rng.choice([1.0, 60.0, 3600.0, 7200.0, spread * 0.9])
        at = middle + timedelta(seconds=rng.uniform(-1, 1) * min(scale, spread * 0.9))
        found.append(at if rng.random() < 0.5 else at.replace(second=0, microsecond=0))
    return found


def compare(
    schedule: Schedule, found: list[datetime], view: Window, starts: list[datetime], note: str
) -> int:
    """Assert that `next`, `prev`, `between` and `count_us` say what the walker says."""
    low, high = view.ticks[0], view.ticks[-1]
    compared = 0
    for at in starts:
        expected = after(found, at)
        if expected is not None:
            assert schedule.next(at) == expected, f"next after {at}: {note}"
            compared += 1
        else:
            nearest = schedule.next(at)
            assert nearest is None or nearest > high, f"next after {at}: {note}"
        expected = before(found, at)
        if expected is not None:
            assert schedule.prev(at) == expected, f"prev before {at}: {note}"
            compared += 1
        else:
            nearest = schedule.prev(at)
            assert nearest is None or nearest < low, f"prev before {at}: {note}"
    first, last = min(starts), max(starts)
    wanted = [at for at in found if first <= at < last]
    assert list(schedule.between(first, last)) == wanted, f"between {first} and {last}: {note}"
    low_us, high_us = (
        int((at - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1)) for at in (first, last)
    )
    assert schedule.count_us(low_us, high_us) == len(wanted), f"count {first} to {last}: {note}"
    assert len(list(schedule.iter_us(low_us, high_us))) == len(wanted), f"iter {first} to {last}: {note}"
    return compared


def checked(rng: random.Random, case: Case, tz: str, view: Window, seed: int) -> int:
    dst = rng.choice(POLICIES)
    note = f"{case.text!r} in {tz}, dst={dst}, seed {seed}"
    found = fires(case, view, dst)
    try:
        schedule = parse(case.text, tz=tz, dst=dst)
    except ScheduleError as error:
        refused = error.message
    else:
        refused = ""
    if refused:
        assert "no fire time" in refused, f"{refused}: {note}"
        assert not found, note
        return 0
    return compare(schedule, found, view, starts_in(rng, view, 8), note)


def run(total: int, *, seconds: bool) -> int:
    seed = fresh_seed()
    rng = random.Random(seed)
    compared = 0
    while compared < total:
        tz, change = rng.choice(SECOND_CHANGES if seconds else CHANGES)
        view = window(tz, change, 2 if seconds else 40, seconds)
        near = view.walls[len(view.walls) // 2]
        case = random_cron(rng, near, six=True) if seconds else random_case(rng, near)
        try:
            compared += checked(rng, case, tz, view, seed)
        except ScheduleError as error:
            pytest.fail(f"{error}: {case.text!r}, seed {seed}")
    return compared


def test_engine_agrees_with_the_minute_walker() -> None:
    assert run(1500, seconds=False) >= 1500


def test_engine_agrees_with_the_second_walker() -> None:
    assert run(300, seconds=True) >= 300


@pytest.mark.slow
def test_engine_agrees_with_the_minute_walker_at_length() -> None:
    print("compared", run(60_000, seconds=False))


@pytest.mark.slow
def test_engine_agrees_with_the_second_walker_at_length() -> None:
    print("compared", run(20_000, seconds=True))
