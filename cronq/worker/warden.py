"""A process beside a worker that kills its callable when the trust ends.

A worker that executes a callable is in the hands of the callable, which may catch everything or never come
back to Python, and then kills neither itself nor what the callable has started. The pool would, but it may be
stopped or dead. So a worker with a trust file has a warden, from its first callable on. It is no descendant
of the worker, or it would be taken for something that a callable left behind.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import traceback
from multiprocessing.connection import Connection, Pipe, wait
from typing import NamedTuple

from cronq import clock
from cronq.model import Claim, Outcome
from cronq.store.location import Place
from cronq.worker import endings, kernel
from cronq.worker.endings import Begun, Exit
from cronq.worker.left_ends import leave_end
from cronq.worker.supervision import GIVE_UP_S, KILL_AGAIN_S, Order, Verdict
from cronq.worker.tree import ProcessTree
from cronq.worker.trust import GRACE_S, LOOK_S, LOST, Trust, look_again_s

_CALL_AGAIN_S = 0.25
"""How often a callable is interrupted until it ends, as by the pool."""
_IGNORED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


class _Watched(NamedTuple):
    claim: Claim
    begun: Begun


class Warden:
    """The warden as its worker sees it."""

    def __init__(self, trust: Trust, place: Place) -> None:
        self._trust = trust
        self._place = place
        self._pipe: Connection[_Watched | None, None] | None = None

    def start(self) -> None:
        """Start it, if there is none; before the worker has anything open for an attempt.

        Raises:
            OSError: There is no room for another process.
        """
        if self._pipe is not None and not _is_deaf(self._pipe):
            return
        self._forget()
        theirs, ours = Pipe(duplex=False)
        try:
            _fork(theirs, ours, self._trust, self._place)
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        self._pipe = ours

    def watch(self, claim: Claim, begun: Begun) -> None:
        """Let it watch over an attempt.

        Raises:
            OSError: It is gone; the next `start` makes another one.
        """
        self._tell(_Watched(claim, begun))

    def dismiss(self) -> bool:
        """Say that the attempt is over; return whether it could be said."""
        try:
            self._tell(None)
        except OSError:
            return False
        return True

    def has_called(self) -> bool:
        """Return whether it has begun to interrupt the callable."""
        return self._trust.left_s() <= GRACE_S

    def _tell(self, message: _Watched | None) -> None:
        if self._pipe is None:
            raise BrokenPipeError("the warden is gone")
        try:
            self._pipe.send(message)
        except OSError:
            self._forget()
            raise

    def _forget(self) -> None:
        if self._pipe is not None:
            with contextlib.suppress(OSError):
                self._pipe.close()
            self._pipe = None


def _is_deaf(pipe: Connection[_Watched | None, None]) -> bool:
    """Return whether nobody holds the other end any more."""
    poll = select.poll()
    poll.register(pipe.fileno(), 0)
    return bool(poll.poll(0))


def _fork(
    theirs: Connection[None, _Watched | None],
    ours: Connection[_Watched | None, None],
    trust: Trust,
    place: Place,
) -> None:
    """Make a process that is nobody's child here: its parent ends at once, and it goes to the next reaper."""
    worker = os.getpid()
    kernel.become_subreaper(is_one=False)
    try:
        pid = os.fork()
        if pid == 0:
            try:
                os.setsid()
                if os.fork() == 0:
                    ours.close()
                    _Post(worker, theirs, trust, place).keep()
            except BaseException:
                # This is a copy of the worker, and must not go on as one.
                traceback.print_exc()
            finally:
                os._exit(0)
        os.waitpid(pid, 0)
    finally:
        kernel.become_subreaper()


class _Post:
    """The warden's own life."""

    def __init__(
        self, worker: int, pipe: Connection[None, _Watched | None], trust: Trust, place: Place
    ) -> None:
        signal.set_wakeup_fd(-1)
        for number in _IGNORED:
            signal.signal(number, signal.SIG_IGN)
        self._worker = worker
        self._ticks = kernel.start_ticks(worker)
        self._death = kernel.open_pidfd(worker)
        self._pipe: Connection[None, _Watched | None] | None = pipe
        self._trust = trust
        self._place = place
        self._watched: _Watched | None = None

    def keep(self) -> None:
        """Watch until the worker is gone, or had to be killed."""
        wait_s: float | None = None
        while self._is_needed(wait_s):
            if self._watched is None:
                wait_s = None
                continue
            left_s = self._trust.left_s()
            if left_s > GRACE_S:
                wait_s = look_again_s(left_s)
            elif left_s > 0:
                kernel.send_signal(self._worker, signal.SIGTERM, self._ticks)
                wait_s = min(left_s, _CALL_AGAIN_S)
            elif self._holds_worker():
                self._kill(self._watched)
                return

    def _is_needed(self, wait_s: float | None) -> bool:
        """Wait for news; return whether there is still somebody to watch over."""
        sources: list[Connection[None, _Watched | None] | int] = []
        if self._pipe is not None:
            sources.append(self._pipe)
        if self._death is not None:
            sources.append(self._death)
        else:
            wait_s = LOOK_S if wait_s is None else min(wait_s, LOOK_S)  # nothing tells its death
        ready = wait(sources, wait_s)
        if self._death in ready or not _exists(self._worker):
            return False
        if self._pipe is not None and self._pipe in ready:
            self._receive(self._pipe)
        return self._pipe is not None or self._watched is not None

    def _receive(self, pipe: Connection[None, _Watched | None]) -> None:
        try:
            self._watched = pipe.recv()
        except (EOFError, OSError):
            # The worker left, or its callable closes what is not its own, and goes on.
            self._pipe = None

    def _holds_worker(self) -> bool:
        """Stop the worker; return False, and let it go on, if its callable has just ended."""
        # What the children leave goes to the worker; so it is held, and the last to die.
        kernel.send_signal(self._worker, signal.SIGSTOP, self._ticks)
        if self._pipe is not None and self._pipe.poll():
            self._receive(self._pipe)
        if self._watched is None:
            kernel.send_signal(self._worker, signal.SIGCONT, self._ticks)
        return self._watched is not None

    def _kill(self, watched: _Watched) -> None:
        """Kill the worker with all that is below it, and leave a word about it."""
        tree = ProcessTree(0, lambda: kernel.descendants_of(self._worker))
        give_up = clock.monotonic() + GIVE_UP_S
        while tree.has_members() and clock.monotonic() < give_up:
            tree.carry_out(Order.KILL_ALL)
            clock.sleep(min(KILL_AGAIN_S, 0.005))
        end = endings.end_of_process(
            watched.claim,
            watched.begun,
            Exit(clock.now_us(), None, signal.SIGKILL),
            verdict=Verdict(Outcome.ABANDONED, LOST),
            survivors=tree.names(),
        )
        with contextlib.suppress(OSError):
            leave_end(self._place, end)
        kernel.send_signal(self._worker, signal.SIGKILL, self._ticks)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
