"""The scheduler dies just before or just after any of its transactions, again and again; nothing is lost."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable

import pytest

from cronq.model import SECOND, CatchUp, Outcome, Overlap
from tests.simulation.conftest import ON_BOTH
from tests.simulation.world import Played, World, utc

Worlds = Callable[..., World]

pytestmark = ON_BOTH

SCHEDULES = (
    "* * * * *",
    "*/5 * * * *",
    "*/7 * * * *",
    "0 * * * *",
    "30 2 * * *",
    "every 90s",
    "every 10m",
    "15 */3 * * 1-5",
    "0 9 * * mon ; 0 17 * * fri",
)
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe")


def fresh_seed() -> int:
    return int(os.environ.get("CRONQ_SEED") or random.SystemRandom().randrange(2**32))


def assert_no_double_start(world: World) -> None:
    started = Counter(start[0] for start in world.workers.starts)
    assert all(count == 1 for count in started.values()), started.most_common(3)


def live_with_crashes(world: Worlds, step: str, when: str) -> World:
    """Live for an hour with a scheduler that dies again and again just before or after one transaction."""
    dice = random.Random(7)
    w = world(fate=lambda name, at: (name, at) == (step, when) and dice.random() < 0.3)
    w.add("job", "* * * * *", overlap=Overlap.QUEUE, catch_up=CatchUp.ALL)
    w.run_until(utc("2026-03-02T01:00:30"))
    assert w.crashes > 3
    w.fate = lambda _name, _at: False
    w.run_until(utc("2026-03-02T01:03:30"))
    w.check(["job"])
    assert_no_double_start(w)
    return w


def outcomes(w: World) -> set[Outcome | None]:
    return {run.outcome for run in w.rows("job")}


def test_row_scheduler_killed_before_the_fire_commits(world: Worlds) -> None:
    assert outcomes(live_with_crashes(world, "launch", "before")) == {Outcome.SUCCESS}


@pytest.mark.parametrize(("step", "when"), [("launch", "after"), ("claim", "before")])
def test_row_scheduler_killed_before_the_claim(world: Worlds, step: str, when: str) -> None:
    assert outcomes(live_with_crashes(world, step, when)) == {Outcome.SUCCESS}


@pytest.mark.parametrize("when", ["before", "after"])
def test_row_scheduler_killed_while_the_job_runs_or_its_end_is_recorded(world: Worlds, when: str) -> None:
    assert outcomes(live_with_crashes(world, "record", when)) == {Outcome.SUCCESS}


def test_row_scheduler_killed_between_claim_and_start_abandons_the_attempt(world: Worlds) -> None:
    # The claim was durable, and nobody knows whether it ran.
    assert outcomes(live_with_crashes(world, "assign", "before")) == {Outcome.SUCCESS, Outcome.ABANDONED}


@pytest.mark.parametrize("step", ["record", "launch", "claim"])
def test_row_scheduler_killed_before_the_fire_commits_at_any_step_of_its_turn(
    world: Worlds, step: str
) -> None:
    # A turn is one transaction: what was done in it before the kill is taken back as a whole.
    assert outcomes(live_with_crashes(world, step, "after")) == {Outcome.SUCCESS}


def random_world(world: Worlds, seed: int, jobs: int) -> World:
    dice = random.Random(seed)
    w = world(
        start="2026-03-20T00:00:00",
        play=lambda _: Played(
            dice.choice([0.1, 2, 45, 200, 4000]), dice.choice([Outcome.SUCCESS] * 4 + [Outcome.FAILURE])
        ),
        fate=lambda _name, _when: dice.random() < 0.002,
        slots=dice.choice([1, 4, 64]),
    )
    for number in range(jobs):
        overlap = dice.choice(list(Overlap))
        w.add(
            f"job{number}",
            dice.choice(SCHEDULES),
            tz=dice.choice(ZONES),
            overlap=overlap,
            max_running=None if overlap is Overlap.ALLOW else dice.choice([1, 1, 2]),
            catch_up=dice.choice(list(CatchUp)),
            grace_s=dice.choice([1.0, 60.0, 3600.0]),
            catch_up_limit=dice.choice([2, 100]),
            retries=dice.choice([0, 0, 3]),
            timeout_s=dice.choice([None, 60.0]),
            priority=dice.choice([0, 0, 5]),
        )
    return w


def live_through(w: World, seed: int, days: int) -> None:
    """Days of life with outages, steps of the clock, and pauses."""
    dice = random.Random(seed + 1)
    names = [overview.job.name for overview in w.store.overviews()]
    end = w.clock.wall + days * 86_400 * SECOND
    while w.clock.wall < end:
        w.run_until(w.clock.wall + dice.randrange(1, 30_000) * SECOND)
        for due in w.store.due(names):
            assert due.active.running <= (due.job.definition.max_running or 10**9)
        match dice.randrange(5):
            case 0:
                w.be_down_until(w.clock.wall + dice.randrange(1, 100_000) * SECOND)
            case 1:
                w.clock.step(dice.choice([-3600, -1, 1, 3600]))
            case 2:
                name = dice.choice(names)
                w.pause(name)
                w.run_until(w.clock.wall + dice.randrange(1, 9_000) * SECOND)
                w.resume(name)
            case 3:
                w.store.trigger([dice.choice(names)], now=w.clock.wall)
    w.check(names)
    assert_no_double_start(w)


def test_random_lives_keep_an_exact_ledger(world: Worlds) -> None:
    seed = fresh_seed()
    print(f"CRONQ_SEED={seed}")
    w = random_world(world, seed, jobs=5)
    live_through(w, seed, days=2)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_random_lives_long_form(world: Worlds) -> None:
    first = fresh_seed()
    for seed in range(first, first + 12):
        print(f"CRONQ_SEED={seed}")
        w = random_world(world, seed, jobs=25)
        live_through(w, seed, days=40)
