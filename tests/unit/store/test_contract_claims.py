"""What every store does with claims: the right run first, never two for one, old hands fenced off (G3)."""

from __future__ import annotations

import contextlib

import pytest

from cronq.errors import IllegalTransition, InvariantError
from cronq.model import SECOND, Claim, Outcome, State, Usage
from cronq.named_locks import LockWish
from cronq.store import NewJob, Place, RunDetail, Store
from cronq.store.sqlite import SqliteStore
from cronq.store.sqlite import open_store as open_sqlite
from tests.unit.store.builders import (
    BOOT,
    MINUTE,
    NOW,
    add,
    claim_all,
    claim_one,
    definition,
    done_run,
    end,
    finish,
    fire,
    pause,
    redefine,
    remove,
    resume,
    start,
)
from tests.unit.store.conftest import OpenStore

# Claiming


def test_claim_makes_the_run_running_with_an_attempt(store: Store) -> None:
    add(store, retries=2)
    run = fire(store, "job", NOW)
    (claim,) = store.claim(["worker-7"], BOOT, now=NOW + 5)
    assert claim.key == (run.id, 1)
    assert claim.run == store.run(run.id).run
    assert (claim.run.state, claim.run.worker, claim.run.attempt) == (State.RUNNING, "worker-7", 1)
    assert (claim.worker, claim.claimed_at, claim.definition.retries) == ("worker-7", NOW + 5, 2)
    (attempt,) = store.run(run.id).attempts
    assert (attempt.worker, attempt.boot_id, attempt.claimed_at) == ("worker-7", BOOT, NOW + 5)
    assert (attempt.started_at, attempt.outcome, attempt.pid) == (None, None, None)


def test_claim_of_a_claimed_run_is_impossible(store: Store, another: OpenStore) -> None:
    add(store)
    fire(store, "job", NOW)
    assert len(claim_all(store)) == 1
    assert claim_all(another()) == []


def test_claim_without_workers_claims_nothing(store: Store) -> None:
    add(store)
    fire(store, "job", NOW)
    assert store.claim([], BOOT, now=NOW) == []
    assert store.claimable(NOW, limit=9) == 1


def test_claim_gives_each_worker_another_run(store: Store) -> None:
    add(store, max_running=9, overlap="allow")
    store.trigger(["job"] * 3, now=NOW)
    claims = store.claim(["a", "b"], BOOT, now=NOW)
    assert [(claim.run.id, claim.worker) for claim in claims] == [(1, "a"), (2, "b")]


def test_claim_order_is_priority_then_availability_then_number(store: Store) -> None:
    for name, priority in (("low", -1), ("normal", 0), ("other", 0), ("high", 5)):
        add(store, name, due=None, priority=priority)
    store.trigger(["low", "normal"], now=NOW + 2)
    store.trigger(["other"], now=NOW + 1)
    store.trigger(["high"], now=NOW + 3)
    claims = claim_all(store, now=NOW + 3)
    assert [claim.run.job for claim in claims] == ["high", "other", "normal", "low"]


def test_claim_takes_caught_up_fire_times_before_what_was_queued_later(store: Store) -> None:
    add(store, "manual", due=None)
    add(store, "job")
    store.trigger(["manual"], now=NOW + 2 * MINUTE)
    fire(store, "job", NOW + MINUTE, now=NOW + 3 * MINUTE)
    claims = claim_all(store, now=NOW + 3 * MINUTE)
    assert [claim.run.job for claim in claims] == ["job", "manual"]


def test_claim_waits_until_the_run_is_available(store: Store) -> None:
    add(store)
    store.trigger(["job"], now=NOW)
    finish(store, claim_one(store), Outcome.FAILURE, retry_at=NOW + MINUTE, counts=True)
    assert claim_all(store, now=NOW + MINUTE - 1) == []
    again = claim_one(store, now=NOW + MINUTE)
    assert again.key == (1, 2)


