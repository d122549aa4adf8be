"""Waiting for orphans: as sub-reaper, and as pid 1 of a container, the scheduler inherits processes."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterable
from types import FrameType

from cronq.worker import kernel
from cronq.worker.launching import helper_pids


class Reaper:
    """Notices the death of children, and buries those that are nobody's."""

    def __init__(self) -> None:
        """Begin to listen for SIGCHLD; only in the main thread."""
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._previous_handler = signal.signal(signal.SIGCHLD, self._on_child)
        # The handler alone could run just before a wait begins that it was to end. If somebody else
        # listens for signals already, waiting ends by that.
        self._previous_wakeup = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        if self._previous_wakeup != -1:
            signal.set_wakeup_fd(self._previous_wakeup, warn_on_full_buffer=False)

    def fileno(self) -> int:
        """Return the descriptor that is readable when a child has died."""
        return self._read

    def is_due(self) -> bool:
        """Return whether a child has died since the last call."""
        try:
            return bool(os.read(self._read, 4096))
        except BlockingIOError:
            return False

    def orphans(self) -> list[int]:
        """Return the dead children that nobody means to wait for.

        Those of this process's own session were started by it, so somebody will. Pid 1 takes them
        nevertheless: what an entry script left behind is of its session too.
        """
        own_session = os.getsid(0)
        helpers = helper_pids()
        found = []
        for pid in kernel.children_of(os.getpid()):
            info = kernel.process_info(pid)
            if info is None or info.state != "Z" or pid in helpers:
                continue
            if info.session != own_session or os.getpid() == 1:
                found.append(pid)
        return found

    def bury(self, pids: Iterable[int]) -> None:
        """Wait for dead children."""
        for pid in pids:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)

    def close(self) -> None:
        """Stop listening."""
        signal.signal(signal.SIGCHLD, self._previous_handler)
        if self._previous_wakeup == -1:
            current = signal.set_wakeup_fd(-1)
            if current not in {-1, self._write}:
                signal.set_wakeup_fd(current)
        os.close(self._read)
        os.close(self._write)

    def _on_child(self, _number: int, _frame: FrameType | None) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._write, b"!")
