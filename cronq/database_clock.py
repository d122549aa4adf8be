"""The clock of a node: the database's wall time, which is the same for all nodes.

It is read at each beat and carried in between by a clock that nobody sets. It is never ahead of the database,
so that no node fires early, and behind it by no more than

* the time that the answer of the best reading took to come back, and
* 0.5 ms for each second since (`_SLOWER`), so 5 ms where it is read every 10 s.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from cronq import clock
from cronq.clock import Clock
from cronq.errors import InvariantError
from cronq.model import SECOND, Micros

_SLOWER = 500e-6
"""By so much the carried time is slowed down, or it could get ahead: a clock that is being slewed goes wrong
by no more (adjtimex(2)), a quartz by itself by a tenth of that."""
_STEP: Micros = SECOND
"""A database that is back by so much was set back, and is followed; for less, time stands still."""


class DatabaseClock:
    """`cronq.clock.Clock` whose wall time is the database's. One waiter: not for several threads."""

    def __init__(self, real: Clock, elapsed_ns: Callable[[], int] = clock.boottime_ns) -> None:
        """Wrap the machine's clock.

        Args:
            real: Waits, and is closed with this one.
            elapsed_ns: Carries the time: nanoseconds that never step back, and go on in a suspend.
        """
        self._real = real
        self._elapsed_ns = elapsed_ns
        self._read: tuple[Micros, int] | None = None
        self._told: Micros | None = None

    def note(self, database_now: Micros, asked_at: float, answered_at: float) -> None:
        """Take a reading.

        It was taken somewhere between question and answer, so it is what the database's clock showed at the
        answer at least, and so much later at most.

        Args:
            database_now: What the database's clock showed.
            asked_at: When it was asked, by `monotonic`.
            answered_at: When the answer was there, by the same.
        """
        # Where the machine was suspended since the answer, this is too late: then time is behind, not ahead.
        age_ns = round((self._real.monotonic() - answered_at) * 1e9)
        at_ns = self._elapsed_ns() - age_ns
        if self._read is not None:
            ahead = self._carried(self._read, at_ns) - database_now
            if 0 <= ahead <= (answered_at - asked_at) * SECOND:
                return  # what we carry says more: this answer was slow
            if ahead - (answered_at - asked_at) * SECOND >= _STEP:
                self._told = None
        self._read = (database_now, at_ns)

    def now(self) -> Micros:
        """Return the database's wall time, UTC microseconds.

        Raises:
            InvariantError: It was never read.
        """
        now = self._now()
        if self._told is None or now > self._told:
            self._told = now
        return self._told

    def monotonic(self) -> float:
        """Return seconds that never step back."""
        return self._real.monotonic()

    def watch(self, fd: int) -> None:
        """Let `wait` also end when this descriptor is readable."""
        self._real.watch(fd)

    def unwatch(self, fd: int) -> None:
        """Stop watching a descriptor; unknown ones are ignored."""
        self._real.unwatch(fd)

    def wait(self, until: Micros | None) -> set[int]:
        """Block until wall time `until`, a watched descriptor, or a step of the machine's clock.

        Whoever waits looks at `now` again: after a step, and where the machine's clock is fast, it is early.
        """
        if until is None or until <= self.now():
            return self._real.wait(None if until is None else self._real.now())
        # Not from `now`, which may stand still.
        left = math.ceil((until - self._now()) / (1 - _SLOWER))
        return self._real.wait(self._real.now() + left)

    def close(self) -> None:
        """Release what waiting needs."""
        self._real.close()

    def _now(self) -> Micros:
        if self._read is None:
            raise InvariantError("the database's clock was not read yet")
        return self._carried(self._read, self._elapsed_ns())

    def _carried(self, read: tuple[Micros, int], at_ns: int) -> Micros:
        database_now, read_at_ns = read
        return database_now + math.floor((at_ns - read_at_ns) / 1000 * (1 - _SLOWER))
