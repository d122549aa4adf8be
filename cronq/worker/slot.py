"""One worker as the scheduler sees it: its process, its pipe, and what it has in hand."""

from __future__ import annotations

import contextlib
import os
import signal
from enum import Enum, auto
from multiprocessing.connection import Connection

from cronq.model import AttemptEnd, AttemptKey, AttemptStart, Claim, CommandKind, Micros
from cronq.store.location import Place
from cronq.worker import endings, kernel, liveness
from cronq.worker.callables import NUDGE_S
from cronq.worker.endings import Begun, Exit
from cronq.worker.guard import WorkerGuard
from cronq.worker.launching import WorkerProcess
from cronq.worker.messages import (
    Acknowledged,
    Execute,
    FromWorker,
    Leave,
    Stop,
    ToWorker,
    decode_from_worker,
    encode,
)
from cronq.worker.oom import KillCounter
from cronq.worker.output import Output
from cronq.worker.tickets import TicketBox

ASK_S = 0.01
"""An attempt that has not ended after so long is said to have begun."""
_ASK_SELDOM_S = 1.0
QUICK_S = 0.05
"""Attempts that take less leave their worker waiting for the next claim for a good part of the time. Nobody
waits longer than this for a worker that is busy after all."""
_EXIT_CODE_BOUND_S = 1.0
_UNKNOWN_EXIT_CODE = 255
"""What `multiprocessing` says when the fork server, which waits for workers, died as well."""


_MOST_HELD = 32_768
"""Bytes of a claim that a busy worker may hold."""
_BRISK_S = 0.005
"""Attempts that take less keep a processor busy, theirs or that of whoever starts them."""


class Phase(Enum):
    """What a worker is doing."""

    STARTING = auto()
    IDLE = auto()
    BUSY = auto()
    ENDED = auto()
    """It has nothing in hand, and an end that is not in the store yet."""
    LEAVING = auto()


