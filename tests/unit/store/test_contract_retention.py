"""What every store does for retention: tell how far the history reaches, and remove what is beyond."""

from __future__ import annotations

import pytest

from cronq.errors import JobNotFound, RunNotFound
from cronq.model import Outcome, State
from cronq.retention import Row
from cronq.store import JobHistory, RunQuery, Store
from tests.unit.store.builders import (
    MINUTE,
    NOW,
    add,
    claim_one,
    done_run,
    finish,
    fire,
    fires,
    ids,
    passed,
    redefine,
    remove,
)
from tests.unit.store.conftest import OpenStore

END = 2**62


def kept(store: Store, name: str = "job") -> list[int]:
    return sorted(ids([run for run, _ in store.runs(RunQuery((name,), limit=1000))]))


def test_jobs_with_limits_are_found_page_by_page(store: Store) -> None:
    add(store, "all")
    for name in "abc":
        add(store, name, keep="10")
    redefine(store, "b", keep=None)
    remove(store, "c", now=NOW + 1)
    a, c = JobHistory(2, "a", "10", None), JobHistory(4, "c", "10", NOW + 1)
    assert store.kept_jobs(limit=9) == [a, c]
    assert store.kept_jobs(limit=1) == [a]
    assert store.kept_jobs(after=a.id, limit=1) == [c]
    assert store.kept_jobs(after=c.id, limit=1) == []
    assert store.limited_jobs() == 1
    assert [one.name for one in store.jobs_ever(limit=9)] == ["all", "a", "b", "c"]
    assert [one.name for one in store.jobs_ever(after=1, limit=2)] == ["a", "b"]


def test_histories_of_a_name_are_those_of_its_removed_namesakes_too(store: Store) -> None:
    add(store, keep="10")
    remove(store, "job", now=NOW + 1)
    add(store)
    assert store.histories(["job"]) == [JobHistory(2, "job", None, None), JobHistory(1, "job", "10", NOW + 1)]
    with pytest.raises(JobNotFound):
        store.histories(["job", "nope"])


def test_nth_done_counts_done_runs_of_the_job_from_the_newest(store: Store) -> None:
    add(store)
    add(store, "other")
    done = [done_run(store).id for _ in range(4)]
    done_run(store, "other")
    store.trigger(["job"], now=NOW)
    assert [store.nth_done(1, n, before_id=END) for n in range(5)] == [*reversed(done), None]
    assert store.nth_done(1, 0, before_id=done[2]) == done[1]


def test_logged_runs_are_those_that_had_an_attempt(store: Store) -> None:
    job = add(store)
    first = done_run(store)
    store.launch([passed(job, NOW, NOW + MINUTE, 2)], now=NOW)
    (second,) = store.trigger(["job"], now=NOW)
    again = claim_one(store)
    store.record([], [])
    finish(store, again, Outcome.FAILURE, retry_at=NOW)
    finish(store, claim_one(store))
    store.trigger(["job"], now=NOW)
    assert store.logged_runs(1, before_id=END, limit=9) == [(second.id, 2), (first.id, 1)]
    assert store.logged_runs(1, before_id=END, limit=1) == [(second.id, 2)]
    assert store.logged_runs(1, before_id=second.id, limit=9) == [(first.id, 1)]


def test_oldest_runs_are_of_any_state(store: Store) -> None:
    add(store)
    add(store, "other")
    first = done_run(store)
    done_run(store, "other")
    (second,) = store.trigger(["job"], now=NOW)
    rows = [Row(first.id, 1, NOW, first.finished_at), Row(second.id, 0, NOW, None)]
    assert store.oldest_runs(1, after_id=0, limit=9) == rows
    assert store.oldest_runs(1, after_id=first.id, limit=9) == rows[1:]
    assert store.oldest_runs(1, after_id=0, limit=1) == rows[:1]


