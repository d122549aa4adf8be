"""Workers whose machine's clock is not the scheduler's: their reports are told in its time."""

from __future__ import annotations

from cronq.model import AttemptEnd, AttemptStart, Micros
from cronq.worker.base import Report
from cronq.worker.pool import Pool


class ShiftedPool(Pool):
    """Workers that live in the machine's own time, and whose reports speak of another one.

    Attributes:
        offset: What has to be added to the machine's time.
    """

    offset: Micros = 0

    def poll(self) -> list[Report]:
        """Return what has happened since the last call."""
        reports = super().poll()
        return [_shifted(report, self.offset) for report in reports] if self.offset else reports


def _shifted(report: Report, by: Micros) -> Report:
    if isinstance(report, AttemptStart):
        return report._replace(started_at=report.started_at + by)
    if isinstance(report, AttemptEnd):
        return report._replace(
            finished_at=report.finished_at + by,
            started_at=None if report.started_at is None else report.started_at + by,
            retry_at=None if report.retry_at is None else report.retry_at + by,
        )
    return report
