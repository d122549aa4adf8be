"""The real clock of a scheduler: wall time, and one place to sleep until it or until news.

On Linux the alarm is a timerfd on the wall clock, set to an absolute instant: it is late by some 0.1 ms where
epoll's own timeouts are rounded to milliseconds, it counts the time that the machine was suspended, and with
TFD_TIMER_CANCEL_ON_SET it also fires when somebody steps the clock (timerfd_create(2)). Elsewhere the wait is
cut into steps, so that a stepped clock is noticed within `STEP_S`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import sys

from cronq import clock
from cronq.model import SECOND, Micros

STEP_S = 30.0

_CLOCK_REALTIME = 0
_TFD_FLAGS = os.O_NONBLOCK | os.O_CLOEXEC
_TFD_TIMER_ABSTIME = 1
_TFD_TIMER_CANCEL_ON_SET = 2
_FAR = 4_000_000_000 * SECOND
"""An instant after all others: an alarm that only notices steps of the clock."""


class SystemClock:
    """`cronq.clock.Clock` on the machine's own time. One waiter: not for several threads."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._alarm = _TimerFd() if sys.platform == "linux" else None
        if self._alarm is not None:
            self._selector.register(self._alarm.fd, selectors.EVENT_READ)

    def now(self) -> Micros:
        """Return wall time, UTC microseconds."""
        return clock.now_us()

    def monotonic(self) -> float:
        """Return seconds that never step back."""
        return clock.monotonic()

    def watch(self, fd: int) -> None:
        """Let `wait` also end when this descriptor is readable."""
        self._selector.register(fd, selectors.EVENT_READ)

    def unwatch(self, fd: int) -> None:
        """Stop watching a descriptor; unknown ones are ignored."""
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(fd)

    def wait(self, until: Micros | None) -> set[int]:
        """Block until wall time `until`, a watched descriptor, or a step of the clock."""
        timeout: float | None = None
        if self._alarm is None:
            left = STEP_S if until is None else (until - self.now()) / SECOND
            timeout = max(0.0, min(STEP_S, left))
        elif until is not None and until <= self.now():
            timeout = 0.0
        else:
            self._alarm.set(_FAR if until is None else until)
        ready = {key.fd for key, _ in self._selector.select(timeout)}
        if self._alarm is not None and self._alarm.fd in ready:
            self._alarm.drain()
            ready.discard(self._alarm.fd)
        return ready

    def close(self) -> None:
        """Release what waiting needs."""
        self._selector.close()
        if self._alarm is not None:
            self._alarm.close()


class _TimerFd:
    """timerfd(2), which Python has only since 3.13."""

    def __init__(self) -> None:
        import ctypes

        class Timespec(ctypes.Structure):
            _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))

        class Itimerspec(ctypes.Structure):
            _fields_ = (("interval", Timespec), ("value", Timespec))

        self._ctypes = ctypes
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._spec = Itimerspec()
        self.fd: int = self._libc.timerfd_create(_CLOCK_REALTIME, _TFD_FLAGS)
        if self.fd < 0:
            self._fail()

    def set(self, at: Micros) -> None:
        """Fire at this wall time, or when the clock is stepped."""
        self._spec.value.seconds = at // SECOND
        # 0 s 0 ns would disarm it.
        self._spec.value.nanoseconds = max(1, at % SECOND * 1000)
        flags = _TFD_TIMER_ABSTIME | _TFD_TIMER_CANCEL_ON_SET
        failed = self._libc.timerfd_settime(self.fd, flags, self._ctypes.byref(self._spec), None) < 0
        # ECANCELED: the clock was stepped since the last call; the timer is set all the same.
        if failed and self._ctypes.get_errno() != errno.ECANCELED:
            self._fail()

    def drain(self) -> None:
        """Take the news; a cancelled timer reads as ECANCELED."""
        with contextlib.suppress(OSError):
            os.read(self.fd, 8)

    def close(self) -> None:
        """Release the timer."""
        os.close(self.fd)

    def _fail(self) -> None:
        number = self._ctypes.get_errno()
        raise OSError(number, os.strerror(number))