@pytest.mark.parametrize(("max_running", "expected"), [(1, 1), (3, 3), (None, 5)])
def test_claim_keeps_to_max_running(store: Store, max_running: int | None, expected: int) -> None:
    add(store, max_running=max_running, overlap="allow")
    store.trigger(["job"] * 5, now=NOW)
    assert store.claimable(NOW, limit=99) == expected
    assert len(claim_all(store)) == expected
    assert store.claimable(NOW, limit=99) == 0
    assert claim_all(store) == []


def test_claim_passes_over_a_full_job_to_the_next(store: Store) -> None:
    add(store, "full", priority=9)
    add(store, "other")
    store.trigger(["full", "full", "other"], now=NOW)
    assert [claim.run.job for claim in claim_all(store)] == ["full", "other"]


def test_claim_follows_a_new_max_running_at_once(store: Store) -> None:
    add(store)
    store.trigger(["job"] * 3, now=NOW)
    claim_one(store)
    redefine(store, "job", max_running=2)
    assert len(claim_all(store)) == 1


def test_row_job_edited_while_queued_keeps_the_definition_of_the_run(store: Store) -> None:
    add(store, timeout_s=1.0)
    store.trigger(["job"], now=NOW)
    redefine(store, "job", timeout_s=2.0)
    claim = claim_one(store)
    assert (claim.run.revision, claim.definition.timeout_s) == (1, 1.0)


def test_claim_of_a_paused_job_waits_unless_asked_for_by_hand(store: Store) -> None:
    add(store, max_running=9)
    scheduled = fire(store, "job", NOW)
    pause(store, "job")
    (manual,) = store.trigger(["job"], now=NOW)
    assert store.claimable(NOW, limit=9) == 1
    assert [claim.run.id for claim in claim_all(store)] == [manual.id]
    resume(store, "job")
    assert [claim.run.id for claim in claim_all(store)] == [scheduled.id]


def test_claim_tells_the_newest_success_of_the_job(store: Store) -> None:
    add(store, max_running=9)
    add(store, "other")
    store.trigger(["job"], now=NOW)
    claim = claim_one(store)
    assert claim.last_success_at is None
    finish(store, claim, Outcome.FAILURE)
    store.trigger(["other"], now=NOW + 7)
    finish(store, claim_one(store, now=NOW + 7))
    store.trigger(["job", "job"], now=NOW + 5)
    first, second = claim_all(store, now=NOW + 5)
    assert first.last_success_at is None
    finish(store, first)
    store.trigger(["job"], now=NOW + 6)
    assert claim_one(store, now=NOW + 6).last_success_at == NOW + 5
    finish(store, second)


def test_claimable_is_bounded_by_its_limit(store: Store) -> None:
    add(store, max_running=None, overlap="allow")
    store.trigger(["job"] * 4, now=NOW)
    assert [store.claimable(NOW, limit=limit) for limit in (0, 1, 3, 9)] == [0, 1, 3, 4]
    assert store.claimable(NOW - 1, limit=9) == 0


# Claims that are held ready, and given back


def test_claims_ahead_come_after_the_others_in_order(store: Store) -> None:
    add(store, max_running=None, overlap="allow")
    store.trigger(["job"] * 4, now=NOW)
    claims = store.claim(["idle"], BOOT, now=NOW, ahead=["a", "b"])
    assert [(claim.run.id, claim.worker) for claim in claims] == [(1, "idle"), (2, "a"), (3, "b")]


def test_nothing_that_takes_locks_is_held_ready(store: Store) -> None:
    for name, locks in (("first", ("gpu",)), ("second", ("disk",)), ("third", ())):
        store.add_job(
            NewJob(name, definition(locks=locks), None, locks=tuple(LockWish(one, 1) for one in locks)),
            now=NOW,
        )
    store.trigger(["first", "second", "third"], now=NOW)
    claims = store.claim(["idle"], BOOT, now=NOW, ahead=["a", "b"])
    assert [(claim.run.job, claim.worker) for claim in claims] == [("first", "idle"), ("third", "a")]


