"""What every store does with runs that people ask for: trigger, cancel, retry, list."""

from __future__ import annotations

from itertools import pairwise

import pytest

from cronq.errors import IllegalTransition, JobNotFound, RunNotFound
from cronq.model import Outcome, State, Trigger
from cronq.store import RunQuery, Store
from tests.unit.store.builders import (
    MINUTE,
    NOW,
    add,
    claim_one,
    done_run,
    finish,
    fire,
    ids,
    passed,
    redefine,
    remove,
)
from tests.unit.store.conftest import OpenStore


def test_trigger_queues_a_run_about_now(store: Store) -> None:
    add(store, priority=4)
    (run,) = store.trigger(["job"], now=NOW + 9)
    assert (run.trigger, run.state, run.priority) == (Trigger.MANUAL, State.QUEUED, 4)
    assert (run.logical_at, run.available_at, run.fire_at, run.last_fire_at) == (NOW + 9, NOW + 9, None, None)
    assert store.run(run.id).run == run
    assert store.run(run.id).attempts == ()


def test_trigger_does_not_move_the_watermark(store: Store) -> None:
    job = add(store)
    store.trigger(["job"], now=NOW)
    assert store.job("job") == job


def test_trigger_unknown_among_known_triggers_none(store: Store) -> None:
    add(store)
    with pytest.raises(JobNotFound):
        store.trigger(["job", "nope"], now=NOW)
    assert store.totals().queued == 0


# Cancel


def test_cancel_queued_ends_it(store: Store) -> None:
    add(store)
    (run,) = store.trigger(["job"], now=NOW)
    after = store.cancel(run.id, reason="by hand", now=NOW + 5)
    assert (after.state, after.outcome, after.reason) == (State.DONE, Outcome.CANCELLED, "by hand")
    assert after.finished_at == NOW + 5
    assert store.claimable(NOW + 9, limit=9) == 0


def test_cancel_a_waiting_retry_ends_it(store: Store) -> None:
    add(store)
    store.trigger(["job"], now=NOW)
    run = finish(store, claim_one(store), Outcome.FAILURE, retry_at=NOW + MINUTE, counts=True)
    after = store.cancel(run.id, reason="by hand", now=NOW)
    assert (after.state, after.outcome, after.attempt) == (State.DONE, Outcome.CANCELLED, 1)


def test_cancel_running_asks_it_to_stop(store: Store) -> None:
    add(store)
    (run,) = store.trigger(["job"], now=NOW)
    claim_one(store)
    after = store.cancel(run.id, reason="by hand", now=NOW)
    assert (after.state, after.outcome, after.stop_reason) == (State.RUNNING, None, "by hand")


def test_cancel_running_twice_keeps_the_first_reason(store: Store) -> None:
    add(store)
    (run,) = store.trigger(["job"], now=NOW)
    claim_one(store)
    store.cancel(run.id, reason="first", now=NOW)
    assert store.cancel(run.id, reason="second", now=NOW).stop_reason == "first"


def test_cancel_done_is_refused_with_a_hint(store: Store) -> None:
    add(store)
    run = done_run(store)
    with pytest.raises(IllegalTransition, match=f"run {run.id} of `job` is done already .success.") as caught:
        store.cancel(run.id, reason="late", now=NOW)
    assert caught.value.hint == f"run it again with `cronq retry {run.id}`"


@pytest.mark.parametrize("run_id", [0, -1, 2, 2**63 - 1, 2**63, 10**30])
def test_runs_that_do_not_exist_are_not_found(store: Store, run_id: int) -> None:
    add(store)
    done_run(store)
    for ask in (
        lambda: store.run(run_id),
        lambda: store.cancel(run_id, reason="", now=NOW),
        lambda: store.retry([run_id], now=NOW),
    ):
        with pytest.raises(RunNotFound, match=f"there is no run {run_id}") as caught:
            ask()
        assert "cronq runs" in caught.value.hint


# Retry


@pytest.mark.parametrize("outcome", [Outcome.SUCCESS, Outcome.FAILURE, Outcome.TIMEOUT, Outcome.ABANDONED])
def test_retry_queues_a_new_run_about_the_same_instant(store: Store, outcome: Outcome) -> None:
    add(store)
    fire(store, "job", NOW)
    old = finish(store, claim_one(store), outcome)
    (run,) = store.retry([old.id], now=NOW + MINUTE)
    assert run.id != old.id
    assert (run.trigger, run.state, run.logical_at, run.fire_at) == (Trigger.MANUAL, State.QUEUED, NOW, None)
    assert run.available_at == NOW + MINUTE
    assert store.run(old.id).run == old


