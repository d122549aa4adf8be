"""What was in force when, what is recorded of it, and which schedulers were there: for `audit` and `why`."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from cronq.errors import JobNotFound, StoreCorrupt
from cronq.model import Definition, Micros, Run
from cronq.plan import UNCOMPUTABLE
from cronq.store import queries_history as queries
from cronq.store import rows
from cronq.store.base import Misjudged, Past, Revision, Tries
from cronq.store.connection import mapped_errors, snapshot, transaction
from cronq.store.documents import definition_from_document
from cronq.store.sqlite_people import PeopleSide

if TYPE_CHECKING:
    from cronq.audit import Recorded
    from cronq.overdue import Success
    from cronq.why.facts import Bystander, Life

KEPT_LIVES = 1000
"""So many schedulers are remembered; a machine that restarts one an hour has six weeks of them."""

LOOKED_AT = 2000
"""So many runs before another one are looked at to find those that were running beside it."""

_FETCHED = 1000


class HistorySide(PeopleSide):
    """The methods of `Store` that look back."""

    def reading(self) -> AbstractContextManager[None]:
        """See the store as it is at one instant, for as long as the block lasts."""
        return snapshot(self._db, self._path)

    def ever(self, names: Sequence[str] = ()) -> list[int]:
        """Return the ids of all jobs that have, or had, these names."""
        return self._ids_ever(names) if names else [job_id for (job_id,) in self._all(queries.PAST_IDS)]

    def past(self, job_id: int) -> Past:
        """Return what was ever decided about a job."""
        row = self._maybe(queries.PAST_JOB, (job_id,))
        if row is None:
            raise JobNotFound(f"there is no job with id {job_id} any more")
        revisions = tuple(
            Revision(revision, since, _definition(document), tzdata)
            for revision, since, document, tzdata in self._all(queries.PAST_REVISIONS, (job_id,))
        )
        return Past(rows.job_from_row(row), revisions, row[rows.JOB_WIDTH], row[rows.JOB_WIDTH + 1])

    def recorded(self, job_id: int, after: Micros) -> Iterator[Recorded]:
        """Yield the rows that account for fire times after an instant, in their order."""
        from cronq.audit import Recorded

        values = {"job_id": job_id, "after": after, "uncomputable": UNCOMPUTABLE}
        with mapped_errors(self._path), contextlib.closing(self._db.cursor()) as cursor:
            cursor.execute(queries.PAST_RECORDED, values)
            while some := cursor.fetchmany(_FETCHED):
                yield from map(Recorded._make, some)

    def misfits(self, job_id: int, since: Micros) -> list[Tries]:
        """Return the runs queued at or after an instant whose attempts do not seem to fit."""
        return [Tries(*row) for row in self._all(queries.PAST_MISFITS, (job_id, since))]

    def misjudged(
        self, job_id: int, since: Micros, revisions: Collection[int], codes: Collection[int]
    ) -> list[Misjudged]:
        """Return attempts whose exit codes say something else."""
        values = {
            "job_id": job_id,
            "since": since,
            "revisions": json.dumps(list(revisions)),
            "codes": json.dumps(list(codes)),
        }
        return [Misjudged(*row) for row in self._all(queries.PAST_MISJUDGED, values)]

    def row_at(self, job_id: int, at: Micros) -> Run | None:
        """Return the row that accounts for a fire time."""
        run = self._maybe_run(queries.PAST_ROW_AT, (job_id, at))
        return run if run is not None and (run.last_fire_at or at) >= at else None

    def row_after(self, job_id: int, at: Micros) -> Run | None:
        """Return the first row about fire times after an instant."""
        return self._maybe_run(queries.PAST_ROW_AFTER, (job_id, at))

    def newest_success(self, job_id: int) -> Success | None:
        """Return what a job's newest successes were about at the latest, and when the last of them ended."""
        from cronq.overdue import Success

        about, ended_at = self._one(queries.PAST_SUCCESS, (job_id,))
        return None if about is None or ended_at is None else Success(about, ended_at)

    def newest_run(self, job_id: int) -> Run | None:
        """Return the newest run of a job, made for a fire time or not."""
        return self._maybe_run(queries.PAST_NEWEST, (job_id,))

    def _maybe_run(self, query: str, values: tuple[int, ...]) -> Run | None:
        row = self._maybe(query, values)
        return None if row is None else rows.run_from_row(row)

    def active_runs(self, job_id: int) -> list[Run]:
        """Return a job's runs that are not done, oldest first."""
        found = self._all(queries.PAST_ACTIVE, {"job_id": job_id})
        return [rows.run_from_row(row) for row in found]

    def bystanders(self, run_id: int, at: Micros) -> list[Bystander]:
        """Return runs that were made before this one and were not done at an instant, newest first."""
        from cronq.why.facts import Bystander

        values = {"run_id": run_id, "first": run_id - LOOKED_AT, "at": at}
        return [
            Bystander(number, job, queued_at, started_at, tuple(json.loads(locks or "[]")))
            for number, job, queued_at, started_at, locks in self._all(queries.PAST_BYSTANDERS, values)
        ]

    def scheduler_started(self, *, pid: int, boot_id: str, version: str, slots: int, now: Micros) -> int:
        """Remember that a scheduler began its life; return its number."""
        with transaction(self._db, self._path):
            (life,) = self._one(queries.LIFE_ADD, (now, pid, boot_id, version, slots))
            self._db.execute(queries.LIFE_FORGET, (life - KEPT_LIVES,))
        return int(life)

    def scheduler_stopped(self, life: int, *, now: Micros) -> None:
        """Remember that a scheduler ended its life by itself."""
        with transaction(self._db, self._path):
            self._db.execute(queries.LIFE_END, (now, life))

    def lives(self, start: Micros, end: Micros) -> list[Life]:
        """Return the schedulers that may have lived between two instants, and the last before."""
        from cronq.why.facts import Life

        return [Life(*row) for row in self._all(queries.LIFE_LIST, {"start": start, "end": end})]


def _definition(document: str) -> Definition | None:
    try:
        return definition_from_document(document)
    except StoreCorrupt:
        return None
