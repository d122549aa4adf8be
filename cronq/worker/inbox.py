"""The one place where a worker waits: for messages, for the death of children, and for signals.

SIGCHLD and the signals that stop an attempt arrive through a wake-up pipe, so that none can slip in between
looking and waiting (the self-pipe trick; `signal.set_wakeup_fd`).
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections import deque
from collections.abc import Callable
from multiprocessing.connection import Connection
from types import FrameType

from cronq.model import AttemptKey
from cronq.worker import kernel
from cronq.worker.messages import FromWorker, Stop, ToWorker, decode_to_worker, encode

_SHRUGGED_OFF = (
    signal.SIGCHLD,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGIO,  # see `cronq.worker.spool`
)


class Inbox:
    """What a worker hears.

    Attributes:
        is_orphaned: The scheduler is gone: the pipe is at its end.
        asked: SIGTERM (stop the attempt) or SIGQUIT (kill it) came, and was not acted on yet.
        interrupt: Called from the signal handler on either; how a callable is interrupted.
    """

    def __init__(self, pipe: Connection[FromWorker, ToWorker]) -> None:
        """Take over the signals of this process."""
        self._pipe = pipe
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self._wake_read, select.POLLIN)
        self._poll.register(pipe.fileno(), select.POLLIN)
        self._put_by: deque[ToWorker] = deque()
        self.is_orphaned = False
        self.asked: int | None = None
        self.interrupt: Callable[[], None] | None = None
        self.take_signals()

    def take_signals(self) -> None:
        """Install the handlers.

        They are functions and never SIG_IGN, because what is ignored stays ignored over exec, and a command
        must begin with all signals at their defaults. Source: execve(2), signal(7).
        """
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        for number in _SHRUGGED_OFF:
            signal.signal(number, _shrug)
        signal.signal(signal.SIGTERM, self._on_ask)
        signal.signal(signal.SIGQUIT, self._on_ask)

    def retake_signals(self) -> None:
        """Install the handlers again if the code of a job has put its own in their place, as asyncio does."""
        if (
            signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False) != self._wake_write
            or signal.getsignal(signal.SIGTERM) != self._on_ask
            or signal.getsignal(signal.SIGCHLD) is not _shrug
        ):
            self.take_signals()

    def send(self, message: FromWorker) -> None:
        """Tell the scheduler; without effect if it is gone."""
        if self.is_orphaned:
            return
        try:
            self._pipe.send_bytes(encode(message))
        except OSError:
            self._lose_pipe()

    def next(self) -> ToWorker | None:
        """Wait for the next message; None when the scheduler is gone.

        Between two attempts: what ends now was left by the last one, and nobody else waits for it.
        """
        while not self.is_orphaned:
            if self._put_by:
                return self._put_by.popleft()
            kernel.reap_children()
            self._put_by += self.wait(None)
        return None

    def put_by(self, message: ToWorker) -> None:
        """Keep a message that is not about the attempt which is executed for `next`."""
        self._put_by.append(message)

    def wait(self, timeout_s: float | None) -> list[ToWorker]:
        """Wait for a message, a signal or the time; return the message, if there is one."""
        timeout = None if timeout_s is None else max(0.0, timeout_s) * 1000
        ready = self._poll.poll(timeout)
        messages: list[ToWorker] = []
        for fd, _ in ready:
            if fd == self._wake_read:
                with contextlib.suppress(BlockingIOError):
                    os.read(fd, 4096)
            else:
                messages += self._receive()
        return messages

    def stop_for(self, key: AttemptKey) -> Stop | None:
        """Return a request to stop this attempt that has come already."""
        found = None
        while messages := self.wait(0):
            for message in messages:
                if not isinstance(message, Stop):
                    self.put_by(message)
                elif message.key == key:
                    found = message
        return found

    def _receive(self) -> list[ToWorker]:
        try:
            return [decode_to_worker(self._pipe.recv_bytes())]
        except (EOFError, OSError):
            self._lose_pipe()
            return []

    def _lose_pipe(self) -> None:
        if not self.is_orphaned:
            self.is_orphaned = True
            self._poll.unregister(self._pipe.fileno())
            self._pipe.close()

    def close_in_child(self) -> None:
        """Forget the pipe in a process that a callable forked, or the scheduler would not see our death."""
        with contextlib.suppress(OSError):
            self._pipe.close()

    def _on_ask(self, number: int, _frame: FrameType | None) -> None:
        self.asked = number
        if self.interrupt is not None:
            self.interrupt()


def _shrug(_number: int, _frame: FrameType | None) -> None:
    """Do nothing, but be a handler: the wake-up pipe is written, and system calls end early."""
