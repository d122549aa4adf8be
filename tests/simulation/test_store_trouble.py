"""A store that cannot be written for a while, or never again: nothing dies, is lost, or is a lie."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cronq.errors import StoreError, StoreFull, StoreMissing
from cronq.events import Notice
from cronq.model import SECOND, CatchUp, Outcome
from cronq.scheduler import Options, Scheduler
from cronq.store import Store
from cronq.sweep import Sweep
from tests.simulation.world import STORE_STEPS, Played, World, utc

Worlds = Callable[..., World]


class Ailing:
    """The real store, whose methods fail while `ill` says so."""

    def __init__(self, store: Store, methods: frozenset[str], error: StoreError) -> None:
        self._store, self._methods, self._error = store, methods, error
        self.is_ill = False

    def __getattr__(self, name: str) -> object:
        method = getattr(self._store, name)
        if name not in self._methods:
            return method

        def ailing(*args: object, **kwargs: object) -> object:
            if self.is_ill:
                raise self._error
            return method(*args, **kwargs)

        return ailing


def live(w: World, store: Ailing, until: int, options: Options | None = None) -> Scheduler:
    told = w.told.append
    scheduler = Scheduler(store, w.workers, w.clock, boot_id="boot-1", tell=told, options=options)  # type: ignore[arg-type]
    scheduler.tickers.append(Sweep(w.place, w.clock, told).ticker)
    scheduler.start()
    turns = 0
    while w.clock.wall < until and not scheduler.turn():
        scheduler.sleep()
        turns += 1
        assert turns < 5_000, "it turns without sleeping"
    return scheduler


def notices(w: World) -> list[str]:
    return [event.message for event in w.told if isinstance(event, Notice)]


@pytest.mark.parametrize("method", ["launch", "claim", "record", "due_jobs"])
def test_row_disk_full_db_pauses_the_scheduler_and_space_brings_it_back(world: Worlds, method: str) -> None:
    w = world(play=lambda _: Played(20))
    w.add("job", "* * * * *")
    store = Ailing(w.store, frozenset({method}), StoreFull("the disk is full"))
    w.clock.at(utc("2026-03-02T00:05:10"), lambda: setattr(store, "is_ill", True))
    w.clock.at(utc("2026-03-02T00:12:30"), lambda: setattr(store, "is_ill", False))
    live(w, store, utc("2026-03-02T00:20:30"))
    told = notices(w)
    assert told[0] == "the disk is full; nothing is started until it can be written again"
    assert told[-1] == "the store can be written again"
    assert len(told) <= 4, "said again and again"
    w.check(["job"])
    assert {run.outcome for run in w.rows("job")} <= {Outcome.SUCCESS, Outcome.MISSED, Outcome.SKIPPED}
    assert w.rows("job")[-1].outcome is Outcome.SUCCESS


def test_row_db_deleted_ends_the_scheduler_with_5_once_the_commands_are_done(world: Worlds) -> None:
    w = world(play=lambda _: Played(20))
    w.add("job", "* * * * *")
    store = Ailing(w.store, frozenset({"verify"}), StoreMissing("it has vanished"))
    w.clock.at(utc("2026-03-02T00:05:10"), lambda: setattr(store, "is_ill", True))
    scheduler = live(w, store, utc("2026-03-02T00:20:30"))
    assert scheduler.finish() == 5
    assert w.clock.wall == utc("2026-03-02T00:05:20")
    assert notices(w) == ["it has vanished"]


def test_results_that_cannot_be_written_are_left_to_the_workers(world: Worlds) -> None:
    w = world(play=lambda _: Played(20))
    w.add("job", "* * * * *")
    store = Ailing(w.store, frozenset({"record"}), StoreFull("the disk is full"))
    store.is_ill = True
    live(w, store, utc("2026-03-02T01:00:00"), Options(for_s=65.0, drain_s=30.0))
    assert w.clock.wall < utc("2026-03-02T00:02:00")
    assert notices(w)[-1] == "leaving results to the workers: the store cannot be written"
    w.workers.orphan()
    assert [run.outcome for run in w.rows("job")] == [Outcome.SUCCESS]


def test_row_disk_full_db_leaves_retention_for_later_and_the_runs_go_on(world: Worlds) -> None:
    w = world()
    w.add("job", "* * * * *", keep="5")
    store = Ailing(w.store, frozenset({"prune"}), StoreFull("the disk is full"))
    store.is_ill = True
    w.clock.at(utc("2026-03-02T00:25:00"), lambda: setattr(store, "is_ill", False))
    live(w, store, utc("2026-03-02T00:31:30"))
    told = notices(w)
    assert told[:-1] == ["retention: the disk is full; it is tried again in ten minutes"] * 2
    assert told[-1].startswith("retention: removed 2")
    assert {run.outcome for run in w.rows("job")} == {Outcome.SUCCESS}
    assert len(w.rows("job")) <= 7


class Slow:
    """The real store on a disk whose every write takes its time."""

    def __init__(self, w: World, seconds: float) -> None:
        self._w, self._seconds = w, seconds
        self.writes = 0

    def __getattr__(self, name: str) -> object:
        method = getattr(self._w.store, name)
        if name not in STORE_STEPS:
            return method

        def slow(*args: object, **kwargs: object) -> object:
            result = method(*args, **kwargs)
            self.writes += 1
            self._w.clock._pass(round(self._seconds * SECOND))
            return result

        return slow


@pytest.mark.parametrize("seconds", [0.2, 3.0, 45.0])
def test_row_slow_fsync_delays_and_accounts_for_everything(world: Worlds, seconds: float) -> None:
    w = world(play=lambda _: Played(5))
    w.add("minutely", "* * * * *")
    w.add("all", "every 20s", catch_up=CatchUp.ALL)
    w.add("flaky", "*/5 * * * *", retries=1, retry_delay_s=10.0)
    store = Slow(w, seconds)
    live(w, store, utc("2026-03-02T01:00:00"))  # type: ignore[arg-type]
    assert store.writes > 20
    w.check(["minutely", "all", "flaky"])
    started = [key for key, *_ in w.workers.starts]
    assert len(started) == len(set(started))
    assert not [told for told in notices(w) if "clock" in told], "a slow disk is no step of the clock"
    assert Outcome.SUCCESS in {run.outcome for run in w.rows("minutely")}
