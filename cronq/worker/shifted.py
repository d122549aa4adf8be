"""Workers whose machine's clock is not the scheduler's: their reports are told in its time."""

from __future__ import annotations

from cronq.model import Micros
from cronq.worker.base import Report, shifted
from cronq.worker.pool import Pool


class ShiftedPool(Pool):
    """Workers that live in the machine's own time, and whose reports speak of another one.

    Attributes:
        offset: What has to be added to the machine's time.
    """

    offset: Micros = 0

    def ahead(self) -> list[str]:
        """Return none: others are told of claims (a portable state, other nodes), or may be free sooner."""
        return []

    def poll(self) -> list[Report]:
        """Return what has happened since the last call."""
        reports = super().poll()
        return [shifted(report, self.offset) for report in reports] if self.offset else reports
