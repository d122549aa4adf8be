"""What one tick is to do. A module of its own: who only looks whether anything is due needs no more."""

from __future__ import annotations

from typing import NamedTuple

from cronq.model import SECOND, Micros
from cronq.store.sqlite_tick import Limits

WAITS_S = 60.0
"""Without a budget, runs that are to start later than this (jitter, retries) are left to the next tick."""
DRAIN_S = 30.0


class Wish(NamedTuple):
    """What one tick is to do.

    Attributes:
        now: The instant that it is about.
        budget_s: Nothing is started after this long; None: there is no bound.
        drain_s: How long what runs then may go on.
        only: Names of the jobs that it is about; empty: all.
        tags: Of those, only jobs with one of these; empty: all.
        max_age_s: See `Limits`.
        slots: Runs at a time.
        offset: How far `now` was from the machine's own time.
    """

    now: Micros
    budget_s: float | None = None
    drain_s: float = DRAIN_S
    only: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    max_age_s: float | None = None
    slots: int = 32
    offset: Micros = 0

    @property
    def limits(self) -> Limits:
        """What the loop may see."""
        waits_s = WAITS_S if self.budget_s is None else self.budget_s
        return Limits(self.now, self.now + round(waits_s * SECOND), self.only, self.tags, self.max_age_s)
