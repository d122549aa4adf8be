"""What every store does with decisions: runs and watermark in one step, each fire time once (G1, G2)."""

from __future__ import annotations

import pytest

from cronq.model import SECOND, Outcome, State, Trigger
from cronq.plan import Fire, Launch
from cronq.store import JobChange, RunQuery, Store
from tests.unit.store.builders import (
    MINUTE,
    NOW,
    add,
    claim_all,
    claim_one,
    definition,
    finish,
    fire,
    fires,
    ids,
    passed,
    pause,
    redefine,
    remove,
)
from tests.unit.store.conftest import OpenStore


def test_launch_inserts_the_runs_and_moves_the_watermark(store: Store) -> None:
    job = add(store, priority=7)
    runs = store.launch([fires(job, NOW, NOW + MINUTE)], now=NOW + MINUTE + 5)
    assert [run.fire_at for run in runs] == [NOW, NOW + MINUTE]
    assert store.job("job").next_fire_at == NOW + 2 * MINUTE
    first = runs[0]
    assert store.run(first.id).run == first
    assert (first.state, first.trigger, first.priority, first.revision) == (
        State.QUEUED,
        Trigger.SCHEDULE,
        7,
        1,
    )
    assert (first.logical_at, first.last_fire_at, first.fire_count) == (NOW, NOW, 1)
    assert (first.queued_at, first.available_at) == (NOW + MINUTE + 5, NOW)
    assert (first.attempt, first.failures, first.worker, first.outcome) == (0, 0, None, None)


def test_launch_of_passed_fire_times_is_one_done_row(store: Store) -> None:
    job = add(store)
    (run,) = store.launch([passed(job, NOW, NOW + 9 * MINUTE, 10)], now=NOW + 10 * MINUTE)
    assert (run.state, run.outcome, run.reason) == (State.DONE, Outcome.MISSED, "late")
    assert (run.fire_at, run.last_fire_at, run.fire_count) == (NOW, NOW + 9 * MINUTE, 10)
    assert (run.finished_at, run.attempt) == (NOW + 10 * MINUTE, 0)


def test_launch_returns_the_runs_of_all_jobs_in_order(store: Store) -> None:
    a, b = add(store, "a"), add(store, "b")
    runs = store.launch([fires(b, NOW), fires(a, NOW, NOW + MINUTE)], now=NOW)
    assert [(run.job, run.fire_at) for run in runs] == [("b", NOW), ("a", NOW), ("a", NOW + MINUTE)]


def test_launch_twice_with_what_was_read_once_launches_once(store: Store, another: OpenStore) -> None:
    job = add(store)
    assert len(store.launch([fires(job, NOW)], now=NOW)) == 1
    assert another().launch([fires(job, NOW)], now=NOW) == []
    assert store.totals().queued == 1


def test_launch_that_was_outrun_does_not_move_the_watermark_back(store: Store, another: OpenStore) -> None:
    job = add(store)
    other = another()
    fire(other, "job", NOW)
    fire(other, "job", NOW + MINUTE)
    present = store.job("job")
    for stale in (fires(job, NOW), Launch(job, (), NOW), passed(job, NOW, NOW + 9 * MINUTE, 10)):
        assert store.launch([stale], now=NOW + 9 * MINUTE) == []
        assert store.job("job") == present


@pytest.mark.parametrize("how", ["edited", "paused", "removed"])
def test_launch_planned_for_a_job_that_changed_does_nothing(
    store: Store, another: OpenStore, how: str
) -> None:
    job, bystander = add(store), add(store, "bystander")
    other = another()
    if how == "edited":
        redefine(other, "job", retries=1)
    elif how == "paused":
        pause(other, "job")
    else:
        remove(other, "job")
    runs = store.launch([fires(job, NOW), fires(bystander, NOW)], now=NOW)
    assert [run.job for run in runs] == ["bystander"]


def test_launch_of_a_fire_time_that_has_a_row_keeps_the_row(store: Store) -> None:
    job = add(store)
    (first,) = store.launch([fires(job, NOW)], now=NOW)
    # A watermark moved back, as by a new schedule that names a past fire time again.
    back = Launch(store.job("job"), (), NOW)
    store.change_jobs([JobChange(back, definition(retries=1))], now=NOW)
    again = store.launch([fires(store.job("job"), NOW, NOW + MINUTE)], now=NOW)
    assert [run.fire_at for run in again] == [NOW + MINUTE]
    assert store.run(first.id).run == first


def test_launch_with_nothing_to_tell_still_moves_the_watermark(store: Store) -> None:
    job = add(store)
    assert store.launch([Launch(job, (), None)], now=NOW) == []
    assert store.job("job").next_fire_at is None


