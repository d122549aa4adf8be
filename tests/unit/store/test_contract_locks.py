"""Named locks in the store: taken with the claim, given back with the end, shared with processes outside."""

from __future__ import annotations

import pytest

from cronq.errors import ConflictError, NotFoundError
from cronq.model import SECOND, AttemptEnd, AttemptKey, Claim, Outcome
from cronq.named_locks import LockWish
from cronq.plan import Launch
from cronq.store import JobChange, NewJob, Store
from tests.unit.store.builders import BOOT, NOW, definition


def add(store: Store, name: str, *wishes: LockWish, **fields: object) -> None:
    locks = tuple(sorted(wish.name for wish in wishes))
    new = NewJob(name, definition(locks=locks, **fields), None, locks=wishes)
    store.add_job(new, now=NOW)


def trigger(store: Store, *names: str) -> None:
    """Queue runs, each a microsecond after the one before."""
    for name in names:
        trigger.at += 1  # type: ignore[attr-defined]
        store.trigger([name], now=NOW + trigger.at)  # type: ignore[attr-defined]


trigger.at = 0  # type: ignore[attr-defined]


def claim(store: Store, workers: int = 9) -> list[Claim]:
    return store.claim([f"w{n}" for n in range(workers)], BOOT, now=NOW + SECOND)


def end(store: Store, one: Claim, *, retry: bool = False) -> None:
    at = NOW + 2 * SECOND
    outcome = Outcome.FAILURE if retry else Outcome.SUCCESS
    store.record([], [AttemptEnd(one.key, outcome, at, started_at=at, retry_at=at if retry else None)])


def holders(store: Store, name: str) -> list[str]:
    (state,) = [state for state in store.lock_states(NOW + SECOND) if state.name == name]
    return [user.label for user in state.holders]


def waiting(store: Store, name: str) -> list[str]:
    (state,) = [state for state in store.lock_states(NOW + SECOND) if state.name == name]
    return [user.label for user in state.waiting]


def take(
    store: Store, holder: str, *, ignored: set[AttemptKey] | None = None, runs_come_first: bool = True
) -> bool:
    return store.take_locks(
        holder, ignored=ignored or set(), runs_come_first=runs_come_first, now=NOW + SECOND
    )


def test_jobs_that_share_a_lock_run_one_after_the_other_in_the_order_of_the_queue(store: Store) -> None:
    for name in ("a", "b", "free"):
        add(store, name, *([] if name == "free" else [LockWish("db", 1)]))
    trigger(store, "b", "a", "free")
    first = claim(store)
    assert [one.run.job for one in first] == ["b", "free"]
    assert (holders(store, "db"), waiting(store, "db")) == (["b"], ["a"])
    assert claim(store) == []
    end(store, first[0])
    assert [one.run.job for one in claim(store)] == ["a"]


def test_counted_lock_has_as_many_holders(store: Store) -> None:
    for name in "abc":
        add(store, name, LockWish("gpu", 2))
    trigger(store, "a", "b", "c")
    assert [one.run.job for one in claim(store)] == ["a", "b"]


def test_run_that_waits_for_one_lock_is_not_overtaken_in_the_line_of_the_other(store: Store) -> None:
    add(store, "holder", LockWish("db", 1))
    add(store, "both", LockWish("db"), LockWish("gpu", 1))
    add(store, "gpu-only", LockWish("gpu"))
    trigger(store, "holder", "both", "gpu-only")
    (held,) = claim(store)
    assert held.run.job == "holder"
    end(store, held)
    (held,) = claim(store)
    assert held.run.job == "both"
    end(store, held)
    assert [one.run.job for one in claim(store)] == ["gpu-only"]


def test_priority_comes_first_in_line(store: Store) -> None:
    add(store, "low", LockWish("db", 1))
    add(store, "high", LockWish("db"), priority=5)
    trigger(store, "low", "high")
    assert [one.run.job for one in claim(store)] == ["high"]