class Slot:
    """A worker.

    Attributes:
        since: When it entered its phase, monotonic.
        claim: What it has in hand while BUSY.
        next: What it holds ready meanwhile.
        ends: Ends that are not in the store yet.
        start: What is known of the start.
        started: When that was learned, monotonic.
        guard: Its bound while BUSY.
        stop_request: What it was asked to stop with.
        output: What its callable prints, which it cannot look after itself.
        is_leaving: It said that it takes no further claim.
        death_fd: Becomes readable when it dies.
    """

    def __init__(
        self,
        name: str,
        process: WorkerProcess,
        pipe: Connection[ToWorker, FromWorker],
        tickets: TicketBox,
        now: float,
    ) -> None:
        self.name = name
        self.phase = Phase.STARTING
        self.since = now
        self.claim: Claim | None = None
        self.start: AttemptStart | None = None
        self.started = now
        self.next: Claim | None = None
        self.ends: dict[AttemptKey, AttemptEnd] = {}
        self.guard: WorkerGuard | None = None
        self.stop_request: Stop | None = None
        self.output: Output | None = None
        self.is_leaving = False
        self._nudge_at: float | None = None
        self._ask_at = now
        self._ask_again_s = ASK_S
        self._owed: tuple[AttemptKey, ...] = ()
        self._is_quick = self._is_brisk = False
        self._next_stop: Stop | None = None
        self._tickets = tickets
        self.pid = process.pid or 0
        self._process = process
        self._pipe: Connection[ToWorker, FromWorker] | None = pipe
        self._pidfd = kernel.open_pidfd(self.pid)
        # The sentinel also ends when the fork server dies, so it is only the second choice.
        self.death_fd = process.sentinel if self._pidfd is None else self._pidfd

    @property
    def key(self) -> AttemptKey | None:
        """The attempt in hand."""
        return None if self.claim is None else self.claim.key

    @property
    def pipe_fd(self) -> int | None:
        """Our end of its pipe; None when that is closed."""
        return None if self._pipe is None else self._pipe.fileno()

    def assign(self, claim: Claim, now: float) -> None:
        """Hand it an attempt."""
        self._begin(claim, now)
        self._send(Execute(claim, self._take_owed()))

    def can_hold(self, now: float) -> bool:
        """Return whether it may hold a claim ready: what it executes is probably over in a moment."""
        return (
            self.phase is Phase.BUSY
            and self.next is None
            and self._is_quick
            and not self.is_leaving
            and self.stop_request is None
            and now < self.since + QUICK_S
            # That of the claim it is said to execute now: it may not have looked for it yet.
            and not self._tickets.is_lying()
        )

    def is_brisk(self, now: float) -> bool:
        """Return whether it goes from one attempt to the next, each of which is over at once."""
        return self._is_brisk and (self.phase is not Phase.BUSY or now < self.since + QUICK_S)

    def hold(self, claim: Claim) -> bool:
        """Let it begin with a claim as soon as its attempt has ended; return False if that cannot be.

        A worker in a callable does not read, and a message that does not fit into its pipe would hold us up.
        """
        data = encode(Execute(claim, self._owed, self._tickets.number))
        if len(data) > _MOST_HELD:
            self._is_quick = False
            return False
        self.next = claim
        self._owed = ()
        self._tickets.offer()
        self._send_bytes(data)
        return True

    def recall(self) -> Claim | None:
        """Take back what it holds ready; None: nothing, or it has begun with it, and will say so."""
        claim = self.next
        if claim is None or not self._tickets.take_back():
            return None
        self.next = self._next_stop = None
        return claim

    def stop_next(self, reason: str, *, at_once: bool) -> None:
        """Stop what it holds ready, and has just begun with, when that is known."""
        if self.next is not None and (self._next_stop is None or at_once):
            self._next_stop = Stop(self.next.key, reason, at_once)

    def _begin(self, claim: Claim, now: float) -> None:
        self._enter(Phase.BUSY, now)
        self._nudge_at = None
        self.claim = claim
        self.start = self.stop_request = self.output = None
        self.started = now
        self._ask_at, self._ask_again_s = now + ASK_S, ASK_S
        self.guard = WorkerGuard(now, claim.definition)

    def ask_start(self, place: Place, now: float, *, at_once: bool = False) -> AttemptStart | None:
        """Return that its attempt has begun, once, if that is so and it is time to ask.

        A message about each start would wake everybody twice for a run that is over in a moment; so the
        lock file is asked when an attempt has not ended for a while.
        """
        if self.phase is not Phase.BUSY or self.start is not None or self.claim is None:
            return None
        if now < self._ask_at and not at_once:
            return None
        hint = liveness.attempt_hint(place, self.claim.key, self.name)
        if hint is None:
            self._ask_at = now + self._ask_again_s
            self._ask_again_s = min(2 * self._ask_again_s, _ASK_SELDOM_S)
            return None
        self.start = AttemptStart(self.claim.key, hint.pid, hint.at)
        self.started = now
        if self.guard is not None and self.stop_request is None:
            self.guard = WorkerGuard(now, self.claim.definition)
        return self.start

    def note_end(self, end: AttemptEnd, now: float) -> None:
        """Take note that its attempt is over; it begins with what it holds ready, if anything."""
        self.ends[end.key] = end
        duration_s = QUICK_S if end.usage is None else end.usage.duration_s
        self._is_quick = duration_s < QUICK_S
        self._is_brisk = duration_s < _BRISK_S
        if self.next is None or self.is_leaving:
            self.claim = self.start = self.stop_request = self.guard = None
            self._enter(Phase.ENDED, now)
            return
        claim, self.next = self.next, None
        self._begin(claim, now)
        stop, self._next_stop = self._next_stop, None
        if stop is not None:
            self.stop(stop.reason, now, at_once=stop.at_once)

    def acknowledge(self, key: AttemptKey, now: float) -> None:
        """Take note that an end is in the store; it hears of it with its next claim.

        If none comes in the same turn, `tell_acknowledged` says it.
        """
        del self.ends[key]
        self._owed = (*self._owed, key)
        if self.phase is Phase.ENDED and not self.ends:
            self.become_idle(now)

    def tell_acknowledged(self) -> None:
        """Tell it what it has not heard yet about its ends."""
        for key in self._take_owed():
            self._send(Acknowledged(key))

    def _take_owed(self) -> tuple[AttemptKey, ...]:
        acknowledged, self._owed = self._owed, ()
        return acknowledged

    def become_idle(self, now: float) -> None:
        """Take note that it can take a claim, unless it leaves by itself."""
        self._enter(Phase.LEAVING if self.is_leaving else Phase.IDLE, now)

    def stop(self, reason: str, now: float, *, at_once: bool) -> None:
        """Ask it to stop its attempt."""
        if self.claim is None or self.phase is not Phase.BUSY:
            return
        if self.stop_request is not None and (self.stop_request.at_once or not at_once):
            return  # asked already; a worker in a callable does not read, and its pipe must not fill up
        self.stop_request = Stop(self.claim.key, reason, at_once)
        self._send(self.stop_request)
        if self.guard is not None:
            self.guard.stop(reason, now, at_once=at_once)
        if self.claim.definition.command.kind is CommandKind.PYTHON:
            self._nudge_at = now
            self.nudge(now)

    def deadline(self) -> float | None:
        """Return when to see to it because of time."""
        if self.phase is not Phase.BUSY or self.guard is None:
            return None
        look_at = None if self.output is None else self.output.look_at
        ask_at = self._ask_at if self.start is None else None
        recall_at = None if self.next is None else self.since + QUICK_S
        times = (self.guard.deadline(), self._nudge_at, look_at, ask_at, recall_at)
        return min((moment for moment in times if moment is not None), default=None)

    def look_after_output(self, now: float) -> None:
        """Keep the output of a callable within its cap."""
        if self.phase is Phase.BUSY and self.output is not None:
            self.output.look(now)

    def nudge(self, now: float) -> None:
        """Send the signal that interrupts a callable, if it is time: in a callable, it reads no messages."""
        if self.phase is Phase.BUSY and self._nudge_at is not None and self._nudge_at <= now:
            self.signal(signal.SIGTERM)
            self._nudge_at = now + NUDGE_S

    def leave(self, now: float) -> None:
        """Tell it to go."""
        self.tell_acknowledged()
        self._send(Leave())
        self._enter(Phase.LEAVING, now)

    def signal(self, number: int) -> None:
        """Send it a signal."""
        with contextlib.suppress(OSError):
            if self._pidfd is None:
                os.kill(self.pid, number)
            else:
                signal.pidfd_send_signal(self._pidfd, number)

    def receive(self) -> FromWorker | None:
        """Return the next message, which must have arrived; None at the end of the pipe."""
        if self._pipe is None:
            return None
        try:
            return decode_from_worker(self._pipe.recv_bytes())
        except (EOFError, OSError):
            self.close_pipe()
            return None

    def has_message(self) -> bool:
        """Return whether `receive` would return at once."""
        try:
            return self._pipe is not None and self._pipe.poll()
        except OSError:
            return False

    def exit_code(self) -> int | None:
        """Return how a dead worker ended; None if that cannot be known."""
        # The fork server waits for it and passes the status on, a moment later than the kernel told us.
        self._process.join(_EXIT_CODE_BOUND_S)
        code = self._process.exitcode
        return None if code == _UNKNOWN_EXIT_CODE else code

    def close_pipe(self) -> None:
        """Close our end; to a living worker that means that the scheduler is gone."""
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None

    def bury(self) -> None:
        """Release what is kept about a dead worker."""
        self.release()
        # ValueError: it is not known to be dead, because the fork server died before it could say so.
        with contextlib.suppress(ValueError):
            self._process.close()

    def release(self) -> None:
        """Let go of it: it finishes by itself."""
        self.close_pipe()
        self._tickets.close()
        self._process.release()
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None

    def _enter(self, phase: Phase, now: float) -> None:
        self.phase = phase
        self.since = now

    def _send(self, message: ToWorker) -> None:
        self._send_bytes(encode(message))

    def _send_bytes(self, data: bytes) -> None:
        if self._pipe is None:
            return
        # A worker that is gone is noticed by its death, not here.
        with contextlib.suppress(OSError):
            self._pipe.send_bytes(data)


