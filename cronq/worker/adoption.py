"""Attempts without a worker of ours: inherited from a killed worker, or begun by an earlier scheduler.

Each is watched by an object that is stepped whenever something may have changed, and that at last returns how
the attempt ended. What can be known of the end:

=====================================  ==============================================================
the worker was killed (ours)           all of it: the scheduler is the sub-reaper and waits for the command
scheduler died, worker lives           all of it: the worker records it itself
both died, the command lives           when it ends, not how: `abandoned`, reason `exit status unknown`
=====================================  ==============================================================
"""

from __future__ import annotations

import os
import signal
from typing import Protocol

from cronq.clock import Clock
from cronq.model import SECOND, AttemptEnd, AttemptKey, Claim, CommandKind, Micros, Outcome
from cronq.store.base import Held
from cronq.store.location import Place
from cronq.worker import endings, kernel, liveness
from cronq.worker.cgroups import WorkerGroups
from cronq.worker.endings import Begun, Exit
from cronq.worker.guard import WorkerGuard
from cronq.worker.left_ends import end_file, read_left_end
from cronq.worker.oom import KillCounter
from cronq.worker.output import output_of, settled
from cronq.worker.process import STORE_BOUND_S
from cronq.worker.supervision import Supervision
from cronq.worker.tree import ProcessTree

LOOK_AGAIN_S = 1.0
"""How often to look at what gives no sign of its own."""
_SEARCH_AGAIN_S = 0.02
_RECORD_BOUND_S = STORE_BOUND_S + 10.0
"""How long a worker may live that has not begun with its attempt, or has ended it and writes the end."""


class Adoption(Protocol):
    """An attempt that is watched without a worker."""

    @property
    def key(self) -> AttemptKey:
        """The attempt."""

    @property
    def worker(self) -> str:
        """The worker that began with it."""

    @property
    def pid(self) -> int:
        """The child of this process that it waits for; 0 if there is none."""

    def fds(self) -> list[int]:
        """Return descriptors that become readable when `step` has something to do."""

    def deadline(self) -> float | None:
        """Return when to step it because of time, monotonic."""

    def step(self) -> AttemptEnd | None:
        """Do what is due; return the end when it is over."""

    def stop(self, reason: str, *, at_once: bool) -> None:
        """Begin the ladder, or go to its last step."""

    def drop(self, fd: int) -> None:
        """Close one of `fds`, which was readable and has told what it can; `step` follows."""

    def close(self) -> None:
        """Let go of it."""


