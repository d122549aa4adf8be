"""A clock that jumps to the next event instead of waiting for it."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from typing import NamedTuple

from cronq.errors import InvariantError
from cronq.model import SECOND, Micros


class Window(NamedTuple):
    """From an instant up to, not including, another."""

    start: Micros
    end: Micros


class VirtualClock:
    """`cronq.clock.Clock` for a world in which nothing happens but what was announced to it.

    Attributes:
        wall: Wall time; somebody may step it.
        elapsed: Microseconds that passed since the beginning; never steps.
    """

    def __init__(self, now: Micros) -> None:
        self.wall = now
        self.elapsed = 0
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._order = itertools.count(1)

    def now(self) -> Micros:
        """Return wall time, UTC microseconds."""
        return self.wall

    def monotonic(self) -> float:
        """Return seconds that never step back."""
        return self.elapsed / SECOND

    def watch(self, fd: int) -> None:
        """Watch nothing: there is nobody outside."""

    def unwatch(self, fd: int) -> None:
        """Watch nothing."""

    def close(self) -> None:
        """Release nothing."""

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Call the action when so much time has passed (by the monotonic clock)."""
        heapq.heappush(self._events, (self.elapsed + round(seconds * SECOND), next(self._order), action))

    def at(self, wall: Micros, action: Callable[[], None]) -> None:
        """Call the action at this wall time, unless the wall clock is stepped before it."""
        self.after(max(0, wall - self.wall) / SECOND, action)

    def first_at(self, wall: Micros, action: Callable[[], None]) -> None:
        """Call the action at this wall time, before all else that happens then."""
        at = self.elapsed + max(0, wall - self.wall)
        heapq.heappush(self._events, (at, -next(self._order), action))

    def step(self, seconds: float) -> None:
        """Set the wall clock, as somebody might; no time passes."""
        self.wall += round(seconds * SECOND)

    def wait(self, until: Micros | None) -> set[int]:
        """Jump to wall time `until`, or to the next event if that is earlier, and let it happen."""
        target = None if until is None else self.elapsed + max(0, until - self.wall)
        if self._events and (target is None or self._events[0][0] <= target):
            at, _, action = heapq.heappop(self._events)
            self._pass(max(0, at - self.elapsed))
            action()
        elif target is not None:
            self._pass(target - self.elapsed)
        else:
            raise InvariantError("nothing will ever happen again")
        return set()

    def _pass(self, micros: Micros) -> None:
        self.elapsed += micros
        self.wall += micros