def end_of_lost_callable(
    slot: Slot, claim: Claim, place: Place, exit_code: int | None, now: Micros, oom: KillCounter
) -> AttemptEnd:
    """Return how a callable ended that took its worker with it, and kill what it had started."""
    _kill_rest(slot.pid, claim, place)
    started_at = claim.claimed_at if slot.start is None else slot.start.started_at
    begun = Begun(started_at, slot.started, slot.pid)
    verdict = None if slot.guard is None else slot.guard.verdict()
    if verdict is None and exit_code == -signal.SIGKILL:
        verdict = endings.verdict_of_oom(Exit(now, None, signal.SIGKILL), (), oom.has_risen)
    if verdict is None and exit_code in {None, -signal.SIGKILL}:
        # Nobody knows whether the callable or the worker was meant.
        return endings.end_unseen(claim, "worker killed", now=now, begun=begun)
    number = -exit_code if exit_code is not None and exit_code < 0 else None
    exit_ = Exit(now, exit_code if number is None else None, number)
    return endings.end_of_process(claim, begun, exit_, verdict=verdict)


def _kill_rest(session: int, claim: Claim, place: Place) -> None:
    """Kill what a callable has started: the orphans of its worker, the session leader, are our children."""
    for child in kernel.children_of(os.getpid()):
        info = kernel.process_info(child)
        if info is not None and (
            info.session == session or liveness.is_of_attempt(place, claim.key, claim.worker, child)
        ):
            for pid in (child, *kernel.descendants_of(child)):
                kernel.send_signal(pid, signal.SIGKILL, kernel.start_ticks(pid))