class InheritedCommand:
    """A command whose worker was killed, and whose parent is now this process."""

    def __init__(
        self, claim: Claim, begun: Begun | None, place: Place, clock: Clock, oom: KillCounter
    ) -> None:
        self._claim = claim
        self._begun = begun
        self._place = place
        self._clock = clock
        self._oom = oom
        started = clock.monotonic() if begun is None else begun.monotonic
        definition = claim.definition
        self._watch = Supervision(
            started, timeout_s=definition.timeout_s, kill_after_s=definition.kill_after_s
        )
        self._tree: ProcessTree | None = None
        self._rest: ProcessTree | None = None
        self._pid = 0
        self._pidfd: int | None = None
        self._exit: Exit | None = None
        self._look_at = 0.0
        self._search_until = clock.monotonic() + LOOK_AGAIN_S
        self._output = output_of(claim, place, clock.monotonic())

    @property
    def key(self) -> AttemptKey:
        """The attempt."""
        return self._claim.key

    @property
    def worker(self) -> str:
        """The worker that was killed."""
        return self._claim.worker

    @property
    def pid(self) -> int:
        """The command; 0 while it has not been found."""
        return self._pid

    def fds(self) -> list[int]:
        """Return the descriptor that tells the command's end."""
        return [] if self._pidfd is None else [self._pidfd]

    def deadline(self) -> float | None:
        """Return when to step it because of time."""
        # The leftovers of the command are not watched one by one.
        is_watched = self._tree is not None and self._pidfd is not None and self._exit is None
        times = (self._watch.deadline(), self._output.look_at, None if is_watched else self._look_at)
        return min((at for at in times if at is not None), default=None)

    def step(self) -> AttemptEnd | None:
        """Find the command, wait for it, carry on its ladder; return its end when nothing of it is left."""
        now = self._clock.monotonic()
        self._look_at = now + _SEARCH_AGAIN_S
        self._output.look(now)
        end = self._step(now)
        return None if end is None else settled(end, self._output)

    def _step(self, now: float) -> AttemptEnd | None:
        if self._tree is None and not self._find():
            return self._step_unseen(now)
        self._wait()
        if self._tree is None:
            return self._step_unseen(now)
        if self._exit is not None:
            self._tree.is_led = False
            self._watch.exited(now, leftovers=self._tree.has_members())
        while (order := self._watch.step(now)) is not None:
            self._tree.carry_out(order)
        if not self._watch.is_over:
            return None
        survivors = self._tree.names() if self._watch.gave_up else ()
        begun = self._known_start()
        exit_ = self._exit or Exit(self._clock.now())
        verdict = self._watch.verdict
        if verdict is None:
            codes = self._claim.definition.success_codes
            verdict = endings.verdict_of_oom(exit_, codes, self._oom.has_risen)
        return endings.end_of_process(self._claim, begun, exit_, verdict=verdict, survivors=survivors)

    def stop(self, reason: str, *, at_once: bool) -> None:
        """Begin the ladder, or go to its last step."""
        (self._watch.kill if at_once else self._watch.stop)(reason, self._clock.monotonic())

    def drop(self, fd: int) -> None:
        """Take note that the command has ended."""
        os.close(fd)
        self._pidfd = None
        self._look_at = 0.0

    def close(self) -> None:
        """Let go of it."""
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None

    def _find(self) -> bool:
        hint = liveness.attempt_hint(self._place, self.key)
        # The one that is named comes first: the kernel's list of children may leave some out while others
        # come and go. Source: proc_tid_children(5), "reliable only if all are stopped or frozen".
        named = [] if hint is None else [hint.pid]
        for pid in (*named, *kernel.children_of(os.getpid())):
            info = kernel.process_info(pid)
            if info is None or info.parent != os.getpid():
                continue
            hinted = hint is not None and (pid, info.start_ticks) == (hint.pid, hint.start_ticks)
            # A zombie has no environment any more, so that one is known by the hint alone.
            if hinted or (info.session == pid and liveness.is_of_attempt(self._place, self.key, pid)):
                self._take(pid)
                if self._begun is None and hint is not None:
                    self._begun = _begun_from_hint(hint, self._clock)
                return True
        return False

    def _take(self, pid: int) -> None:
        self._pid = pid
        self._pidfd = kernel.open_pidfd(pid)
        self._tree = ProcessTree(pid, self._members)

    def _members(self) -> list[int]:
        leader = self._leader()
        found: list[int] = []
        for child in kernel.children_of(os.getpid()):
            info = kernel.process_info(child)
            if child == leader or (
                info is not None
                and (info.session == leader or liveness.is_of_attempt(self._place, self.key, child))
            ):
                found += [child, *kernel.descendants_of(child)]
        return found

    def _wait(self) -> None:
        if self._exit is not None:
            return
        try:
            pid, status, rusage = os.wait4(self._pid, os.WNOHANG)
        except ChildProcessError:
            # Somebody else waited for it.
            self._tree = None
            return
        if pid:
            self._exit = endings.exit_from_status(
                status,
                rusage,
                self._known_start(),
                at=self._clock.now(),
                monotonic=self._clock.monotonic(),
            )

    def _known_start(self) -> Begun:
        return self._begun or Begun(self._claim.claimed_at, self._clock.monotonic(), self._pid)

    def _leader(self) -> int:
        """Return the command, found or not; -1 if nobody knows it."""
        return self._pid or (-1 if self._begun is None else self._begun.pid)

    def _step_unseen(self, now: float) -> AttemptEnd | None:
        """Carry on the ladder of a command that is not to be found; return its end when nothing of it lives.

        It is between fork and exec; or it has ended and left something; or the kernel gives us no orphans.
        """
        if now >= self._search_until:
            self._look_at = now + LOOK_AGAIN_S
        if liveness.is_attempt_alive(self._place, self.key):
            hint = liveness.attempt_hint(self._place, self.key)
            if self._begun is None and hint is not None:
                self._begun = _begun_from_hint(hint, self._clock)
            if self._rest is None and self._begun is not None:
                self._rest = ProcessTree(self._begun.pid, self._members)
            if self._rest is not None:
                _carry_on_ladder(self._watch, self._rest, hint, now)
            if not self._watch.gave_up:
                return None
        at = self._clock.now()
        if self._watch.verdict is None or self._begun is None:
            return endings.end_unseen(self._claim, "worker killed", now=at, begun=self._begun)
        survivors = self._rest.names() if self._rest is not None and self._watch.gave_up else ()
        return endings.end_of_process(
            self._claim, self._begun, Exit(at), verdict=self._watch.verdict, survivors=survivors
        )