def test_retry_gives_the_lock_back_meanwhile(store: Store) -> None:
    add(store, "a", LockWish("db", 1), retries=1)
    trigger(store, "a")
    (one,) = claim(store)
    end(store, one, retry=True)
    assert holders(store, "db") == []


def test_paused_job_does_not_keep_others_waiting(store: Store) -> None:
    add(store, "a", LockWish("db", 1))
    add(store, "b", LockWish("db"))
    job = store.job("a")
    launch = Launch(job, (), None)
    store.change_jobs([JobChange(launch, paused_at=NOW)], now=NOW)
    trigger(store, "b")
    assert [one.run.job for one in claim(store)] == ["b"]


def test_number_of_holders_is_one_for_all_jobs(store: Store) -> None:
    add(store, "a", LockWish("gpu", 2))
    with pytest.raises(ConflictError) as caught:
        add(store, "b", LockWish("gpu", 3))
    assert "2 holders for a" in caught.value.message
    assert "cronq lock gpu --holders 3" in caught.value.hint
    with pytest.raises(NotFoundError):
        store.job("b")
    add(store, "c", LockWish("gpu"))
    assert store.lock_states(NOW)[0].capacity == 2


def test_only_job_with_a_lock_may_change_its_number(store: Store) -> None:
    add(store, "a", LockWish("gpu", 2))
    job = store.job("a")
    change = JobChange(Launch(job, (), None), job.definition, locks=(LockWish("gpu", 5),))
    assert store.change_jobs([change], now=NOW) is not None
    assert store.lock_states(NOW)[0].capacity == 5


def test_process_outside_and_runs_stand_in_one_line(store: Store) -> None:
    add(store, "a", LockWish("db", 1))
    store.ask_locks(["db"], "p1", "pg_dump", now=NOW)
    assert take(store, "p1")
    trigger(store, "a")
    assert claim(store) == []
    store.ask_locks(["db"], "p2", "psql", now=NOW + SECOND)
    assert waiting(store, "db") == ["a", "psql"]
    store.release_locks("p1")
    assert not take(store, "p2"), "the run was there first"
    (one,) = claim(store)
    assert not take(store, "p2")
    end(store, one)
    assert take(store, "p2")
    assert holders(store, "db") == ["psql"]


def test_run_waits_for_a_process_outside_that_was_there_first(store: Store) -> None:
    add(store, "a", LockWish("db", 1))
    store.ask_locks(["db"], "p1", "x", now=NOW - SECOND)
    trigger(store, "a")
    assert claim(store) == []
    assert take(store, "p1")
    store.release_locks("p1")
    assert len(claim(store)) == 1


def test_without_a_scheduler_queued_runs_and_dead_ones_keep_nobody_waiting(store: Store) -> None:
    add(store, "a", LockWish("db", 1), max_running=None)
    trigger(store, "a", "a")
    (one,) = claim(store)
    store.ask_locks(["db"], "p1", "x", now=NOW + SECOND)
    assert not take(store, "p1", runs_come_first=False)
    assert not take(store, "p1", ignored={one.key}, runs_come_first=True)
    assert take(store, "p1", ignored={one.key}, runs_come_first=False)


def test_dead_attempt_whose_run_has_another_one_since_is_not_ignored(store: Store) -> None:
    add(store, "a", LockWish("db", 1), retries=1)
    trigger(store, "a")
    (first,) = claim(store)
    store.ask_locks(["db"], "p1", "x", now=NOW + SECOND)
    store.record([], [AttemptEnd(first.key, Outcome.ABANDONED, NOW + SECOND, retry_at=NOW)])
    (second,) = claim(store)
    assert second.key == (first.run.id, 2)
    assert not take(store, "p1", ignored={first.key}, runs_come_first=False)


