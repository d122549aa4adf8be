"""Calendars, blackouts, bounds, jitter and new zone data: through the real loop and ledger."""

from __future__ import annotations

from collections.abc import Callable

from cronq.model import SECOND, Job, Outcome, Overlap
from cronq.plan import Launch
from cronq.rezone import FACT, follow_zone_data
from cronq.store import JobChange
from tests.simulation.world import World, utc

Worlds = Callable[..., World]


def test_a_calendar_drops_and_moves_fire_times(world: Worlds) -> None:
    w = world()
    w.store.set_calendar("team", "2026-03-04 away\n", now=0)
    w.add("skips", "0 9 * * mon-fri", calendars=("team:skip",))
    w.add("moves", "0 9 * * wed", calendars=("team:next",))
    w.run_until(utc("2026-03-08T00:00:00"))
    days = [run.fire_at for run in w.rows("skips")]
    assert days == [utc(f"2026-03-0{day}T09:00:00") for day in (2, 3, 5, 6)]
    assert [run.fire_at for run in w.rows("moves")] == [utc("2026-03-05T09:00:00")]
    assert {run.outcome for run in w.rows("moves")} == {Outcome.SUCCESS}


def test_bounds_begin_and_end_a_job(world: Worlds) -> None:
    w = world()
    w.add("festival", "0 12 * * *", valid_from="2026-03-03", valid_until="2026-03-05")
    w.run_until(utc("2026-03-09T00:00:00"))
    assert [run.fire_at for run in w.rows("festival")] == [
        utc(f"2026-03-0{day}T12:00:00") for day in (3, 4, 5)
    ]
    assert w.store.job("festival").next_fire_at is None


def test_a_dropping_blackout_skips_with_its_reason(world: Worlds) -> None:
    w = world()
    w.add("job", "0 * * * *", blackouts=("02:00-04:00:drop",))
    w.run_until(utc("2026-03-02T06:30:00"))
    rows = w.rows("job")
    assert [run.outcome for run in rows] == [Outcome.SUCCESS] + [Outcome.SKIPPED] * 2 + [Outcome.SUCCESS] * 3
    assert rows[1].reason.startswith("blackout: 02:00-04:00")
    w.check(["job"])


def test_a_deferring_blackout_holds_the_start_and_keeps_the_fire_time(world: Worlds) -> None:
    w = world()
    w.add("job", "30 2 * * *", blackouts=("02:00-04:00:defer",))
    w.run_until(utc("2026-03-02T06:30:00"))
    (run,) = w.rows("job")
    assert (run.fire_at, run.started_at) == (utc("2026-03-02T02:30:00"), utc("2026-03-02T04:00:00"))
    assert run.outcome is Outcome.SUCCESS


def test_jitter_delays_the_start_by_the_same_time_each_day(world: Worlds) -> None:
    w = world()
    w.add("job", "0 3 * * *", jitter="30m", overlap=Overlap.SKIP)
    w.run_until(utc("2026-03-06T00:00:00"))
    rows = w.rows("job")
    assert all(run.fire_at is not None and run.started_at is not None for run in rows)
    delays = {(run.started_at or 0) - (run.fire_at or 0) for run in rows}
    assert len(rows) == 4
    assert len(delays) == 1
    assert 0 < delays.pop() < 1800 * SECOND
    w.check(["job"])


def test_row_zone_data_changed_renews_the_watermarks_and_says_so(world: Worlds) -> None:
    w = world()
    job = w.add("daily", "0 9 * * *", tz="Europe/Berlin")
    right = job.next_fire_at
    assert follow_zone_data(w.store, w.now, "2026a") == []
    # As if the old data had put Berlin an hour further east.
    w.change("daily", lambda _times, job: shifted(job, -3600))
    assert follow_zone_data(w.store, w.now, "2026a") == []
    (told,) = follow_zone_data(w.store, w.now, "2026b")
    assert told == (
        "daily: next run moved from 2026-03-02 07:00 UTC to 2026-03-02 08:00 UTC (zone data 2026a → 2026b)"
    )
    assert w.store.job("daily").next_fire_at == right
    assert w.store.fact(FACT) == "2026b"
    assert follow_zone_data(w.store, w.now, "2026b") == []


def test_new_zone_data_leave_what_is_due_or_paused_to_the_planner(world: Worlds) -> None:
    w = world()
    w.add("due", "0 1 * * *")
    w.store.set_fact(FACT, "2026a")
    w.be_down_until(utc("2026-03-02T05:00:00"))
    assert follow_zone_data(w.store, w.clock.wall, "2026b") == []
    w.run_until(utc("2026-03-02T06:00:00"))
    assert [run.outcome for run in w.rows("due")] == [Outcome.SUCCESS]


def shifted(job: Job, seconds: int) -> JobChange:
    assert job.next_fire_at is not None
    return JobChange(Launch(job, (), job.next_fire_at + seconds * SECOND))