def test_launch_many_is_all_or_nothing(store: Store) -> None:
    job = add(store)
    impossible = Launch(job, (Fire(NOW, Trigger.SCHEDULE), Fire(NOW + 1, Trigger.MANUAL)), NOW + MINUTE)
    with pytest.raises(Exception, match="refused a row"):
        store.launch([impossible], now=NOW)
    assert store.totals().queued == 0
    assert store.job("job") == job


# Replacing


def test_launch_that_replaces_cancels_queued_runs(store: Store) -> None:
    job = add(store, overlap="replace")
    (old,) = store.launch([fires(job, NOW)], now=NOW)
    (new,) = store.launch([fires(store.job("job"), NOW + MINUTE, replaces=True)], now=NOW + MINUTE)
    after = store.run(old.id).run
    assert (after.state, after.outcome, after.finished_at) == (State.DONE, Outcome.CANCELLED, NOW + MINUTE)
    assert after.reason == f"replaced by run {new.id}"
    assert new.state is State.QUEUED


def test_launch_that_replaces_asks_running_runs_to_stop(store: Store) -> None:
    add(store, overlap="replace")
    fire(store, "job", NOW)
    claim = claim_one(store)
    (new,) = store.launch([fires(store.job("job"), NOW + MINUTE, replaces=True)], now=NOW + MINUTE)
    assert store.run(claim.run.id).run.state is State.RUNNING
    assert store.stop_requests() == [(claim.key, f"replaced by run {new.id}")]


def test_launch_that_replaces_leaves_other_jobs_alone(store: Store) -> None:
    add(store, overlap="replace")
    add(store, "other")
    other = fire(store, "other", NOW)
    store.launch([fires(store.job("job"), NOW, replaces=True)], now=NOW)
    assert store.run(other.id).run == other


def test_launch_that_replaces_but_has_a_row_already_replaces_nothing(store: Store) -> None:
    job = add(store, overlap="replace")
    (run,) = store.launch([fires(job, NOW)], now=NOW)
    store.change_jobs([JobChange(Launch(store.job("job"), (), NOW), definition())], now=NOW)
    again = store.job("job")
    skipped = passed(again, NOW - MINUTE, NOW - MINUTE, 1).entries
    launch = fires(again, NOW, replaces=True)
    store.launch([launch._replace(entries=(*skipped, *launch.entries))], now=NOW)
    assert store.run(run.id).run == run


# Waking


def test_next_wake_is_the_first_due_job(store: Store) -> None:
    assert store.next_wake(NOW) is None
    add(store, "a", due=NOW + 9)
    add(store, "b", due=NOW + 5)
    assert store.next_wake(NOW) == NOW + 5


def test_next_wake_is_past_while_something_is_due(store: Store) -> None:
    add(store, due=NOW)
    assert store.next_wake(NOW + MINUTE) == NOW


def test_next_wake_is_a_retry_that_comes_before(store: Store) -> None:
    add(store, due=NOW + MINUTE)
    store.trigger(["job"], now=NOW)
    finish(store, claim_one(store), Outcome.FAILURE, retry_at=NOW + 4 * SECOND, counts=True)
    assert store.next_wake(NOW) == NOW + 4 * SECOND
    # From then on it waits for a worker, not for the time.
    assert store.next_wake(NOW + 4 * SECOND) == NOW + MINUTE


def test_next_wake_ignores_runs_that_only_wait_for_a_worker(store: Store) -> None:
    add(store, due=None)
    store.trigger(["job"], now=NOW)
    assert store.next_wake(NOW) is None


def test_has_work_until_everything_is_done(store: Store) -> None:
    add(store)
    assert not store.has_work()
    fire(store, "job", NOW)
    assert store.has_work()
    claim = claim_one(store)
    assert store.has_work()
    finish(store, claim)
    assert not store.has_work()


def test_has_work_does_not_count_what_a_pause_holds_back(store: Store) -> None:
    add(store)
    fire(store, "job", NOW)
    pause(store, "job")
    assert not store.has_work()
    store.trigger(["job"], now=NOW)
    assert store.has_work()


def test_runs_of_one_fire_time_are_never_two(store: Store, another: OpenStore) -> None:
    job = add(store)
    stores = [store, another(), another()]
    for minute in range(5):
        launches = [fires(job._replace(next_fire_at=NOW + minute * MINUTE), NOW + minute * MINUTE)]
        assert sum(len(one.launch(launches, now=NOW)) for one in stores) == 1
    listed = store.runs(RunQuery(("job",)))
    assert len({run.fire_at for run, _ in listed}) == len(listed) == 5
    assert len(ids([claim.run for claim in claim_all(store, now=NOW + 9 * MINUTE)])) == 1
