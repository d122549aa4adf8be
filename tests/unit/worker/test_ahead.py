"""Claims that busy workers hold ready: begun with, or taken back, and never both."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from cronq.model import Attempt, AttemptEnd, AttemptKey, Outcome, Usage
from cronq.store import open_store
from cronq.store.base import Held
from cronq.worker import kernel, liveness, pool, slot
from cronq.worker.cgroups import WorkerGroups
from cronq.worker.earlier import EarlierAttempt
from cronq.worker.liveness import AttemptLock
from cronq.worker.tickets import TicketBox, TicketReader
from tests.unit.worker.rig import Rig, claim_of, definition, function, place_at, shell


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    """A pool of one worker, which is patient, and has had a quick attempt."""
    for module in (pool, slot):
        monkeypatch.setattr(module, "QUICK_S", 1000.0)
    made = Rig(tmp_path, size=1)
    made.execute(definition("true"))
    yield made
    made.close()


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    path = tmp_path / "gate"
    os.mkfifo(path)
    return path


def held_behind(rig: Rig, gate: Path, what: str = "echo second") -> tuple[AttemptKey, AttemptKey]:
    """Begin with a command that waits at the gate, and let its worker hold another one ready."""
    first = rig.started(shell(f"echo first; read line <{gate}")).key
    return first, rig.hold(shell(what))


def test_worker_begins_with_what_it_holds_before_its_end_is_acknowledged(rig: Rig, gate: Path) -> None:
    rig.acknowledges = False
    first, second = held_behind(rig, gate, "echo second; sleep 60")
    assert rig.pool.in_hand() == [first, second]
    assert rig.pool.busy == 1
    gate.write_text("go\n")
    rig.wait_for_line(second, "second")
    rig.wait(lambda: first in rig.ends and second in rig.starts)
    hint = liveness.last_attempt(rig.place, rig.workers[second])
    assert hint is not None
    assert (hint.key, hint.before) == (second, (first,))
    # Both killed now, the next scheduler must know that the first one was started.
    assert liveness.was_started(rig.place, first, rig.workers[first])
    assert not liveness.is_attempt_alive(rig.place, first, rig.workers[first])
    assert liveness.is_attempt_alive(rig.place, second, rig.workers[second])
    rig.acknowledges = True
    rig.pool.acknowledge([first])
    rig.pool.kill(second)
    assert rig.end_of(second).outcome is Outcome.CANCELLED
    assert rig.log(first) == "first\n"
    rig.wait(rig.pool.idle)


def test_what_is_taken_back_is_never_begun_with(rig: Rig, gate: Path) -> None:
    first, second = held_behind(rig, gate)
    rig.pool.recall()
    rig.wait(lambda: rig.recalled == [second])
    assert rig.pool.in_hand() == [first]
    gate.write_text("go\n")
    rig.end_of(first)
    assert rig.execute(shell("echo third")).outcome is Outcome.SUCCESS
    assert second not in rig.starts
    assert second not in rig.ends


def test_ticket_of_a_later_claim_is_not_taken_for_one_that_was_taken_back(rig: Rig, gate: Path) -> None:
    first, second = held_behind(rig, gate)
    rig.pool.recall()
    third = rig.hold(shell("echo third"))
    gate.write_text("go\n")
    rig.end_of(first)
    assert rig.end_of(third).outcome is Outcome.SUCCESS
    assert second not in rig.ends


def test_claim_behind_an_attempt_that_is_not_quick_is_taken_back(
    rig: Rig, gate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, second = held_behind(rig, gate)
    for module in (pool, slot):
        monkeypatch.setattr(module, "QUICK_S", 0.05)
    rig.wait(lambda: rig.recalled == [second])
    assert rig.pool.ahead() == []
    gate.write_text("go\n")


def test_worker_whose_last_attempt_was_not_quick_holds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Rig(tmp_path, size=1)
    made.execute(shell("sleep 0.1"))
    for module in (pool, slot):
        monkeypatch.setattr(module, "QUICK_S", 1000.0)
    made.started(shell("sleep 60"))
    assert made.pool.ahead() == []
    made.close()


def test_what_waits_can_be_stopped(rig: Rig, gate: Path) -> None:
    first, second = held_behind(rig, gate)
    rig.pool.stop(second, "enough")
    end = rig.end_of(second)
    assert (end.outcome, end.reason, end.started_at) == (Outcome.CANCELLED, "enough", None)
    assert first not in rig.ends
    gate.write_text("go\n")
    assert rig.end_of(first).outcome is Outcome.SUCCESS


def test_what_has_just_been_begun_with_is_stopped_when_that_is_known(rig: Rig, gate: Path) -> None:
    first, second = held_behind(rig, gate, "echo second; sleep 60")
    gate.write_text("go\n")
    # Not polled: the pool does not know yet that the first one has ended.
    while not list(rig.place.logs.rglob("*.log")) or "second" not in rig.log(second):
        pass
    rig.pool.stop(second, "enough")
    end = rig.end_of(second)
    assert (end.outcome, end.reason) == (Outcome.CANCELLED, "enough")
    assert rig.end_of(first).outcome is Outcome.SUCCESS


def test_stop_of_an_attempt_that_has_ended_does_not_hit_the_next(
    rig: Rig, tmp_path: Path, gate: Path
) -> None:
    (tmp_path / "waiting.py").write_text("def wait(name):\n    open(name).read()\n")
    os.mkfifo(tmp_path / "other")
    first, second = (function("waiting:wait", f'["{name}"]', cwd=str(tmp_path)) for name in ("gate", "other"))
    first_key = rig.started(first).key
    second_key = rig.hold(second)
    gate.write_text("go\n")
    # Not polled: the pool does not know yet that the first one has ended.
    while liveness.attempt_hint(rig.place, second_key, rig.workers[second_key]) is None:
        pass
    rig.pool.stop(first_key, "enough")
    assert rig.end_of(first_key).outcome is Outcome.SUCCESS
    rig.wait(lambda: second_key in rig.starts)
    (tmp_path / "other").write_text("go\n")
    assert rig.end_of(second_key).outcome is Outcome.SUCCESS


def test_stop_of_an_attempt_takes_back_what_waits_behind_it(rig: Rig, gate: Path) -> None:
    first, second = held_behind(rig, gate)
    rig.pool.stop(first, "enough")
    assert rig.end_of(first).reason == "enough"
    assert rig.recalled == [second]


def test_claim_that_is_too_long_for_a_pipe_that_nobody_reads_is_not_held(
    rig: Rig, tmp_path: Path, gate: Path
) -> None:
    (tmp_path / "waiting.py").write_text("def wait():\n    open('gate').read()\n")
    first = rig.started(function("waiting:wait", cwd=str(tmp_path))).key
    second = rig.hold(definition("true", env=(("LONG", "x" * 1_000_000),)))
    rig.wait(lambda: rig.recalled == [second])
    assert rig.pool.ahead() == []
    assert first not in rig.ends
    gate.write_text("go\n")
    assert rig.end_of(first).outcome is Outcome.SUCCESS


def test_killed_worker_gives_back_what_it_held(rig: Rig, gate: Path) -> None:
    first, second = held_behind(rig, gate)
    os.kill(rig.worker_pid(), signal.SIGKILL)
    rig.wait(lambda: rig.recalled == [second])
    assert rig.pool.in_hand() == [first]
    gate.write_text("go\n")
    assert rig.end_of(first).outcome is Outcome.SUCCESS


def test_worker_that_leaves_gives_back_what_it_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (pool, slot):
        monkeypatch.setattr(module, "QUICK_S", 1000.0)
    made = Rig(tmp_path, size=1, most_attempts=2)
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    made.execute(definition("true"))
    first, second = held_behind(made, gate)
    gate.write_text("go\n")
    made.end_of(first)
    made.wait(lambda: made.recalled == [second])
    made.wait(lambda: not made.pool.in_hand())
    assert second not in made.starts
    made.close()


def test_callables_follow_each_other(rig: Rig, tmp_path: Path, gate: Path) -> None:
    (tmp_path / "waiting.py").write_text("def wait():\n    open('gate').read()\n")
    first = rig.started(function("waiting:wait", cwd=str(tmp_path))).key
    second = rig.hold(function("os:getpid"))
    gate.write_text("go\n")
    assert rig.end_of(first).outcome is Outcome.SUCCESS
    assert rig.end_of(second).outcome is Outcome.SUCCESS
    assert rig.starts[second].pid == rig.starts[first].pid


def test_pool_that_is_closed_leaves_nothing_to_begin_with(rig: Rig, gate: Path) -> None:
    open_store(rig.place, create=True).close()  # where the worker would write the end of the first one
    _, second = held_behind(rig, gate)
    rig.pool.close()
    gate.write_text("go\n")
    while liveness.is_worker_alive(rig.place, rig.workers[second]):
        pass
    assert not liveness.was_started(rig.place, second, rig.workers[second])
    rig.pool = pool.Pool(rig.clock, rig.place, size=1, boot_id=kernel.boot_id())
    rig.pool.start()


def test_ticket_is_had_by_one_alone() -> None:
    box = TicketBox()
    reader = TicketReader(box.reader)
    assert not box.take_back()
    first = box.offer()
    assert box.take_back()
    assert not box.take_back()
    second = box.offer()
    assert not reader.take(first)
    assert not box.take_back()
    assert reader.take(second)
    assert not reader.take(second)
    for _ in range(600):  # numbers come again
        assert reader.take(box.offer())
    box.close()


def test_ticket_lies_until_somebody_has_it() -> None:
    box = TicketBox()
    reader = TicketReader(box.reader)
    assert not box.is_lying()
    ticket = box.offer()
    assert box.is_lying()
    assert reader.take(ticket)
    assert not box.is_lying()
    box.offer()
    assert box.take_back()
    assert not box.is_lying()
    box.close()


def test_nothing_is_held_behind_what_a_worker_has_not_begun_with_yet(rig: Rig, gate: Path) -> None:
    first, second = held_behind(rig, gate, f"read line <{gate}; read line <{gate}")
    (only,) = rig.pool._slots.values()
    # The end of the first one is told at once, and the worker is as slow as can be.
    usage = Usage(0.001, 0.0, 0.0, 0)
    end = AttemptEnd(first, Outcome.SUCCESS, rig.clock.now(), exit_code=0, usage=usage)
    only.note_end(end, rig.clock.monotonic())
    assert only.key == second
    assert rig.pool.ahead() == []
    gate.write_text("go\n")
    while only._tickets.is_lying():
        pass
    assert rig.pool.ahead() == [only.name]


class TestAttemptWhoseWorkerHasBegunWithAnother:
    """An earlier scheduler died before the end of the first one was in the store."""

    @pytest.fixture
    def attempt(self, rig: Rig, tmp_path: Path) -> EarlierAttempt:
        place = place_at(tmp_path)
        lock = AttemptLock(place, "earlier", kernel.boot_id())
        os.close(lock.take((7, 1)))
        lock.before = ((7, 1),)
        os.close(lock.take((8, 1)))
        claim = claim_of(shell("true", timeout_s=0.001), 7, "earlier")
        row = Attempt(7, 1, "earlier", kernel.boot_id(), claim.claimed_at)
        return EarlierAttempt(Held(claim, row), place, rig.clock, WorkerGroups(place, None))

    def test_was_started_and_is_not_begun_with_again(self, attempt: EarlierAttempt) -> None:
        assert not attempt.is_worth_watching()
        end = attempt.step()
        assert end is not None
        assert (end.outcome, end.reason) == (Outcome.ABANDONED, "exit status unknown")

    def test_its_worker_is_let_alone(self, attempt: EarlierAttempt, monkeypatch: pytest.MonkeyPatch) -> None:
        signalled: list[int] = []
        monkeypatch.setattr(kernel, "send_signal", lambda *what: signalled.append(what[1]))
        monkeypatch.setattr(liveness, "is_worker_alive", lambda *_: True)
        attempt.stop("enough", at_once=True)
        assert attempt.step() is None
        assert signalled == []


class TestClaimThatWasHeldWhenTheSchedulerDied:
    """Its worker executes another one, which goes on."""

    @pytest.fixture
    def attempt(self, rig: Rig, tmp_path: Path) -> Iterator[EarlierAttempt]:
        place = place_at(tmp_path)
        worker_fd = liveness.take_lock(liveness.worker_file(place, "earlier"))
        fd = AttemptLock(place, "earlier", kernel.boot_id()).take((8, 1))
        claim = claim_of(shell("true", timeout_s=0.001), 9, "earlier")
        row = Attempt(9, 1, "earlier", kernel.boot_id(), claim.claimed_at)
        yield EarlierAttempt(Held(claim, row), place, rig.clock, WorkerGroups(place, None))
        os.close(fd)
        os.close(worker_fd)

    def test_worker_is_neither_stopped_nor_killed_for_it(
        self, attempt: EarlierAttempt, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        signalled: list[int] = []
        monkeypatch.setattr(kernel, "send_signal", lambda *what: signalled.append(what[1]))
        assert attempt.is_worth_watching()
        attempt.stop("enough", at_once=True)
        later = attempt._clock.monotonic() + 1_000
        monkeypatch.setattr(type(attempt._clock), "monotonic", lambda _: later)
        assert attempt.step() is None
        assert attempt.step() is None
        assert signalled == []

    @pytest.mark.parametrize("reason", [None, "enough"])
    def test_once_the_worker_is_gone_it_was_never_started(
        self, attempt: EarlierAttempt, monkeypatch: pytest.MonkeyPatch, reason: str | None
    ) -> None:
        monkeypatch.setattr(liveness, "is_worker_alive", lambda *_: False)
        if reason is not None:
            attempt.stop(reason, at_once=False)
        end = attempt.step()
        assert end is not None
        told = "worker killed before the start" if reason is None else reason
        assert (end.reason, end.started_at) == (told, None)
        assert (end.retry_at is None) is (reason is not None)