def test_queued_run_that_has_no_slot_keeps_nobody_outside_waiting(store: Store) -> None:
    add(store, "outer")
    add(store, "inner", LockWish("db", 1))
    trigger(store, "outer", "inner")
    store.scheduler_started(slots=2, pid=1, boot_id=BOOT, version="1", now=NOW)
    (outer,) = claim(store, workers=1)
    assert outer.run.job == "outer"
    store.ask_locks(["db"], "p1", "x", now=NOW + SECOND)
    assert not take(store, "p1"), "the run could start"
    store.scheduler_started(slots=1, pid=1, boot_id=BOOT, version="1", now=NOW)
    assert take(store, "p1"), "else each would wait for the other: the command may be that of the outer run"


def test_command_inside_a_lock_can_take_another_for_which_a_run_waits_with_both(store: Store) -> None:
    add(store, "both", LockWish("db", 1), LockWish("gpu", 1))
    store.ask_locks(["db"], "outer", "x", now=NOW)
    assert take(store, "outer")
    trigger(store, "both")
    assert claim(store) == []
    store.ask_locks(["gpu"], "inner", "y", now=NOW + SECOND)
    assert take(store, "inner"), "else each would wait for the other for ever"


def test_one_who_loses_its_place_stands_last_in_every_line(store: Store) -> None:
    add(store, "a", LockWish("db", 1), LockWish("gpu", 1))
    for holder in ("p1", "p2"):
        store.ask_locks(["db", "gpu"], holder, holder, now=NOW - SECOND)
    trigger(store, "a")
    store.lose_place("p1", now=NOW + SECOND)
    assert store.outside_holders() == ["p2", "p1"]
    assert (waiting(store, "db"), waiting(store, "gpu")) == (["p2", "a", "p1"], ["p2", "a", "p1"])
    assert not take(store, "p1")
    assert take(store, "p2")
    store.lose_place("p2", now=NOW + 2 * SECOND)
    assert holders(store, "db") == ["p2"], "one that holds it has no place to lose"
    store.release_locks("p2")
    assert len(claim(store)) == 1


def test_several_locks_are_taken_together_or_not_at_all(store: Store) -> None:
    store.set_lock("db", 1, now=NOW)
    store.set_lock("gpu", 1, now=NOW)
    store.ask_locks(["gpu"], "p1", "x", now=NOW)
    assert take(store, "p1")
    store.ask_locks(["db", "gpu"], "p2", "y", now=NOW + 1)
    assert not take(store, "p2")
    assert holders(store, "db") == []
    store.release_locks("p1")
    assert take(store, "p2")
    assert (holders(store, "db"), holders(store, "gpu")) == (["y"], ["y"])


def test_unknown_lock_is_refused_with_a_suggestion(store: Store) -> None:
    store.set_lock("database", 1, now=NOW)
    with pytest.raises(NotFoundError) as caught:
        store.ask_locks(["databse"], "p1", "x", now=NOW)
    assert caught.value.hint == "did you mean `database`?"
    assert store.lock_states(NOW)[0].waiting == ()


def test_lock_in_use_is_not_forgotten(store: Store) -> None:
    add(store, "a", LockWish("db", 1))
    with pytest.raises(ConflictError, match="named by a"):
        store.remove_lock("db")
    store.set_lock("free", 1, now=NOW)
    store.ask_locks(["free"], "p1", "x", now=NOW)
    with pytest.raises(ConflictError, match="in use"):
        store.remove_lock("free")
    store.release_locks("p1")
    store.remove_lock("free")
    with pytest.raises(NotFoundError):
        store.remove_lock("free")


def test_scheduler_looks_after_processes_outside_only_while_a_run_is_queued(store: Store) -> None:
    add(store, "a", LockWish("db", 1))
    store.ask_locks(["db"], "p1", "x", now=NOW)
    assert store.outside_holders() == ["p1"]
    assert store.outside_holders(if_queued=True) == []
    trigger(store, "a")
    assert store.outside_holders(if_queued=True) == ["p1"]
