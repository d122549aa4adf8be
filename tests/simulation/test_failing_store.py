"""A store that fails at the n-th call, for every n: nothing dies of it, is lost, doubled, or a lie."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from cronq.errors import StoreBusy, StoreError, StoreFull
from cronq.model import CatchUp, Outcome, Overlap, State
from cronq.scheduler import Scheduler
from tests.simulation.test_crashes import fresh_seed
from tests.simulation.world import STORE_STEPS, Played, World, utc

START, END = "2026-03-02T00:00:50", "2026-03-02T00:02:13"
NEVER = frozenset({"add_job", "close"})
JOBS = ("plain", "retried", "queueing", "caught", "replaced", "dated")


class Failing:
    """The real store; the n-th of its calls that count fails, and so do a few after it."""

    def __init__(
        self, w: World, counts: Callable[[str], bool], at: int, streak: int, error: StoreError
    ) -> None:
        self._store = w.store
        self._counts = counts
        self._ill = range(at, at + streak)
        self._error = error
        self._calls = itertools.count(1)
        self.failed: list[str] = []
        self.called = 0

    def __getattr__(self, name: str) -> object:
        method = getattr(self._store, name)
        if not self._counts(name):
            return method

        def failing(*args: object, **kwargs: object) -> object:
            self.called = next(self._calls)
            if self.called in self._ill:
                self.failed.append(name)
                raise self._error
            return method(*args, **kwargs)

        return failing


def play(w: World) -> None:
    """Every run takes seven seconds; each second attempt of `retried` succeeds."""
    w.play = lambda claim: Played(
        7, Outcome.FAILURE if claim.run.job == "retried" and claim.run.attempt % 2 else Outcome.SUCCESS
    )


def filled(folder: Path) -> World:
    folder.mkdir(mode=0o700)
    w = World(folder, utc(START))
    w.database.execute("PRAGMA synchronous = OFF")  # nobody pulls the plug here
    play(w)
    w.add("plain", "* * * * *")
    w.add("retried", "* * * * *", retries=2, retry_delay_s=5.0)
    w.add("queueing", "every 5s", overlap=Overlap.QUEUE, max_queued=3)
    w.add("caught", "every 20s", catch_up=CatchUp.ALL)
    w.add("replaced", "every 15s", overlap=Overlap.REPLACE)
    w.store.set_calendar("team", "2026-03-03 away\n", now=w.clock.now())
    w.add("dated", "every 10s", calendars=("team:skip",))
    w.add("boot", "@reboot")
    return w


def live(w: World, store: Failing) -> int:
    """Let schedulers live; one that the store stops at its start is started again. Return how many did."""
    schedulers = 0
    ends_at = w.clock.elapsed + utc(END) - utc(START)
    over: list[bool] = []
    w.clock.after((ends_at - w.clock.elapsed) / 1e6, lambda: over.append(True))
    while not over:
        schedulers += 1
        w.workers.has_scheduler = True
        scheduler = Scheduler(store, w.workers, w.clock, boot_id="boot-1", tell=w.told.append)  # type: ignore[arg-type]
        try:
            scheduler.start()
        except StoreError:
            w.workers.orphan()
            w.clock.wait(w.clock.now() + 1_000_000)
            continue
        turns = 0
        while not over:
            assert not scheduler.turn(), "a scheduler gave up on a store that recovers"
            scheduler.sleep()
            turns += 1
            assert turns < 5_000, "it turns without sleeping"
    w.workers.orphan()
    return schedulers


def assert_exact(w: World) -> None:
    w.check(JOBS)
    attempts = Counter(key for key, *_ in w.workers.starts)
    assert set(attempts.values()) == {1}
    runs = {run.id: run for name in (*JOBS, "boot") for run in w.rows(name)}
    for (run_id, attempt), *_ in w.workers.starts:
        assert attempt <= runs[run_id].attempt
    for run in runs.values():
        if run.outcome is Outcome.SUCCESS:
            assert attempts[run.id, run.attempt] == 1, "a success without a process"
        if run.state is State.RUNNING:
            assert (run.id, run.attempt) in w.workers.alive, "a run that runs without a process"
    assert [run.outcome for run in w.rows("boot")] == [Outcome.SUCCESS]
    assert w.store.totals().paused == 0, "a job was paused because the store failed"
    # What was due before the trouble was over is there; nothing waits that could run.
    assert all(
        job.next_fire_at is None or job.next_fire_at > w.clock.now() for job in w.store.scheduled_jobs()
    )
    assert w.rows("plain")[-1].outcome is Outcome.SUCCESS or w.rows("plain")[-1].state is not State.DONE
    w.store.check(thoroughly=True)


def is_writing(name: str) -> bool:
    return name in STORE_STEPS or name.startswith("scheduler_")


def is_call(name: str) -> bool:
    return name not in NEVER


FULL, BUSY = StoreFull("the disk is full"), StoreBusy("it is locked")


@pytest.mark.parametrize(
    ("counts", "streak", "error", "step"),
    [
        (is_writing, 1, FULL, 3),
        (is_writing, 4, BUSY, 7),
        (is_call, 1, BUSY, 23),
        (is_call, 4, FULL, 23),
        pytest.param(is_writing, 1, FULL, 1, marks=pytest.mark.slow),
        pytest.param(is_writing, 4, BUSY, 1, marks=pytest.mark.slow),
        pytest.param(is_call, 1, BUSY, 1, marks=pytest.mark.slow),
        pytest.param(is_call, 4, FULL, 1, marks=pytest.mark.slow),
    ],
)
def test_row_disk_full_db_and_row_db_locked_at_the_nth_call(
    tmp_path: Path, counts: Callable[[str], bool], streak: int, error: StoreError, step: int
) -> None:
    healthy = filled(tmp_path / "healthy")
    store = Failing(healthy, counts, 10**9, 0, error)
    assert live(healthy, store) == 1
    assert_exact(healthy)
    total, first = store.called, random.Random(fresh_seed()).randint(1, step)
    healthy.store.close()
    failed: Counter[str] = Counter()
    for n in range(first, total + 1, step):
        w = filled(tmp_path / f"{n}")
        store = Failing(w, counts, n, streak, error)
        live(w, store)
        assert store.failed, f"call {n} of {total} was never made"
        failed.update(store.failed)
        print(f"n={n}: {store.failed}")
        assert_exact(w)
        w.store.close()
    assert len(failed) > 2, failed
