"""The node's end of the wire: starts the child that fetches messages, and counts the permits in hand.

Single-threaded and never blocking: the loop waits on one descriptor, and calls `poll` when it is readable or
`deadline` has passed.

The child stays in the session of the node, and has none of the variables by which attempts are known, so
nobody who looks for what attempts left behind takes it for that (`reaper.orphans`, `inherited._members`). It
is waited for by its pid. In a node that is pid 1, the reaper may bury it first: then only its exit status is
unknown.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import subprocess
import sys
from collections import deque
from typing import Final

from cronq import clock
from cronq.wire.lines import Permit, Setup, Splitter
from cronq.worker.base import Trouble

FIRST_DELAY_S: Final = 0.5
LONGEST_DELAY_S: Final = 30.0
_PROVEN_S = 30.0
"""A child that has served for so long does not count as one more that failed in a row."""
_LOOK_AGAIN_S = 0.05
_CLOSE_BOUND_S = 2.0


class Receiver:
    """Permits to claim runs, from a child process that holds the messages."""

    def __init__(self, setup: Setup) -> None:
        """Describe it; `start` begins."""
        self._setup = setup
        self._selector = selectors.DefaultSelector()
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._dying: list[subprocess.Popen[bytes]] = []
        self._lines = Splitter()
        self._unsent = b""
        self._permits: deque[Permit] = deque()
        self._most = setup.slots
        self._start_at: float | None = None
        self._failures = 0
        self._ready_since: float | None = None
        self._told: str | None = None
        self._is_stopping = False
        self._voided = 0

    # What the loop asks

    def fileno(self) -> int:
        """Return the descriptor to wait for; the same for as long as this lives."""
        return self._selector.fileno()

    @property
    def held(self) -> int:
        """Permits in hand: messages held and not given back."""
        return len(self._permits)

    @property
    def permits(self) -> tuple[Permit, ...]:
        """The same, oldest first."""
        return tuple(self._permits)

    @property
    def voided(self) -> int:
        """How often the permits in hand became void, because the child died. Runs in hand stay valid."""
        return self._voided

    @property
    def is_ready(self) -> bool:
        """Whether messages can arrive."""
        return self._ready_since is not None

    @property
    def pid(self) -> int | None:
        """The child, if there is one."""
        return None if self._process is None else self._process.pid

    def deadline(self) -> float | None:
        """Return when `poll` must be called although nothing is readable, monotonic; None for never."""
        times = [self._start_at]
        if self._dying or self._unsent:
            times.append(clock.monotonic() + _LOOK_AGAIN_S)
        return min((moment for moment in times if moment is not None), default=None)

    # What the loop orders

    def start(self) -> None:
        """Let the child be started by the next `poll`, which is due at once."""
        self._start_at = clock.monotonic()

    def poll(self, now: float) -> list[Trouble]:
        """Take in what has arrived, and start the child if it is time; never blocks.

        Args:
            now: Monotonic time.

        Returns:
            What people should know: each trouble once, and when it is over.
        """
        troubles: list[Trouble] = []
        self._bury()
        self._send()
        if self._selector.select(0):
            self._receive(now, troubles)
        if self._start_at is not None and now >= self._start_at:
            self._start(now, troubles)
        return troubles

    def release(self, count: int = 1) -> None:
        """Give so many permits back, oldest first; no more than are in hand."""
        for _ in range(min(count, len(self._permits))):
            self._unsent += b"DONE %d\n" % self._permits.popleft().message
        self._send()

    def allow(self, most: int) -> None:
        """Let so many be held at a time; what is held now stays."""
        if most != self._most:
            self._most = most
            self._say_most()
            self._send()

    def stop(self) -> None:
        """Let no further messages be fetched; those in hand are still held until they are given back.

        The child leaves when it holds none any more: then `pid` is None. What was on its way arrives yet.
        """
        self._is_stopping = True
        self._start_at = None
        if self._socket is not None:
            self._unsent += b"STOP\n"
            self._send()

    def close(self) -> None:
        """End the child at once; messages in hand stay as those of a dead one."""
        self._is_stopping = True
        self._start_at = None
        self._let_go()
        ends = clock.monotonic() + _CLOSE_BOUND_S
        for process in self._dying:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, ends - clock.monotonic()))
        self._selector.close()

    # The child

    def _start(self, now: float, troubles: list[Trouble]) -> None:
        self._start_at = None
        ours, theirs = socket.socketpair()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "cronq.wire.child"],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                env=_environment(),
                # Keys pressed at the terminal are for the node; in its session, so that it is no orphan.
                process_group=0,
            )
        except OSError as error:
            ours.close()
            self._put_off(now, f"no child can be started: {error.strerror}", troubles)
            return
        finally:
            theirs.close()
        ours.setblocking(False)
        self._socket = ours
        self._lines = Splitter()
        self._unsent = self._setup.encode()
        if self._most != self._setup.slots:
            self._say_most()
        self._selector.register(ours, selectors.EVENT_READ)
        self._send()

    def _receive(self, now: float, troubles: list[Trouble]) -> None:
        assert self._socket is not None
        try:
            data = self._socket.recv(65_536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lose(now, troubles)
            return
        for line in self._lines.feed(data):
            word, _, rest = line.decode("utf-8", "replace").partition(" ")
            if word == "GOT":
                self._permits.append(Permit.decode(rest))
            elif word == "TROUBLE":
                self._tell(rest, troubles)
            elif word == "READY":
                self._ready_since = now
                if self._told is not None:
                    self._told = None
                    troubles.append(Trouble("info", "messages of other nodes arrive again"))

    def _lose(self, now: float, troubles: list[Trouble]) -> None:
        """Take note that the child is gone, or as good as gone."""
        if self._ready_since is not None and now - self._ready_since >= _PROVEN_S:
            self._failures = 0
        self._let_go()
        if not self._is_stopping:
            self._put_off(now, self._told or "the child died", troubles)

    def _let_go(self) -> None:
        if self._socket is not None:
            self._selector.unregister(self._socket)
            self._socket.close()
            self._socket = None
        if self._process is not None:
            self._process.kill()
            self._dying.append(self._process)
            self._process = None
        self._unsent = b""
        self._ready_since = None
        if self._permits:
            self._voided += 1
            self._permits.clear()
        self._bury()

    def _bury(self) -> None:
        self._dying = [process for process in self._dying if process.poll() is None]

    def _put_off(self, now: float, reason: str, troubles: list[Trouble]) -> None:
        delay_s = min(FIRST_DELAY_S * 2**self._failures, LONGEST_DELAY_S)
        self._failures = min(self._failures + 1, 16)
        self._start_at = now + delay_s
        self._tell(reason, troubles)

    def _tell(self, reason: str, troubles: list[Trouble]) -> None:
        if reason != self._told:
            self._told = reason
            troubles.append(Trouble("warning", f"no messages arrive ({reason}): it is tried again"))

    def _say_most(self) -> None:
        if self._socket is not None:
            self._unsent += b"MOST %d\n" % self._most

    def _send(self) -> None:
        if self._socket is None or not self._unsent:
            return
        # Its death is read, not written.
        with contextlib.suppress(OSError):
            self._unsent = self._unsent[self._socket.send(self._unsent) :]


def _environment() -> dict[str, str]:
    """Return the variables of the child: it imports what this process imports, and is of no attempt."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("CRONQ_")},
        "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if os.path.isabs(entry)),  # noqa: PTH117
    }
