"""Which nodes are lost: those of which nothing was heard for as long as a lease, by the clock of who watches.

A lease is written by the wall clock of the database, which may be set, or be another one after a fail-over. A
node itself measures its lease by a clock that nobody sets (`cronq.worker.trust`). So do those who watch it:
they give it up when its last beat has been the last one for a whole lease, from when they first saw it.
"""

from __future__ import annotations

from collections.abc import Iterable

from cronq.model import Micros


class LostNodes:
    """What one node has seen of the others."""

    def __init__(self, lease_s: float) -> None:
        self._lease_ns = round(lease_s * 1e9)
        self._seen: dict[int, tuple[Micros, int]] = {}

    def look(self, beats: Iterable[tuple[int, Micros]], at_ns: int) -> set[int]:
        """Return the numbers of those that are lost.

        Args:
            beats: The number of each node that is not given up yet, and when it renewed its lease last, by
                whatever clock: only whether it is another instant than the one before matters.
            at_ns: When that was asked, by `cronq.clock.boottime_ns`, or later.
        """
        before, self._seen = self._seen, {}
        lost = set()
        for number, beat_at in beats:
            seen_at, since_ns = before.get(number, (beat_at, at_ns))
            if seen_at != beat_at:
                since_ns = at_ns
            self._seen[number] = (beat_at, since_ns)
            if at_ns - since_ns >= self._lease_ns:
                lost.add(number)
        return lost