def test_unclaimed_run_is_queued_as_if_it_had_never_been_claimed(store: Store) -> None:
    add(store)
    before = fire(store, "job", NOW)
    claim = claim_one(store)
    store.unclaim([claim.key], now=NOW + 5)
    assert store.run(before.id) == RunDetail(before, ())
    again = claim_one(store)
    assert again.key == claim.key
    finish(store, again)


def test_run_that_is_given_back_gives_back_its_locks(store: Store) -> None:
    store.add_job(NewJob("job", definition(locks=("db",)), None, locks=(LockWish("db", 1),)), now=NOW)
    store.trigger(["job"], now=NOW)
    claim = claim_one(store)
    store.unclaim([claim.key], now=NOW)
    finish(store, claim_one(store))


def test_unclaim_of_what_was_not_claimed_changes_nothing(store: Store) -> None:
    add(store)
    run = fire(store, "job", NOW)
    store.unclaim([(run.id, 1), (99, 1)], now=NOW)
    assert store.run(run.id).run == run
    claim = claim_one(store)
    store.unclaim([(run.id, 2)], now=NOW)
    assert store.run(run.id).run.state is State.RUNNING
    ended = finish(store, claim)
    store.unclaim([claim.key], now=NOW)
    assert store.run(run.id).run == ended
    assert len(store.run(run.id).attempts) == 1


def test_end_of_an_attempt_that_was_given_back_changes_nothing(store: Store) -> None:
    add(store)
    claim = claim_one_of(store)
    store.unclaim([claim.key], now=NOW)
    assert store.record([start(claim)], [end(claim)]) == []
    assert store.run(claim.run.id).run.state is State.QUEUED


def test_run_that_was_cancelled_before_it_was_given_back_is_cancelled(store: Store) -> None:
    add(store)
    claim = claim_one_of(store)
    store.cancel(claim.run.id, reason="enough", now=NOW + 1)
    store.unclaim([claim.key], now=NOW + 5)
    run = store.run(claim.run.id).run
    assert (run.state, run.outcome, run.reason, run.finished_at, run.attempt) == (
        State.DONE,
        Outcome.CANCELLED,
        "enough",
        NOW + 5,
        0,
    )


def test_run_of_a_job_that_was_removed_before_it_was_given_back_is_dropped(store: Store) -> None:
    add(store)
    claim = claim_one_of(store)
    remove(store, "job")
    store.unclaim([claim.key], now=NOW + 5)
    run = store.run(claim.run.id).run
    assert (run.state, run.outcome, run.reason) == (State.DONE, Outcome.SKIPPED, "removed")


def claim_one_of(store: Store) -> Claim:
    fire(store, "job", NOW)
    return claim_one(store)


# Recording


def test_record_start_is_kept_on_run_and_attempt(store: Store) -> None:
    add(store)
    store.trigger(["job"], now=NOW)
    claim = claim_one(store)
    assert store.record([start(claim)], []) == []
    detail = store.run(claim.run.id)
    assert detail.run.started_at == NOW + SECOND
    assert (detail.attempts[0].started_at, detail.attempts[0].pid) == (NOW + SECOND, 4711)


def test_record_end_makes_the_run_done(store: Store) -> None:
    add(store)
    run = done_run(store, outcome=Outcome.FAILURE, reason="exit 1", counts=True)
    detail = store.run(run.id)
    assert detail.run == run
    assert (run.state, run.outcome, run.reason) == (State.DONE, Outcome.FAILURE, "exit 1")
    assert (run.finished_at, run.failures, run.worker) == (NOW + 3 * SECOND, 1, None)
    (attempt,) = detail.attempts
    assert (attempt.outcome, attempt.exit_code, attempt.signal) == (Outcome.FAILURE, 1, None)
    assert attempt.usage == Usage(2.0, 1.0, 0.5, 4096)


def test_record_end_without_a_start_needs_none(store: Store) -> None:
    add(store)
    store.trigger(["job"], now=NOW)
    claim = claim_one(store)
    unstarted = end(
        claim, Outcome.FAILURE, started_at=None, pid=None, exit_code=None, usage=None, reason="spawn_error"
    )
    (run,) = store.record([], [unstarted])
    (attempt,) = store.run(run.id).attempts
    assert (run.started_at, attempt.started_at, attempt.usage) == (None, None, None)


