"""Overlap, catch-up, retries: the real planner, loop and ledger, on the virtual clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import pairwise

import pytest

from cronq.model import SECOND, CatchUp, OnCrash, Outcome, Overlap, Run, State, Trigger
from cronq.scheduler import LAUNCH_BATCH
from tests.simulation.world import Played, World, utc

MINUTE = 60 * SECOND

Worlds = Callable[..., World]


def outcomes(rows: list[Run]) -> Counter[str]:
    counted: Counter[str] = Counter()
    for run in rows:
        counted[run.outcome or run.state] += run.fire_count
    return counted


def test_every_minute_for_an_hour_runs_sixty_times(world: Worlds) -> None:
    w = world()
    w.add("tick", "* * * * *")
    w.run_until(utc("2026-03-02T01:00:30"))
    rows = w.rows("tick")
    assert outcomes(rows) == {"success": 60}
    assert all(run.started_at == run.fire_at for run in rows)
    assert {run.trigger for run in rows} == {Trigger.SCHEDULE}
    w.check(["tick"])


def test_overlap_skip_passes_over_fire_times_of_a_long_run(world: Worlds) -> None:
    w = world(play=lambda _: Played(150))
    w.add("long", "* * * * *", overlap=Overlap.SKIP)
    w.run_until(utc("2026-03-02T00:09:30"))
    rows = w.rows("long")
    assert [run.outcome for run in rows[:6]] == [
        Outcome.SUCCESS,
        Outcome.SKIPPED,
        Outcome.SKIPPED,
        Outcome.SUCCESS,
        Outcome.SKIPPED,
        Outcome.SKIPPED,
    ]
    assert rows[1].reason == "overlap: a run is active"
    assert w.workers.most_alive["long"] == 1
    w.check(["long"])


def test_overlap_skip_with_two_allowed_skips_only_the_third(world: Worlds) -> None:
    w = world(play=lambda _: Played(170))
    w.add("pair", "* * * * *", overlap=Overlap.SKIP, max_running=2)
    w.run_until(utc("2026-03-02T00:04:30"))
    states = [run.outcome or run.state for run in w.rows("pair")]
    assert states == ["success", "running", "skipped", "running"]
    assert w.workers.most_alive["pair"] == 2


def test_overlap_queue_runs_one_after_another_and_is_bounded(world: Worlds) -> None:
    w = world(play=lambda _: Played(600))
    w.add("queue", "* * * * *", overlap=Overlap.QUEUE, max_queued=3)
    w.run_until(utc("2026-03-02T00:10:30"))
    counted = outcomes(w.rows("queue"))
    assert counted == {"running": 1, "queued": 3, "skipped": 6}
    assert w.rows("queue")[-1].reason == "overlap: the queue is full (3)"
    assert w.workers.most_alive["queue"] == 1
    w.check(["queue"])


def test_overlap_replace_stops_the_running_one(world: Worlds) -> None:
    w = world(play=lambda _: Played(90))
    w.add("fresh", "* * * * *", overlap=Overlap.REPLACE)
    w.run_until(utc("2026-03-02T00:03:30"))
    rows = w.rows("fresh")
    assert [run.outcome for run in rows] == [Outcome.CANCELLED, Outcome.CANCELLED, None]
    assert rows[0].reason == f"replaced by run {rows[1].id}"
    assert w.workers.most_alive["fresh"] == 1


def test_overlap_allow_runs_side_by_side_up_to_the_limit(world: Worlds) -> None:
    w = world(play=lambda _: Played(600))
    w.add("free", "* * * * *", overlap=Overlap.ALLOW, max_running=None)
    w.add("three", "* * * * *", overlap=Overlap.ALLOW, max_running=3)
    w.run_until(utc("2026-03-02T00:08:30"))
    assert w.workers.most_alive == {"free": 8, "three": 3}
    assert outcomes(w.rows("three")) == {"running": 3, "queued": 5}
    w.check(["free", "three"])


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (CatchUp.SKIP, {"missed": 9, "success": 11}),
        (CatchUp.LATEST, {"missed": 9, "success": 11}),
        (CatchUp.ALL, {"success": 20}),
    ],
)
def test_catch_up_after_ten_minutes_down(world: Worlds, policy: CatchUp, expected: dict[str, int]) -> None:
    w = world()
    w.add("job", "* * * * *", catch_up=policy, grace_s=30.0)
    w.run_until(utc("2026-03-02T00:05:30"))
    w.be_down_until(utc("2026-03-02T00:15:10"))
    w.run_until(utc("2026-03-02T00:20:30"))
    rows = w.rows("job")
    assert outcomes(rows) == expected
    assert w.workers.most_alive["job"] == 1
    w.check(["job"])


def test_catch_up_latest_runs_a_missed_daily_job_once(world: Worlds) -> None:
    w = world()
    w.add("daily", "0 2 * * *")
    w.be_down_until(utc("2026-03-05T09:00:00"))
    w.run_until(utc("2026-03-05T10:00:00"))
    gap, caught_up = w.rows("daily")
    assert (gap.outcome, gap.fire_count) == (Outcome.MISSED, 3)
    assert gap.reason == "late: superseded by a newer fire time"
    assert caught_up.trigger is Trigger.CATCH_UP
    assert caught_up.fire_at == utc("2026-03-05T02:00:00")
    assert caught_up.outcome is Outcome.SUCCESS
    w.check(["daily"])


def test_downtime_longer_than_the_window_is_one_row(world: Worlds) -> None:
    w = world()
    w.add("job", "0 * * * *", catch_up=CatchUp.ALL, catch_up_window_s=3 * 3600.0)
    w.be_down_until(utc("2026-03-12T00:30:00"))
    w.run_until(utc("2026-03-12T01:30:00"))
    gap, *caught_up = w.rows("job")
    assert gap.outcome is Outcome.MISSED
    assert gap.reason == "late: older than the catch-up window"
    assert (gap.fire_at, gap.last_fire_at) == (utc("2026-03-02T01:00:00"), utc("2026-03-11T21:00:00"))
    assert gap.fire_count == 10 * 24 - 3
    assert [run.outcome for run in caught_up] == [Outcome.SUCCESS] * 4
    w.check(["job"])


def test_catch_up_all_beyond_its_limit_says_so(world: Worlds) -> None:
    w = world()
    w.add("job", "* * * * *", catch_up=CatchUp.ALL, catch_up_limit=5)
    w.be_down_until(utc("2026-03-02T01:00:00"))
    w.run_until(utc("2026-03-02T01:10:30"))
    gap, *others = w.rows("job")
    assert (gap.outcome, gap.reason) == (Outcome.MISSED, "late: beyond the catch-up limit")
    assert sum(run.trigger is Trigger.CATCH_UP for run in others) == 5
    w.check(["job"])


def test_catch_up_all_with_overlap_skip_drops_none(world: Worlds) -> None:
    """Caught-up runs go one after another; they are never the reason to skip one another."""
    w = world(play=lambda _: Played(20))
    w.add("job", "*/5 * * * *", catch_up=CatchUp.ALL, overlap=Overlap.SKIP)
    w.be_down_until(utc("2026-03-02T01:00:00"))
    w.run_until(utc("2026-03-02T01:04:30"))
    rows = w.rows("job")
    assert outcomes(rows) == {"success": 12}
    assert w.workers.most_alive["job"] == 1
    w.check(["job"])


def test_catch_up_all_drops_none_that_is_within_its_grace_either(world: Worlds) -> None:
    w = world(play=lambda _: Played(0.1))
    w.add("job", "every 2s", catch_up=CatchUp.ALL, overlap=Overlap.SKIP, grace_s=60.0)
    w.run_until(utc("2026-03-02T00:00:09"))
    w.be_down_until(utc("2026-03-02T00:00:25"))
    w.run_until(utc("2026-03-02T00:00:31"))
    assert outcomes(w.rows("job")) == {"success": 15}
    assert w.workers.most_alive["job"] == 1
    w.check(["job"])


def test_a_failing_run_is_retried_with_growing_delays(world: Worlds) -> None:
    w = world(play=lambda _: Played(1, Outcome.FAILURE))
    w.add("job", "0 1 * * *", retries=3, retry_delay_s=10.0, retry_jitter=0.0, retry_max_delay_s=25.0)
    w.run_until(utc("2026-03-02T02:00:00"))
    (run,) = w.rows("job")
    assert (run.outcome, run.attempt, run.failures) == (Outcome.FAILURE, 4, 4)
    starts = [at for _, _, _, at in w.workers.starts]
    assert [(b - a) // SECOND for a, b in pairwise(starts)] == [11, 21, 26]


def test_a_retry_that_succeeds_ends_the_run_well(world: Worlds) -> None:
    w = world(play=lambda claim: Played(1, Outcome.SUCCESS if claim.run.attempt == 3 else Outcome.FAILURE))
    w.add("job", "0 1 * * *", retries=5)
    w.run_until(utc("2026-03-02T02:00:00"))
    (run,) = w.rows("job")
    assert (run.outcome, run.attempt, run.failures) == (Outcome.SUCCESS, 3, 2)


def test_a_timeout_counts_as_a_failed_attempt(world: Worlds) -> None:
    w = world(play=lambda _: Played(100))
    w.add("job", "0 1 * * *", timeout_s=30.0, retries=1)
    w.run_until(utc("2026-03-02T02:00:00"))
    (run,) = w.rows("job")
    assert (run.outcome, run.attempt) == (Outcome.TIMEOUT, 2)


def test_priority_comes_before_fire_time(world: Worlds) -> None:
    w = world(slots=1, play=lambda _: Played(5))
    w.add("low", "0 1 * * *")
    w.add("high", "0 1 * * *", priority=5)
    w.add("first", "59 0 * * *", priority=-1)
    w.run_until(utc("2026-03-02T02:00:00"))
    assert [start[1] for start in w.workers.starts] == ["first", "high", "low"]


def test_paused_fire_times_end_as_one_skipped_row(world: Worlds) -> None:
    w = world()
    w.add("job", "* * * * *")
    w.run_until(utc("2026-03-02T00:05:30"))
    w.pause("job")
    w.run_until(utc("2026-03-02T00:15:30"))
    w.resume("job")
    w.run_until(utc("2026-03-02T00:20:30"))
    rows = w.rows("job")
    assert outcomes(rows) == {"success": 10, "skipped": 10}
    (skipped,) = [run for run in rows if run.outcome is Outcome.SKIPPED]
    assert (skipped.fire_count, skipped.reason) == (10, "paused")
    w.check(["job"])


def test_row_clock_jumps_back_and_nothing_fires_again(world: Worlds) -> None:
    w = world()
    w.add("job", "* * * * *")
    w.run_until(utc("2026-03-02T01:00:30"))
    w.clock.step(-3600)
    w.run_until(utc("2026-03-02T00:59:30"))
    assert len(w.rows("job")) == 60
    w.run_until(utc("2026-03-02T01:05:30"))
    assert outcomes(w.rows("job")) == {"success": 65}
    w.check(["job"])


def test_row_clock_jumps_forward_and_that_is_downtime(world: Worlds) -> None:
    w = world()
    w.add("job", "* * * * *")
    w.run_until(utc("2026-03-02T00:10:30"))
    w.clock.step(3600)
    w.run_until(utc("2026-03-02T01:20:30"))
    assert outcomes(w.rows("job")) == {"success": 21, "missed": 59}
    w.check(["job"])


def test_a_startup_job_runs_once_per_boot(world: Worlds) -> None:
    w = world()
    w.add("hello", "@reboot")
    for minute in (1, 2, 3):
        w.run_until(utc(f"2026-03-02T00:0{minute}:00"))
    assert [run.trigger for run in w.rows("hello")] == [Trigger.STARTUP]
    w.boot_id = "boot-2"
    w.run_until(utc("2026-03-02T00:09:00"))
    assert [run.outcome for run in w.rows("hello")] == [Outcome.SUCCESS] * 2


@pytest.mark.parametrize(
    ("on_crash", "retries", "attempts", "outcome"),
    [
        (OnCrash.RETRY, 0, 1, Outcome.ABANDONED),
        (OnCrash.RETRY, 1, 2, Outcome.SUCCESS),
        (OnCrash.RERUN, 0, 2, Outcome.SUCCESS),
        (OnCrash.FAIL, 3, 1, Outcome.ABANDONED),
    ],
)
def test_row_power_loss_abandons_what_ran(
    world: Worlds, on_crash: OnCrash, retries: int, attempts: int, outcome: Outcome
) -> None:
    w = world(play=lambda _: Played(3600))
    w.add("job", "0 1 * * *", on_crash=on_crash, retries=retries)
    w.run_until(utc("2026-03-02T01:10:00"))
    assert w.rows("job")[0].state is State.RUNNING
    w.workers.alive.clear()  # the power goes
    w.boot_id = "boot-2"
    w.run_until(utc("2026-03-02T03:00:00"))
    (run,) = w.rows("job")
    assert (run.attempt, run.outcome) == (attempts, outcome)


def test_until_idle_ends_when_the_work_is_done(world: Worlds) -> None:
    w = world(play=lambda _: Played(30))
    w.add("daily", "0 2 * * *")
    w.be_down_until(utc("2026-03-02T09:00:00"))
    w.run_until(utc("2026-03-03T00:00:00"), until_idle=True)
    assert w.clock.wall == utc("2026-03-02T09:00:30")
    assert outcomes(w.rows("daily")) == {"success": 1}


def test_row_sigterm_once_waits_and_the_bound_ends_it(world: Worlds) -> None:
    w = world(play=lambda _: Played(100))
    w.add("job", "* * * * *")
    w.run_until(utc("2026-03-02T02:00:00"), for_s=70.0, drain_s=20.0)
    (run,) = w.rows("job")
    assert (run.outcome, run.reason) == (Outcome.CANCELLED, "shutdown")
    assert run.finished_at is not None
    assert 90 <= (run.finished_at - w.born) / SECOND < 91


def test_misfires_of_many_jobs_are_launched_in_parts(world: Worlds, monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn that caught up with all of them would hear nothing, and hold the store, for seconds."""
    w = world(slots=4, play=lambda _: Played(0.1))
    names = [f"job{number}" for number in range(25)]
    for name in names:
        w.add(name, "* * * * *", catch_up=CatchUp.ALL, catch_up_limit=100)
    w.be_down_until(utc("2026-03-02T03:00:30"))
    sizes = [0]

    def count(step: str) -> None:
        (rows,) = w.database.execute("SELECT count(*) FROM run").fetchone()
        if step == "launch":
            sizes.append(rows)

    monkeypatch.setattr(w, "seen", count)
    w.run_until(utc("2026-03-02T03:10:30"))
    grown = [after - before for before, after in pairwise(sizes)]
    assert LAUNCH_BATCH <= max(grown) < LAUNCH_BATCH + 110
    assert sum(grown) > 2 * LAUNCH_BATCH
    w.check(names)