class EarlierAttempt:
    """An attempt that an earlier scheduler began: its worker, or its command alone, may live."""

    def __init__(self, held: Held, place: Place, clock: Clock, groups: WorkerGroups) -> None:
        self._claim = held.claim
        self._attempt = held.attempt
        self._groups = groups
        self._place = place
        self._clock = clock
        definition = held.claim.definition
        self._is_callable = definition.command.kind is CommandKind.PYTHON
        self._worker = liveness.worker_hint(place, held.attempt.worker)
        hint = liveness.attempt_hint(place, self.key)
        self._command = hint
        started = self._started() if hint is None else hint.monotonic
        # A worker that lives watches over the time limit itself, and is killed if it does not; the ladder
        # here is for a command alone.
        self._guard = WorkerGuard(started, definition)
        self._is_condemned = False
        self._asked: tuple[str, bool] | None = None
        self._record_by: float | None = None
        self._watch = Supervision(
            started, timeout_s=definition.timeout_s, kill_after_s=definition.kill_after_s
        )
        self._pidfds = [
            fd
            for fd in (_pidfd_of(self._worker), None if self._is_callable else _pidfd_of(hint))
            if fd is not None
        ]
        self._tree = ProcessTree(0 if hint is None else hint.pid, self._members)
        self._sent: set[int] = set()
        self._look_at = 0.0
        self._output = output_of(self._claim, place, clock.monotonic())

    @property
    def key(self) -> AttemptKey:
        """The attempt."""
        return self._claim.key

    @property
    def worker(self) -> str:
        """The worker of the earlier scheduler."""
        return self._attempt.worker

    @property
    def pid(self) -> int:
        """None of its processes is our child."""
        return 0

    def is_worth_watching(self) -> bool:
        """Return whether it lives, or left a word about its end, or was never started."""
        return (
            self._has_worker()
            or self._has_command()
            or liveness.is_there(end_file(self._place, self.key))
            or self._was_never_started()
        )

    def fds(self) -> list[int]:
        """Return the descriptors that tell the end of worker and command."""
        return list(self._pidfds)

    def deadline(self) -> float | None:
        """Return when to step it because of time."""
        has_worker = self._has_worker()
        ladder = None if has_worker else self._watch.deadline()
        # A callable keeps its worker from looking after its output.
        look_at = self._output.look_at if self._is_callable or not has_worker else None
        return min((at for at in (self._look_at, ladder, look_at) if at is not None), default=None)

    def step(self) -> AttemptEnd | None:
        """Look who lives; return the end when neither does."""
        now = self._clock.monotonic()
        self._look_at = now + LOOK_AGAIN_S
        if self._has_worker():
            if self._is_callable:
                self._output.look(now)
            if self._is_worker_over(now):
                self._signal_worker(signal.SIGKILL)
            elif self._is_callable and self._sent:
                self._signal_worker(signal.SIGTERM)  # see `Slot.nudge`
            return None
        if self._asked is not None:
            reason, at_once = self._asked
            (self._watch.kill if at_once else self._watch.stop)(reason, now)
        try:
            left = read_left_end(end_file(self._place, self.key))
        except OSError:
            return None
        if left is not None:
            self._output.finish_after(left)
            return left
        self._output.look(now)
        if self._has_command():
            self._command = self._command or liveness.attempt_hint(self._place, self.key)
            if _carry_on_ladder(self._watch, self._tree, self._command, now):
                self._look_at = now + _SEARCH_AGAIN_S
            if not self._watch.gave_up:
                return None
        return settled(self._unknown_end(), self._output)

    def stop(self, reason: str, *, at_once: bool) -> None:
        """Ask the worker, or begin the ladder here."""
        self._guard.stop(reason, self._clock.monotonic(), at_once=at_once)
        if self._asked is None or (at_once and not self._asked[1]):
            # The ladder begins only when the worker is gone, so that the command has its grace.
            self._asked = (reason, at_once)
        number = signal.SIGQUIT if at_once else signal.SIGTERM
        if number not in self._sent and self._has_worker():
            self._sent.add(number)
            self._signal_worker(number)

    def drop(self, fd: int) -> None:
        """Take note that the worker or the command has ended."""
        os.close(fd)
        self._pidfds.remove(fd)
        self._look_at = 0.0

    def close(self) -> None:
        """Let go of it."""
        while self._pidfds:
            os.close(self._pidfds.pop())

    def _was_never_started(self) -> bool:
        # Of another boot nobody knows: a lock file that was made need not have reached the disk.
        return (
            self._attempt.boot_id == kernel.boot_id()
            and self._attempt.started_at is None
            and not liveness.was_started(self._place, self.key)
        )

    def _started(self) -> float:
        """Return when it was started, monotonic, as far as its row says."""
        at = self._attempt.started_at
        age_us = 0 if at is None else max(0, self._clock.now() - at)
        return self._clock.monotonic() - age_us / SECOND

    def _is_worker_over(self, now: float) -> bool:
        """Return whether its worker hangs: it should long have stopped the attempt, or recorded its end."""
        if self._is_alive():
            self._record_by = None
            over = self._guard.is_over(now)
        else:
            self._record_by = self._record_by or now + _RECORD_BOUND_S
            over = now >= self._record_by
        self._is_condemned = self._is_condemned or over
        return self._is_condemned

    def _is_alive(self) -> bool:
        return liveness.is_attempt_alive(self._place, self.key, self._attempt.pid)

    def _has_worker(self) -> bool:
        return liveness.is_worker_alive(self._place, self._attempt.worker)

    def _has_command(self) -> bool:
        """Return whether anything of the attempt lives, when its worker is dead."""
        alive = self._is_alive()
        return alive or bool(self._groups.members(self._attempt.worker))

    def _signal_worker(self, number: int) -> None:
        self._worker = self._worker or liveness.worker_hint(self._place, self._attempt.worker)
        if self._worker is not None and self._worker.start_ticks is not None:
            kernel.send_signal(self._worker.pid, number, self._worker.start_ticks)

    def _members(self) -> list[int]:
        leader = 0 if self._command is None else self._command.pid
        found = [
            info.pid
            for info in kernel.all_processes()
            if info.session == leader or liveness.is_of_attempt(self._place, self.key, info.pid)
        ]
        return [*found, *(pid for pid in self._groups.members(self._attempt.worker) if pid not in found)]

    def _unknown_end(self) -> AttemptEnd:
        now = self._clock.now()
        if self._was_never_started():
            return end_never_started(self._claim, now)
        begun = None if self._command is None else _begun_from_hint(self._command, self._clock)
        verdict = self._guard.verdict() if self._is_callable else self._watch.verdict
        if verdict is not None and begun is not None:
            survivors = self._tree.names() if self._watch.gave_up else ()
            return endings.end_of_process(self._claim, begun, Exit(now), verdict=verdict, survivors=survivors)
        return endings.end_unseen(self._claim, "exit status unknown", now=now, begun=begun)


