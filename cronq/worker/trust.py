"""Until when a node may be trusted with its attempts: a file of eight bytes that it writes, and workers read.

A node whose lease ended is lost to the others, and what it had in hand may run somewhere else. So its workers
kill what they execute before, whether their scheduler lives, is stopped, or is dead: they believe nothing but
this file, which is extended whenever the lease was renewed.

The instant is one of CLOCK_BOOTTIME (`cronq.clock.boottime_ns`): it means the same to all processes of a
boot, nobody can set it, and it goes on while the machine is suspended.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Final

from cronq import clock
from cronq.worker.files import open_private
from cronq.worker.supervision import Supervision

GRACE_S: Final = 3.0
"""So long before its end what runs gets TERM; at the end it is killed."""
LOST: Final = "the lease could not be renewed"
"""What the end of an attempt says that was killed, or not begun, for want of trust."""
LOOK_S = 1.0
"""How often to look at least: what measures a wait stands still while the machine is suspended."""
HANGS_S: Final = LOOK_S + 0.25
"""A worker that has not killed its attempt so long after the trust ended will not. The lease ends later."""
_LONGEST_S = 120.0
"""No trust is given for longer. What is further ahead was written in another boot."""
_INSTANT = struct.Struct("=Q")


class TrustFile:
    """The writing end: one for each node."""

    def __init__(self, path: Path) -> None:
        """Open the file, which is made if there is none; a new one gives no trust.

        What a predecessor of this boot wrote stays: its workers may still be at work.

        Raises:
            OSError: It can be neither made nor opened.
        """
        self._fd = open_private(path, os.O_RDWR | os.O_CREAT)
        if _left_s(self._fd) > _LONGEST_S:
            self.end()

    def extend(self, until: int) -> None:
        """Give trust until an instant of `clock.boottime_ns`.

        Dies: The file holds this instant or the one before.

        Raises:
            OSError: It cannot be written.
        """
        os.pwrite(self._fd, _INSTANT.pack(until), 0)

    def end(self) -> None:
        """Give no trust any more."""
        self.extend(0)

    def close(self) -> None:
        """Let go of the file, which keeps its instant."""
        os.close(self._fd)


class Trust:
    """The reading end."""

    def __init__(self, path: Path) -> None:
        """Name the file, which is opened when it is first read."""
        self._path = path
        self._fd = -1

    def left_s(self) -> float:
        """Return the seconds that are left; none or less: there is no trust, or no file that says so."""
        try:
            return _left_s(self._fd)
        except OSError:
            pass  # not open yet, or closed by a callable that closes everything
        try:
            self._fd = open_private(self._path, os.O_RDONLY)
            return _left_s(self._fd)
        except OSError:
            return 0.0


class Vigil:
    """Has a ladder climbed when the trust ends.

    Attributes:
        look_at: When to `look` again, monotonic.
    """

    def __init__(self, trust: Trust, watch: Supervision) -> None:
        self._trust = trust
        self._watch = watch
        self.look_at = 0.0

    def look(self, now: float) -> None:
        """Look at the trust, if it is time."""
        if now < self.look_at:
            return
        left_s = self._trust.left_s()
        if left_s > GRACE_S:
            self.look_at = now + look_again_s(left_s)
            return
        self._watch.distrust(LOST, now, left_s)
        # One that was being stopped already has its own time, up to the end.
        self.look_at = now + min(left_s, LOOK_S) if left_s > 0 else float("inf")


def look_again_s(left_s: float) -> float:
    """Return after how many seconds to look again, when more than the grace is left."""
    return min(left_s - GRACE_S, LOOK_S)


def _left_s(fd: int) -> float:
    data = os.pread(fd, _INSTANT.size, 0)
    if len(data) < _INSTANT.size:
        return 0.0
    (until,) = _INSTANT.unpack(data)
    left_s: float = (until - clock.boottime_ns()) / 1e9
    return left_s
