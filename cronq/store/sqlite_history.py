"""What was in force when, what is recorded of it, and which schedulers were there: for `audit` and `why`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from cronq.audit import Recorded
from cronq.errors import JobNotFound, StoreCorrupt
from cronq.model import Definition, Micros
from cronq.plan import UNCOMPUTABLE
from cronq.store import history_queries as queries
from cronq.store import rows
from cronq.store.base import Life, Past, Revision, Tries
from cronq.store.connection import mapped_errors, transaction
from cronq.store.documents import definition_from_document
from cronq.store.sqlite_people import PeopleSide

KEPT_LIVES = 1000
"""So many schedulers are remembered; a machine that restarts one an hour has six weeks of them."""

_FETCHED = 1000


class HistorySide(PeopleSide):
    """The methods of `Store` that look back."""

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """See the store as it is at one instant, for as long as the block lasts."""
        with mapped_errors(self._path):
            self._db.execute("BEGIN")
            try:
                yield
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")

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
        values = {"job_id": job_id, "after": after, "uncomputable": UNCOMPUTABLE}
        with mapped_errors(self._path), contextlib.closing(self._db.cursor()) as cursor:
            cursor.execute(queries.PAST_RECORDED, values)
            while some := cursor.fetchmany(_FETCHED):
                yield from map(Recorded._make, some)

    def misfits(self, job_id: int, since: Micros) -> list[Tries]:
        """Return the runs queued at or after an instant whose attempts do not seem to fit."""
        return [Tries(*row) for row in self._all(queries.PAST_MISFITS, (job_id, since))]

    def scheduler_started(self, *, pid: int, boot_id: str, version: str, now: Micros) -> int:
        """Remember that a scheduler began its life; return its number."""
        with transaction(self._db, self._path):
            (life,) = self._one(queries.LIFE_ADD, (now, pid, boot_id, version))
            self._db.execute(queries.LIFE_FORGET, (life - KEPT_LIVES,))
        return int(life)

    def scheduler_stopped(self, life: int, *, now: Micros) -> None:
        """Remember that a scheduler ended its life by itself."""
        with transaction(self._db, self._path):
            self._db.execute(queries.LIFE_END, (now, life))

    def lives(self, start: Micros, end: Micros) -> list[Life]:
        """Return the schedulers that may have lived between two instants, and the last before."""
        return [Life(*row) for row in self._all(queries.LIFE_LIST, {"start": start, "end": end})]


def _definition(document: str) -> Definition | None:
    try:
        return definition_from_document(document)
    except StoreCorrupt:
        return None
