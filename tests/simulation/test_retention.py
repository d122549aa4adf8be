"""The sweep on the virtual clock: what is beyond the limits goes, in time, whoever dies, and nothing else."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from cronq import pruning
from cronq.events import Notice
from cronq.model import SECOND, Run
from cronq.plan import Launch
from cronq.store import JobChange, RunQuery
from tests.simulation.world import World, utc

Worlds = Callable[..., World]
MINUTE = 60 * SECOND


def write_logs(w: World) -> None:
    """Let every attempt in the ledger have printed something."""
    for run, _ in w.store.runs(RunQuery(limit=10_000)):
        path = w.place.log_file(run.id, 1)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_text("hello")


def done(w: World, name: str) -> list[Run]:
    return [run for run in w.rows(name) if run.finished_at is not None]


def check_from(w: World, name: str) -> None:
    """What is left of the fire times has neither a gap nor a double, and reaches up to the watermark."""
    job = w.store.job(name)
    fire_times = [run.fire_at for run in w.rows(name) if run.fire_at is not None]
    assert fire_times == list(range(fire_times[0], job.next_fire_at or 0, MINUTE))


def test_age_and_number_hold_after_every_sweep(world: Worlds) -> None:
    w = world()
    w.add("young", "* * * * *", keep="20min")
    w.add("few", "* * * * *", keep="10")
    w.add("all", "* * * * *")
    w.run_until(utc("2026-03-02T01:30:30"))
    now = w.clock.wall
    assert len(done(w, "all")) == 90
    assert 10 <= len(done(w, "few")) <= 21
    assert 20 <= len(done(w, "young")) <= 31
    assert all((run.finished_at or 0) >= now - 31 * MINUTE for run in done(w, "young"))
    for name in ("young", "few", "all"):
        check_from(w, name)


def test_limit_set_later_is_met_a_few_seconds_after_the_next_start(
    world: Worlds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "BATCH", 10)
    w = world()
    w.add("a", "* * * * *")
    w.run_until(utc("2026-03-02T01:30:30"))
    job = w.store.job("a")
    change = JobChange(Launch(job, (), job.next_fire_at), job.definition._replace(keep="20"))
    assert w.store.change_jobs([change], now=w.clock.wall)
    w.run_until(utc("2026-03-02T01:31:30"))
    assert 20 <= len(done(w, "a")) <= 22
    said = [event.message for event in w.told if isinstance(event, Notice) and "retention" in event.message]
    assert len(said) == 1
    assert said[0].startswith("retention: removed 7")


def test_store_without_limits_is_not_woken_up(world: Worlds) -> None:
    """A day in which nothing is due has as many turns as without a sweep."""
    w = world()
    w.add("a", "0 0 1 1 *")
    turns: list[int | None] = []
    wait = w.clock.wait

    def counted(until: int | None) -> set[int]:
        turns.append(until)
        return wait(until)

    w.clock.wait = counted  # type: ignore[method-assign]
    w.run_until(utc("2026-03-03T00:00:00"))
    assert 1440 <= len(turns) <= 1442  # LOOK_ANYWAY_S


def test_logs_go_with_their_runs(world: Worlds) -> None:
    w = world()
    w.add("a", "* * * * *", keep="20")
    w.add("b", "* * * * *")
    w.run_until(utc("2026-03-02T00:30:30"))
    write_logs(w)
    w.run_until(utc("2026-03-02T01:00:30"))
    left = {run.id for name in "ab" for run in w.rows(name)}
    logs = {int(path.name.split(".")[0]) for path in w.place.logs.glob("*/*.log")}
    assert len(logs) == 30  # of b; those of a that are left came later
    assert logs <= left


def test_crash_between_log_and_row_leaves_a_row_that_the_next_sweep_removes(world: Worlds) -> None:
    w = world()
    w.add("a", "* * * * *", keep="5")
    w.run_until(utc("2026-03-02T00:01:30"))
    w.run_until(utc("2026-03-02T00:09:30"))
    write_logs(w)
    first = min(run.id for run in w.rows("a"))
    store, seen = w.store, []

    def row_without_log(name: str, when: str) -> bool:
        if name != "prune" or when != "before" or w.crashes:
            return False
        seen.append((w.place.log_file(first, 1).exists(), store.run(first).run.id))
        return True

    w.fate = row_without_log
    w.run_until(utc("2026-03-02T00:30:30"))
    assert seen == [(False, first)]
    assert w.crashes == 1
    assert first not in {run.id for run in w.rows("a")}
    check_from(w, "a")


def test_crashes_at_any_step_of_a_sweep_lose_nothing_that_is_kept(world: Worlds) -> None:
    seed = random.randrange(10**9)
    rng = random.Random(seed)
    w = world(fate=lambda name, _when: rng.random() < (0.3 if name == "prune" else 0.02))
    w.add("few", "* * * * *", keep="10")
    w.add("young", "* * * * *", keep="20min")
    w.add("all", "* * * * *")
    w.run_until(utc("2026-03-02T02:00:30"))
    w.fate = lambda _name, _when: False
    w.run_until(utc("2026-03-02T02:20:30"))
    assert w.crashes > 3, seed
    assert 10 <= len(done(w, "few")) <= 21, seed
    assert 20 <= len(done(w, "young")) <= 31, seed
    w.check(["all"])
    for name in ("few", "young"):
        check_from(w, name)