def test_retry_of_a_missed_fire_time_runs_it(store: Store) -> None:
    job = add(store)
    (missed,) = store.launch([passed(job, NOW, NOW, 1)], now=NOW + MINUTE)
    assert store.retry([missed.id], now=NOW + MINUTE)[0].logical_at == NOW


def test_retry_follows_the_present_definition(store: Store) -> None:
    add(store)
    old = done_run(store)
    redefine(store, "job", priority=8)
    (run,) = store.retry([old.id], now=NOW)
    assert (run.revision, run.priority) == (2, 8)


@pytest.mark.parametrize("is_claimed", [False, True])
def test_retry_of_a_run_that_is_not_done_is_refused_with_a_hint(store: Store, is_claimed: bool) -> None:
    add(store)
    (run,) = store.trigger(["job"], now=NOW)
    if is_claimed:
        claim_one(store)
    with pytest.raises(IllegalTransition, match=f"run {run.id} of `job` is still") as caught:
        store.retry([run.id], now=NOW)
    assert caught.value.hint == f"stop it first with `cronq cancel {run.id}`"
    assert store.totals().queued + store.totals().running == 1


def test_retry_of_a_removed_job_is_refused(store: Store) -> None:
    add(store)
    run = done_run(store)
    remove(store, "job")
    with pytest.raises(JobNotFound):
        store.retry([run.id], now=NOW)


# Listing


def test_runs_are_the_newest_first_with_their_last_attempt(store: Store) -> None:
    add(store)
    first = done_run(store)
    (second,) = store.trigger(["job"], now=NOW)
    listed = store.runs(RunQuery())
    assert [(run.id, attempt and attempt.run_id) for run, attempt in listed] == [
        (second.id, None),
        (first.id, first.id),
    ]


def test_runs_show_the_attempt_that_counts(store: Store) -> None:
    add(store)
    store.trigger(["job"], now=NOW)
    finish(store, claim_one(store), Outcome.FAILURE, retry_at=NOW, counts=True)
    claim_one(store)
    ((run, attempt),) = store.runs(RunQuery())
    assert attempt is not None
    assert (run.attempt, attempt.attempt, attempt.outcome) == (2, 2, None)


@pytest.fixture
def history(store: Store) -> Store:
    """Runs 1 to 5: a succeeded, b failed, a runs, b missed one, a is queued."""
    add(store, "a")
    add(store, "b")
    done_run(store, "a")
    done_run(store, "b", Outcome.FAILURE)
    store.trigger(["a"], now=NOW + 1)
    claim_one(store, now=NOW + 1)
    store.launch([passed(store.job("b"), NOW, NOW, 1)], now=NOW + 2)
    store.trigger(["a"], now=NOW + 3)
    return store


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (RunQuery(), [5, 4, 3, 2, 1]),
        (RunQuery(limit=2), [5, 4]),
        (RunQuery(limit=0), []),
        (RunQuery(before_id=3), [2, 1]),
        (RunQuery(before_id=1), []),
        (RunQuery(("a",)), [5, 3, 1]),
        (RunQuery(("b", "a")), [5, 4, 3, 2, 1]),
        (RunQuery(state=State.QUEUED), [5]),
        (RunQuery(state=State.RUNNING), [3]),
        (RunQuery(state=State.DONE), [4, 2, 1]),
        (RunQuery(outcomes=(Outcome.FAILURE,)), [2]),
        (RunQuery(outcomes=(Outcome.SUCCESS, Outcome.MISSED)), [4, 1]),
        (RunQuery(since=NOW + 1), [5, 4, 3]),
        (RunQuery(since=NOW + 9), []),
        (RunQuery(("a",), State.DONE, (Outcome.SUCCESS,), NOW, 4, 9), [1]),
        (RunQuery(("b",), outcomes=(Outcome.SUCCESS,)), []),
    ],
)
def test_runs_are_filtered(history: Store, query: RunQuery, expected: list[int]) -> None:
    assert ids([run for run, _ in history.runs(query)]) == expected


def test_runs_of_an_unknown_job_are_an_error(history: Store) -> None:
    with pytest.raises(JobNotFound):
        history.runs(RunQuery(("a", "nope")))


def test_runs_page_by_page_are_all_of_them_once(store: Store, another: OpenStore) -> None:
    add(store)
    store.trigger(["job"] * 23, now=NOW)
    other = another()
    found: list[int] = []
    before: int | None = None
    while page := store.runs(RunQuery(limit=5, before_id=before)):
        found += ids([run for run, _ in page])
        before = found[-1]
        other.trigger(["job"], now=NOW)  # what comes meanwhile disturbs no page
    assert len(found) == 23
    assert all(newer == older + 1 for newer, older in pairwise(found))
