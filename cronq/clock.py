"""The only code that asks what time it is, and the only code that sleeps.

`now_us` is wall time (UTC microseconds), for everything that a schedule names; `monotonic` is for durations.
A `Clock` also waits, so that a virtual clock can jump from event to event instead. The real one lives in
`cronq.waiting`, which needs `ctypes` and is imported by the scheduler alone.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

from cronq.model import Micros

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_BOOTTIME: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def now_us() -> Micros:
    """Return wall time as UTC microseconds since the epoch."""
    return time.time_ns() // 1000


def monotonic() -> float:
    """Return seconds that never step back; only differences mean anything."""
    return time.monotonic()


def boottime_ns() -> int:
    """Return nanoseconds that never step back, and go on while the machine is suspended.

    The same in every process of this boot. Without CLOCK_BOOTTIME, on macOS, the monotonic clock, which
    stands still meanwhile.
    """
    return time.clock_gettime_ns(_BOOTTIME)


def sleep(seconds: float) -> None:
    """Block this process; for command-line loops and back-off, never for scheduling."""
    time.sleep(seconds)


def datetime_from_us(us: Micros) -> datetime:
    """Return an aware UTC datetime."""
    return _EPOCH + us * _MICROSECOND


def us_from_datetime(moment: datetime) -> Micros:
    """Return UTC microseconds of an aware datetime."""
    return (moment - _EPOCH) // _MICROSECOND


class Clock(Protocol):
    """Time as the scheduler sees it: read it, or wait in it."""

    def now(self) -> Micros:
        """Return wall time, UTC microseconds."""

    def monotonic(self) -> float:
        """Return seconds that never step back."""

    def watch(self, fd: int) -> None:
        """Let `wait` also end when this descriptor is readable."""

    def unwatch(self, fd: int) -> None:
        """Stop watching a descriptor; unknown ones are ignored."""

    def wait(self, until: Micros | None) -> set[int]:
        """Block until wall time `until`, a watched descriptor, or a step of the clock.

        Returns:
            The watched descriptors that are readable; empty when only time passed.
        """

    def close(self) -> None:
        """Release what waiting needs; the clock is not used again."""