def test_record_end_with_its_start_inside_fills_it_in(store: Store) -> None:
    add(store)
    store.trigger(["job"], now=NOW)
    (run,) = store.record([], [end(claim_one(store))])
    assert run.started_at == NOW + SECOND
    assert store.run(run.id).attempts[0].pid == 4711


def test_record_retry_queues_the_same_run_again(store: Store) -> None:
    add(store)
    store.trigger(["job"], now=NOW)
    run = finish(store, claim_one(store), Outcome.FAILURE, retry_at=NOW + MINUTE, counts=True)
    assert (run.state, run.available_at, run.failures, run.attempt) == (State.QUEUED, NOW + MINUTE, 1, 1)
    assert (run.worker, run.outcome, run.finished_at) == (None, None, None)
    second = finish(store, claim_one(store, now=NOW + MINUTE), started_at=NOW + MINUTE)
    assert (second.outcome, second.attempt, second.failures) == (Outcome.SUCCESS, 2, 1)
    assert second.started_at == NOW + SECOND, "of the first attempt"
    outcomes = [attempt.outcome for attempt in store.run(run.id).attempts]
    assert outcomes == [Outcome.FAILURE, Outcome.SUCCESS]


def test_record_retry_that_does_not_count_keeps_the_retries(store: Store) -> None:
    add(store)
    store.trigger(["job"], now=NOW)
    run = finish(store, claim_one(store), Outcome.ABANDONED, retry_at=NOW, counts=False)
    assert (run.attempt, run.failures) == (1, 0)


def test_record_retry_of_a_run_that_is_to_be_stopped_ends_it(store: Store) -> None:
    add(store)
    store.trigger(["job"], now=NOW)
    claim = claim_one(store)
    store.cancel(claim.run.id, reason="by hand", now=NOW)
    run = finish(store, claim, Outcome.FAILURE, retry_at=NOW + MINUTE, counts=True)
    assert (run.state, run.outcome) == (State.DONE, Outcome.FAILURE)


def test_record_retry_of_a_removed_job_ends_the_run(store: Store) -> None:
    add(store)
    store.trigger(["job"], now=NOW)
    claim = claim_one(store)
    remove(store, "job")
    run = finish(store, claim, Outcome.FAILURE, retry_at=NOW + MINUTE, counts=True)
    assert (run.state, run.outcome) == (State.DONE, Outcome.FAILURE)


def test_record_twice_changes_nothing_the_second_time(store: Store, another: OpenStore) -> None:
    add(store)
    store.trigger(["job"], now=NOW)
    claim = claim_one(store)
    finish(store, claim)
    before = store.run(claim.run.id)
    late = end(claim, Outcome.FAILURE, retry_at=NOW, counts=True, finished_at=NOW + MINUTE)
    assert another().record([start(claim, NOW + MINUTE)], [late]) == []
    assert store.run(claim.run.id) == before


def test_row_worker_killed_and_replaced_records_nothing(store: Store, another: OpenStore) -> None:
    add(store)
    store.trigger(["job"], now=NOW)
    old = claim_one(store)
    finish(store, old, Outcome.ABANDONED, retry_at=NOW, counts=False)
    new = claim_one(store)
    before = store.run(new.run.id)
    assert another().record([start(old)], [end(old)]) == []
    assert store.run(new.run.id) == before
    assert finish(store, new).outcome is Outcome.SUCCESS


@pytest.mark.parametrize("key", [(1, 0), (1, 2), (2, 1), (99, 1)])
def test_record_with_a_wrong_key_changes_nothing(store: Store, key: tuple[int, int]) -> None:
    add(store)
    store.trigger(["job"], now=NOW)
    claim = claim_one(store)
    before = store.run(1)
    assert store.record([start(claim)._replace(key=key)], [end(claim)._replace(key=key)]) == []
    assert store.run(1) == before