def _carry_on_ladder(watch: Supervision, tree: ProcessTree, hint: liveness.Hint | None, now: float) -> bool:
    """Watch over a command that is no child of ours: its time limit, and what it leaves behind.

    Returns:
        Whether anything was done.
    """
    tree.is_led = hint is not None and liveness.is_same_process(hint)
    # Without /proc, or a hint, nobody knows whether the command lives or only what it left.
    if kernel.HAS_PROC and hint is not None and liveness.is_gone(hint) and tree.has_members():
        watch.exited(now, leftovers=True)
    acted = False
    while (order := watch.step(now)) is not None:
        tree.carry_out(order)
        acted = True
    return acted


def end_never_started(claim: Claim, now: Micros) -> AttemptEnd:
    """Return the end of an attempt whose worker died before it started anything; the run is free again."""
    # At once the first time; but a run that fells each worker must not do so a hundred times a second.
    delay_s = 0.0 if claim.run.attempt <= 1 else endings.free_delay_s(claim.run.attempt)
    return endings.end_for_free(
        claim, Outcome.ABANDONED, "worker killed before the start", now=now, delay_s=delay_s
    )


def _begun_from_hint(hint: liveness.Hint, clock: Clock) -> Begun:
    age_s = max(0.0, clock.monotonic() - hint.monotonic)
    return Begun(clock.now() - round(age_s * 1_000_000), hint.monotonic, hint.pid)


def _pidfd_of(hint: liveness.Hint | None) -> int | None:
    """Return a pidfd of exactly the process of a hint."""
    if hint is None or hint.start_ticks is None:
        return None
    pidfd = kernel.open_pidfd(hint.pid)
    if pidfd is not None and kernel.start_ticks(hint.pid) != hint.start_ticks:
        os.close(pidfd)
        return None
    return pidfd
