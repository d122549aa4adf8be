"""The wall clock is set, slewed or smeared, or the machine sleeps: the ledger stays exact all the same."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import Any

import pytest

from cronq.errors import StoreFull
from cronq.events import Notice
from cronq.model import SECOND, AttemptEnd, CatchUp, Micros, Outcome
from cronq.scheduler import Options
from cronq.steps import ClockWatch, on_this_clock
from tests.simulation.test_store_trouble import Ailing
from tests.simulation.test_store_trouble import live as live_with
from tests.simulation.world import Played, World, utc

Worlds = Callable[..., World]
JOBS: dict[str, dict[str, Any]] = {
    "minutely": {"schedule": "* * * * *"},
    "latest": {"schedule": "*/7 * * * *", "catch_up": CatchUp.LATEST},
    "all": {"schedule": "every 90s", "catch_up": CatchUp.ALL},
    "skip": {"schedule": "every 10s", "catch_up": CatchUp.SKIP},
}


def filled(world: Worlds, **fields: object) -> World:
    w = world(play=lambda _: Played(3), **fields)
    for name, definition in JOBS.items():
        rest = {key: value for key, value in definition.items() if key != "schedule"}
        w.add(name, str(definition["schedule"]), **rest)
    return w


def notices(w: World) -> list[str]:
    return [event.message for event in w.told if isinstance(event, Notice)]


def assert_nothing_twice(w: World) -> None:
    """No fire time was started twice, and no attempt was."""
    started = [(job, logical_at) for key, job, logical_at, _ in w.workers.starts if key[1] == 1]
    assert len(started) == len(set(started))
    w.check(JOBS)


def live(w: World, seconds: float) -> None:
    """Let a scheduler live for so much real time, whatever the wall clock does."""
    w.run_until(w.clock.wall + round(seconds * SECOND))


def test_row_clock_jumps_back(world: Worlds) -> None:
    w = filled(world)
    w.clock.after(610, lambda: w.clock.step(-3600))
    live(w, 1200)
    assert notices(w) == ["the clock was set back by 1h: nothing is fired again"]
    assert_nothing_twice(w)
    fired = max(run.fire_at for run in w.rows("minutely") if run.fire_at)
    assert fired == utc("2026-03-02T00:10:00"), "fired again before the clock was where it had been"
    live(w, 3610)
    assert_nothing_twice(w)
    assert [run.outcome for run in w.rows("all")] == [Outcome.SUCCESS] * len(w.rows("all"))
    assert max(run.fire_at for run in w.rows("minutely") if run.fire_at) == utc("2026-03-02T00:20:00")


@pytest.mark.parametrize(
    "way", ["step", "suspend that the monotonic clock does not count", "stall that it does"]
)
def test_row_clock_jumps_forward_and_suspend_resume(world: Worlds, way: str) -> None:
    w = filled(world)
    if way.startswith("stall"):
        w.clock.after(610, lambda: w.clock._pass(3600 * SECOND))
    else:
        w.clock.after(610, lambda: w.clock.step(3600))
    live(w, 1200 + 3600 * way.startswith("stall"))
    assert len(notices(w)) == (0 if way.startswith("stall") else 1)
    assert all("the clock went forward by 1h, or the machine slept" in told for told in notices(w))
    assert_nothing_twice(w)
    missed = [run for run in w.rows("minutely") if run.outcome is Outcome.MISSED]
    assert sum(run.fire_count for run in missed) >= 58
    assert w.rows("minutely")[-1].outcome is Outcome.SUCCESS


@pytest.mark.parametrize("by", [0.0004, -0.0004, 0.5, -0.5])
def test_row_clock_slews(world: Worlds, by: float) -> None:
    """So much more or less each second; 0.5 ms is the most that NTP does."""
    w = filled(world)

    def slew() -> None:
        w.clock.step(by)
        w.clock.after(1.0, slew)

    slew()
    live(w, 2400)
    if abs(by) < 0.01:
        assert notices(w) == []
    assert_nothing_twice(w)


@pytest.mark.parametrize("by", [1.0, -1.0])
def test_row_clock_smears_a_leap_second_over_a_day(world: Worlds, by: float) -> None:
    w = world(play=lambda _: Played(3))
    w.add("minutely", "* * * * *")

    def smear() -> None:
        w.clock.step(by / 1440)
        w.clock.after(60.0, smear)

    smear()
    live(w, 86_400)
    assert notices(w) == []
    w.check(["minutely"])
    assert {run.outcome for run in w.rows("minutely")[:-1]} == {Outcome.SUCCESS}
    assert 1439 <= len(w.rows("minutely")) <= 1441


def test_row_clock_jumps_at_random(world: Worlds) -> None:
    seed = int(os.environ.get("CRONQ_SEED") or random.SystemRandom().randrange(2**32))
    print(f"CRONQ_SEED={seed}")
    dice = random.Random(seed)
    w = filled(world, fate=lambda _name, _when: dice.random() < 0.002)

    def jump() -> None:
        w.clock.step(dice.choice([-1, 1]) * 10 ** dice.uniform(-3, 4))
        w.clock.after(dice.uniform(1, 900), jump)

    jump()
    live(w, 20_000)
    assert_nothing_twice(w)


@pytest.mark.parametrize("step_at", [1.5, 5.0])
def test_a_retry_keeps_its_delay_when_the_clock_is_set_back(world: Worlds, step_at: float) -> None:
    w = world("2026-03-02T00:00:59", play=lambda _: Played(0.4, Outcome.FAILURE))
    w.add("job", "* * * * *", retries=1, retry_delay_s=10.0, retry_jitter=0.0)
    elapsed: list[float] = []
    play = w.play

    def timed(claim):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        elapsed.append(w.clock.monotonic())
        return play(claim)

    w.play = timed
    w.clock.after(step_at, lambda: w.clock.step(-3600))
    live(w, 60)
    assert len(elapsed) == 2
    assert elapsed[1] - elapsed[0] == pytest.approx(10.4, abs=0.1)


def test_a_retry_keeps_its_delay_when_its_end_is_reported_after_the_clock_was_set_back() -> None:
    end = AttemptEnd((1, 1), Outcome.FAILURE, 3600 * SECOND, retry_at=3610 * SECOND)
    assert on_this_clock(end, 5 * SECOND).retry_at == 15 * SECOND
    assert on_this_clock(end, 3600 * SECOND) is end
    assert on_this_clock(end._replace(retry_at=None), 0).retry_at is None


def test_a_retry_keeps_its_delay_when_the_clock_was_set_back_while_no_scheduler_lived(world: Worlds) -> None:
    w = world("2026-03-02T00:00:59", play=lambda _: Played(0.4, Outcome.FAILURE))
    w.add("job", "* * * * *", retries=1, retry_delay_s=10.0, retry_jitter=0.0)
    live(w, 3)
    w.clock.step(-3600)
    live(w, 12)
    assert len(w.workers.starts) == 2


def test_what_waits_for_a_worker_stays_available_when_the_clock_is_set_back(world: Worlds) -> None:
    w = world("2026-03-02T00:00:59", slots=1, play=lambda _: Played(30))
    w.add("first", "1 0 * * *")
    w.add("second", "1 0 * * *")
    w.clock.after(10, lambda: w.clock.step(-3600))
    live(w, 70)
    assert sorted(start[1] for start in w.workers.starts) == ["first", "second"]


def test_the_end_of_a_blackout_is_a_wall_time_and_stays(world: Worlds) -> None:
    w = world("2026-03-02T10:00:30")
    w.add("job", "1 10 * * *", blackouts=("10:00-11:00:defer",))
    w.clock.after(60, lambda: w.clock.step(-1800))
    live(w, 5400)
    ((_, _, _, started),) = w.workers.starts
    assert started == utc("2026-03-02T11:00:00")


def test_a_store_in_trouble_follows_the_clock_later(world: Worlds) -> None:
    w = world("2026-03-02T01:00:59", play=lambda _: Played(0.4, Outcome.FAILURE))
    w.add("job", "* * * * *", retries=1, retry_delay_s=10.0, retry_jitter=0.0)
    store = Ailing(w.store, frozenset({"follow_clock_back"}), StoreFull("the disk is full"))

    def set_back() -> None:
        w.clock.step(-3600)
        store.is_ill = True

    w.clock.after(3, set_back)
    w.clock.after(6, lambda: setattr(store, "is_ill", False))
    live_with(w, store, utc("2026-03-02T05:00:00"), Options(for_s=20.0))
    assert len(w.workers.starts) == 2


class Readings:
    """A clock that says what it is told to."""

    def __init__(self, *readings: float) -> None:
        self._readings = list(readings)

    def now(self) -> Micros:
        return round(self._readings.pop(0) * SECOND)

    def monotonic(self) -> float:
        return self._readings.pop(0)


def test_a_process_that_was_stopped_between_two_readings_saw_no_step() -> None:
    watch = ClockWatch(Readings(0, 100, 0, 1, 101, 50, 51, 151, 51, 52, 150, 52))  # type: ignore[arg-type]
    assert [watch.look() for _ in range(4)] == [
        (100 * SECOND, 0),
        (101 * SECOND, 0),
        (151 * SECOND, 0),
        (150 * SECOND, -2 * SECOND),
    ]