def test_record_returns_the_ends_that_were_written_in_their_order(store: Store) -> None:
    add(store, max_running=3)
    store.trigger(["job"] * 3, now=NOW)
    a, b, c = claim_all(store)
    finish(store, b)
    written = store.record([], [end(c), end(b), end(a)])
    assert [run.id for run in written] == [c.run.id, a.run.id]


def test_record_of_something_impossible_writes_nothing(store: Store) -> None:
    add(store, max_running=2)
    store.trigger(["job", "job"], now=NOW)
    fine, impossible = claim_all(store)
    with pytest.raises(InvariantError):
        store.record([], [end(fine), end(impossible, Outcome.SUCCESS, exit_code=0, signal=9)])
    assert store.run(fine.run.id).run.state is State.RUNNING


def test_record_keeps_a_reason_that_is_not_utf8_readable(store: Store) -> None:
    add(store)
    run = done_run(store, outcome=Outcome.FAILURE, reason="ValueError: caf\udce9 \0 ∞")
    assert run.reason == "ValueError: caf\\udce9 \\x00 ∞"
    assert store.run(run.id).attempts[0].reason == run.reason


# Stopping


def test_stop_requests_are_those_of_running_runs(store: Store) -> None:
    add(store, max_running=3)
    store.trigger(["job"] * 3, now=NOW)
    a, b = claim_all(store, 2)
    store.cancel(a.run.id, reason="by hand", now=NOW)
    store.cancel(3, reason="queued", now=NOW)
    assert store.stop_requests() == [(a.key, "by hand")]
    finish(store, a, Outcome.CANCELLED)
    assert store.stop_requests() == []
    finish(store, b)


def test_stop_request_is_forgotten_by_the_next_attempt(store: Store) -> None:
    add(store)
    store.trigger(["job"], now=NOW)
    finish(store, claim_one(store), Outcome.FAILURE, retry_at=NOW, counts=True)
    again = claim_one(store)
    assert again.run.stop_reason is None
    assert store.stop_requests() == []


def test_held_is_every_running_run_with_its_attempt(store: Store, another: OpenStore) -> None:
    add(store, max_running=3)
    store.trigger(["job"] * 3, now=NOW)
    a, b = claim_all(store, 2)
    store.record([start(b)], [])
    held = another().held()
    assert [h.claim.key for h in held] == [a.key, b.key]
    assert [h.claim.worker for h in held] == ["w0", "w1"]
    assert [h.attempt.started_at for h in held] == [None, NOW + SECOND]
    assert held[0].claim == a
    assert held[0].attempt.boot_id == BOOT


def test_cancel_of_a_done_run_is_refused_whoever_ended_it(store: Store, another: OpenStore) -> None:
    add(store)
    run = done_run(another())
    with pytest.raises(IllegalTransition):
        store.cancel(run.id, reason="late", now=NOW)
    assert store.run(run.id).run == run


def test_backlog_of_jobs_that_may_not_start_is_passed_over_in_few_steps(place: Place) -> None:
    with contextlib.closing(open_sqlite(place, create=True, environ={})) as store:
        check_steps_of_a_claim(store)


def check_steps_of_a_claim(store: SqliteStore) -> None:
    add(store, "full", due=None, max_running=1)
    add(store, "locked", due=None, max_running=None, locks=("db",))
    add(store, "free", due=None, max_running=None)
    for name in ("full", "locked"):
        store.trigger([name], now=NOW)
    assert len(claim_all(store)) == 2
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    def steps_of_a_claim(backlog: int) -> int:
        nonlocal steps
        with store.together():
            for _ in range(backlog // 2):
                store.trigger(["full", "locked"], now=NOW)
            store.trigger(["free"], now=NOW)
        steps = 0
        store._db.set_progress_handler(count, 10)
        (claimed,) = store.claim(["w"], BOOT, now=NOW)
        store._db.set_progress_handler(None, 0)
        assert claimed.run.job == "free"
        return steps * 10

    few, many = steps_of_a_claim(100), steps_of_a_claim(2_000)
    # Two looks, each some 14 steps of the database's machine a row; none of ours.
    assert many - few < 2_000 * 40