def test_spared_are_the_runs_that_others_need(store: Store) -> None:
    add(store, at_startup=True)
    (startup,) = store.launch_startup("boot-1", now=NOW)
    finish(store, claim_one(store))
    success = done_run(store)
    scheduled = fire(store, "job", NOW)
    finish(store, claim_one(store), Outcome.FAILURE)
    for _ in range(2):
        executed = done_run(store, outcome=Outcome.FAILURE)
    (newest,) = store.trigger(["job"], now=NOW)
    store.cancel(newest.id, reason="by hand", now=NOW)
    store.trigger(["job"], now=NOW)
    assert store.spared_runs(1) == {startup.id, success.id, scheduled.id, executed.id, newest.id}


def test_nothing_is_spared_where_nothing_is(store: Store) -> None:
    add(store)
    assert store.spared_runs(1) == frozenset()


def test_prune_removes_runs_and_their_attempts(store: Store) -> None:
    add(store)
    gone, stays = done_run(store), done_run(store)
    assert store.prune(1, [gone.id]) == 1
    assert kept(store) == [stays.id]
    with pytest.raises(RunNotFound):
        store.run(gone.id)
    assert store.prune(1, [gone.id]) == 0


@pytest.mark.parametrize("state", [State.QUEUED, State.RUNNING])
def test_prune_leaves_what_is_not_done(store: Store, state: State) -> None:
    add(store)
    (run,) = store.trigger(["job"], now=NOW)
    if state is State.RUNNING:
        claim_one(store)
    assert store.prune(1, [run.id]) == 0
    assert store.run(run.id).run.state is state


def test_prune_leaves_the_runs_of_other_jobs(store: Store) -> None:
    add(store)
    add(store, "other")
    run = done_run(store, "other")
    assert store.prune(1, [run.id]) == 0
    assert kept(store, "other") == [run.id]


def test_pruned_fire_times_are_not_fired_again(store: Store) -> None:
    """The watermark stands above them, whatever rows are gone (G1)."""
    job = add(store)
    run = fire(store, "job", NOW)
    finish(store, claim_one(store))
    fire(store, "job", NOW + MINUTE)
    store.prune(1, [run.id])
    assert store.launch([fires(job, NOW)], now=NOW) == []
    assert [run.fire_at for run, _ in store.runs(RunQuery())] == [NOW + MINUTE]


def test_after_pruning_a_new_schedule_begins_after_the_last_fire_time(store: Store) -> None:
    add(store)
    store.launch([passed(store.job("job"), NOW, NOW + 5 * MINUTE, 6)], now=NOW)
    ((run, _),) = store.runs(RunQuery())
    store.prune(1, [run.id])
    done_run(store)
    (due,) = store.due(["job"])
    assert due.accounted_until == NOW + 5 * MINUTE


def test_forget_removes_only_empty_tombstones_that_had_limits(store: Store) -> None:
    add(store, "alive", keep="1")
    for name, keep in (("all", None), ("full", "1"), ("empty", "1")):
        add(store, name, keep=keep)
    run = done_run(store, "full")
    remove(store, "all", "full", "empty")
    assert [store.forget_job(job_id) for job_id in (1, 2, 3, 4, 4)] == [False, False, False, True, False]
    assert [one.name for one in store.jobs_ever(limit=9)] == ["alive", "all", "full"]
    store.prune(3, [run.id])
    assert store.forget_job(3)


def test_logs_are_needed_where_runs_are_or_may_come(store: Store) -> None:
    add(store)
    assert store.needs_logs_of(0, 999)
    runs = [done_run(store) for _ in range(4)]
    store.prune(1, [run.id for run in runs[:2]])
    assert not store.needs_logs_of(0, 2)
    assert store.needs_logs_of(0, 3)
    assert store.needs_logs_of(4, 999)
    assert store.needs_logs_of(1000, 1999)


def test_numbers_of_pruned_runs_are_not_given_again(another: OpenStore) -> None:
    store = another()
    add(store)
    gone = done_run(store)
    store.prune(1, [gone.id])
    assert done_run(another()).id > gone.id
