"""What retention does to the SQLite store: find how far the history reaches, and remove what is beyond."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cronq.model import Micros
from cronq.store import queries_retention as queries
from cronq.store.base import JobHistory
from cronq.store.connection import transaction
from cronq.store.sqlite_rows import Ledger

if TYPE_CHECKING:
    from cronq.retention import Row


class RetentionSide(Ledger):
    """The methods of `Store` that the sweep and `cronq prune` call."""

    def kept_jobs(self, *, after: int = 0, limit: int) -> list[JobHistory]:
        """Return jobs that have limits, removed ones too, by number: the page after one."""
        return [JobHistory(*row) for row in self._all(queries.JOB_KEPT, (after, limit))]

    def jobs_ever(self, *, after: int = 0, limit: int) -> list[JobHistory]:
        """Return all jobs that there are or were, by number: the page after one."""
        return [JobHistory(*row) for row in self._all(queries.JOB_EVER, (after, limit))]

    def histories(self, names: Sequence[str]) -> list[JobHistory]:
        """Return the jobs that have, or had, these names."""
        found = []
        for job_id in self._ids_ever(names):
            found += [JobHistory(*row) for row in self._all(queries.JOB_HISTORY, (job_id,))]
        return found

    def nth_done(self, job_id: int, n: int, *, before_id: int) -> int | None:
        """Return the n-th newest done run of a job before a number, counted from 0."""
        row = self._maybe(queries.RUN_NTH, (job_id, before_id, n))
        return None if row is None else int(row[0])

    def logged_runs(self, job_id: int, *, before_id: int, limit: int) -> list[tuple[int, int]]:
        """Return (number, attempts) of a job's executed runs that are done, newest first."""
        return [
            (run_id, attempts)
            for run_id, attempts in self._all(queries.RUN_LOGGED, (job_id, before_id, limit))
        ]

    def oldest_runs(self, job_id: int, *, after_id: int, limit: int) -> list[Row]:
        """Return a job's runs of any state, oldest first: the page after a number."""
        from cronq.retention import Row  # most commands have no use for it

        return [Row(*row) for row in self._all(queries.RUN_OLDEST, (job_id, after_id, limit))]

    def spared_runs(self, job_id: int) -> frozenset[int]:
        """Return the runs of a job that stay, however old."""
        row = self._one(queries.RUN_SPARED, {"job_id": job_id})
        return frozenset(run_id for run_id in row if run_id is not None)

    def prune(self, job_id: int, run_ids: Sequence[int]) -> int:
        """Remove done runs of a job, and note how far its past can be proved from now on."""
        with transaction(self._db, self._path):
            removed: list[Micros | None] = []
            for run_id in run_ids:
                removed += [at for (at,) in self._all(queries.RUN_REMOVE, (run_id, job_id))]
            last = max((at for at in removed if at is not None), default=None)
            if last is not None:
                self._db.execute(queries.JOB_PRUNED, {"id": job_id, "at": last + 1})
        return len(removed)

    def forget_job(self, job_id: int) -> bool:
        """Remove a tombstone that had limits, if no run is left of it."""
        with transaction(self._db, self._path):
            return self._db.execute(queries.JOB_FORGET, (job_id,)).rowcount == 1

    def needs_logs_of(self, first_id: int, last_id: int) -> bool:
        """Return whether runs with these numbers exist, or may come to exist."""
        exists, newest = self._one(queries.RUN_BETWEEN, {"first": first_id, "last": last_id})
        return bool(exists) or newest is None or newest <= last_id

    def limited_jobs(self) -> int:
        """Return how many jobs have limits."""
        (count,) = self._one(queries.JOB_KEPT_COUNT)
        return int(count)
