"""The kill ladder, without a process in sight."""

from __future__ import annotations

from cronq.model import Outcome
from cronq.worker.guard import WorkerGuard
from cronq.worker.supervision import (
    GIVE_UP_S,
    KILL_AGAIN_S,
    LEFTOVER_GRACE_S,
    Order,
    Phase,
    Supervision,
    Verdict,
)
from tests.unit.worker.rig import function


def ladder(timeout_s: float | None = None, kill_after_s: float = 10.0) -> Supervision:
    return Supervision(100.0, timeout_s=timeout_s, kill_after_s=kill_after_s)


def test_nothing_happens_while_it_runs() -> None:
    watch = ladder()
    assert watch.deadline() is None
    assert watch.step(10**9) is None
    assert not watch.is_over


def test_command_that_ends_by_itself_needs_no_signal() -> None:
    watch = ladder(timeout_s=5)
    watch.exited(101, leftovers=False)
    assert watch.is_over
    assert watch.verdict is None
    assert watch.step(200) is None


def test_timeout_is_term_then_kill() -> None:
    watch = ladder(timeout_s=5, kill_after_s=2)
    assert watch.deadline() == 105
    assert watch.step(104.9) is None
    assert watch.step(105) is Order.TERM_GROUP
    assert watch.verdict == Verdict(Outcome.TIMEOUT, "timeout 5s")
    assert watch.deadline() == 107
    assert watch.step(106) is None
    assert watch.step(107) is Order.KILL_ALL
    watch.exited(107.01, leftovers=False)
    assert watch.is_over
    assert not watch.gave_up


def test_stop_is_due_at_once_and_only_the_first_counts() -> None:
    watch = ladder(kill_after_s=2)
    watch.stop("one", 101)
    watch.stop("two", 102)
    assert watch.deadline() == float("-inf")
    assert watch.step(101) is Order.TERM_GROUP
    assert watch.deadline() == 103
    assert watch.verdict == Verdict(Outcome.CANCELLED, "one")


def test_kill_skips_the_grace_and_keeps_the_verdict() -> None:
    watch = ladder(timeout_s=1)
    watch.step(101)
    watch.kill("killed", 102)
    assert watch.step(102) is Order.KILL_ALL
    assert watch.verdict == Verdict(Outcome.TIMEOUT, "timeout 1s")


def test_stop_after_kill_changes_nothing() -> None:
    watch = ladder()
    watch.kill("killed", 101)
    watch.stop("late", 101)
    assert watch.step(101) is Order.KILL_ALL
    assert watch.verdict == Verdict(Outcome.CANCELLED, "killed")


def test_leftovers_of_a_normal_end_are_ended_without_a_verdict() -> None:
    watch = ladder()
    watch.exited(101, leftovers=True)
    assert watch.step(101) is Order.TERM_REST
    watch.exited(101.1, leftovers=True)
    assert watch.step(101.1) is None
    assert watch.step(101 + LEFTOVER_GRACE_S) is Order.KILL_ALL
    watch.exited(103, leftovers=False)
    assert watch.is_over
    assert watch.verdict is None


def test_leftovers_of_a_stopped_command_keep_the_grace_it_had() -> None:
    watch = ladder(kill_after_s=8)
    watch.stop("enough", 101)
    assert watch.step(101) is Order.TERM_GROUP
    watch.exited(102, leftovers=True)
    assert watch.step(102) is Order.TERM_REST
    watch.exited(103, leftovers=True)
    assert watch.step(103) is None
    assert watch.step(109) is Order.KILL_ALL


def test_kill_is_repeated_and_then_given_up() -> None:
    watch = ladder()
    watch.kill("killed", 100)
    assert watch.step(100) is Order.KILL_ALL
    assert watch.step(100 + KILL_AGAIN_S) is Order.KILL_ALL
    assert watch.step(100 + GIVE_UP_S) is None
    assert (watch.phase, watch.gave_up) == (Phase.OVER, True)
    assert watch.deadline() is None


def test_guard_of_a_callable_without_limit_never_fires() -> None:
    guard = WorkerGuard(0, function("a:b"))
    assert guard.deadline() is None
    assert not guard.is_over(10**9)
    assert guard.verdict() is None


def test_guard_leaves_the_worker_time_to_stop_its_callable() -> None:
    guard = WorkerGuard(100, function("a:b", timeout_s=10, kill_after_s=2))
    assert guard.deadline() == 112.5
    assert not guard.is_over(112.4)
    assert guard.verdict() is None
    assert guard.is_over(112.5)
    assert not guard.is_over(113)
    assert guard.verdict() == Verdict(Outcome.TIMEOUT, "timeout 10s")


def test_stop_of_a_guard_is_never_later_than_its_time_limit() -> None:
    guard = WorkerGuard(100, function("a:b", timeout_s=10, kill_after_s=2))
    guard.stop("enough", 112)
    assert guard.deadline() == 112.5
    guard.stop("at once", 111.5, at_once=True)
    assert not guard.is_over(111.9)
    assert guard.is_over(112)
    assert guard.verdict() == Verdict(Outcome.CANCELLED, "enough")
