"""An attempt that an earlier scheduler began: its worker, or its command alone, may live."""

from __future__ import annotations

import os
import signal

from cronq.clock import Clock
from cronq.model import SECOND, AttemptEnd, AttemptKey, CommandKind, Outcome
from cronq.store.base import Held
from cronq.store.location import Place
from cronq.worker import endings, kernel, liveness
from cronq.worker.adoption import (
    LOOK_AGAIN_S,
    SEARCH_AGAIN_S,
    begun_from_hint,
    carry_on_ladder,
    end_never_started,
    members_of,
)
from cronq.worker.cgroups import WorkerGroups
from cronq.worker.endings import Exit
from cronq.worker.guard import WorkerGuard
from cronq.worker.left_ends import end_file, read_left_end
from cronq.worker.output import output_of, settled
from cronq.worker.process import STORE_BOUND_S
from cronq.worker.supervision import Supervision
from cronq.worker.tree import ProcessTree
from cronq.worker.trust import Trust, Vigil

_RECORD_BOUND_S = STORE_BOUND_S + 10.0
"""How long a worker may live that has not begun with its attempt, or has ended it and writes the end."""


class EarlierAttempt:
    """An attempt that an earlier scheduler began: its worker, or its command alone, may live."""

    def __init__(
        self, held: Held, place: Place, clock: Clock, groups: WorkerGroups, trust: Trust | None = None
    ) -> None:
        self._claim = held.claim
        self._attempt = held.attempt
        self._groups = groups
        self._place = place
        self._clock = clock
        definition = held.claim.definition
        self._is_callable = definition.command.kind is CommandKind.PYTHON
        self._worker = liveness.worker_hint(place, held.attempt.worker)
        hint = liveness.attempt_hint(place, self.key, held.attempt.worker)
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
        # The same holds for the trust.
        self._vigil = None if trust is None else Vigil(trust, self._watch)
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
        vigil_at = None if has_worker or self._vigil is None else self._vigil.look_at
        # A callable keeps its worker from looking after its output.
        look_at = self._output.look_at if self._is_callable or not has_worker else None
        times = (self._look_at, ladder, vigil_at, look_at)
        return min((at for at in times if at is not None), default=None)

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
        if self._vigil is not None:
            self._vigil.look(now)
        try:
            left = read_left_end(end_file(self._place, self.key))
        except OSError:
            return None
        if left is not None:
            self._output.finish_after(left)
            return left
        if self._is_past():
            return settled(self._unknown_end(), self._output)
        self._output.look(now)
        if self._has_command():
            self._command = self._command or liveness.attempt_hint(self._place, self.key, self.worker)
            if carry_on_ladder(self._watch, self._tree, self._command, now):
                self._look_at = now + SEARCH_AGAIN_S
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
            and not liveness.was_started(self._place, self.key, self.worker)
        )

    def _started(self) -> float:
        """Return when it was started, monotonic, as far as its row says."""
        at = self._attempt.started_at
        age_us = 0 if at is None else max(0, self._clock.now() - at)
        return self._clock.monotonic() - age_us / SECOND

    def _is_worker_over(self, now: float) -> bool:
        """Return whether its worker hangs: it should long have stopped the attempt, or recorded its end."""
        if self._is_elsewhere():
            return self._is_condemned
        if self._is_alive():
            self._record_by = None
            over = self._guard.is_over(now)
        else:
            self._record_by = self._record_by or now + _RECORD_BOUND_S
            over = now >= self._record_by
        self._is_condemned = self._is_condemned or over
        return self._is_condemned

    def _is_alive(self) -> bool:
        return liveness.is_attempt_alive(self._place, self.key, self.worker, self._attempt.pid)

    def _has_worker(self) -> bool:
        return liveness.is_worker_alive(self._place, self._attempt.worker)

    def _has_command(self) -> bool:
        """Return whether anything of the attempt lives, when its worker is dead."""
        if self._is_past() or self._is_elsewhere():
            return False
        return self._is_alive() or bool(self._groups.members(self._attempt.worker))

    def _is_elsewhere(self) -> bool:
        """Return whether its worker, or what that left, executes another one, which is not to be touched.

        This one has ended before, or was held ready: then it begins, or the worker leaves without.
        """
        return liveness.is_busy_with_another(self._place, self.key, self.worker)

    def _is_past(self) -> bool:
        """Return whether its worker has begun with another one since: it has ended, and was not recorded.

        The worker records it once the other one is over, which has nothing to do with this one.
        """
        hint = liveness.last_attempt(self._place, self.worker)
        return hint is not None and self.key in hint.before

    def _signal_worker(self, number: int) -> None:
        if self._is_past() or self._is_elsewhere():
            return
        self._worker = self._worker or liveness.worker_hint(self._place, self._attempt.worker)
        if self._worker is not None and self._worker.start_ticks is not None:
            kernel.send_signal(self._worker.pid, number, self._worker.start_ticks)

    def _members(self) -> list[int]:
        leader = 0 if self._command is None else self._command.pid
        # Busy with another one, the group of the worker is that of the other one.
        groups = None if self._is_elsewhere() else self._groups
        return members_of(self._place, self.key, self.worker, leader, groups)

    def _unknown_end(self) -> AttemptEnd:
        now = self._clock.now()
        if self._was_never_started():
            if self._asked is not None:
                return AttemptEnd(self.key, Outcome.CANCELLED, now, reason=self._asked[0])
            return end_never_started(self._claim, now)
        begun = None if self._command is None else begun_from_hint(self._command, self._clock)
        verdict = self._guard.verdict() if self._is_callable else self._watch.verdict
        if verdict is not None and begun is not None:
            survivors = self._tree.names() if self._watch.gave_up else ()
            return endings.end_of_process(self._claim, begun, Exit(now), verdict=verdict, survivors=survivors)
        return endings.end_unseen(self._claim, "exit status unknown", now=now, begun=begun)


def _pidfd_of(hint: liveness.Hint | None) -> int | None:
    """Return a pidfd of exactly the process of a hint."""
    if hint is None or hint.start_ticks is None:
        return None
    pidfd = kernel.open_pidfd(hint.pid)
    if pidfd is not None and kernel.start_ticks(hint.pid) != hint.start_ticks:
        os.close(pidfd)
        return None
    return pidfd
