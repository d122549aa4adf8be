"""What both sides of the SQLite store share: rows in, rows out, and the insertion of a launch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from cronq.errors import DefinitionUnreadable, InvariantError, JobNotFound, RunNotFound
from cronq.model import Attempt, Definition, Micros, Run, State
from cronq.plan import Active, Launch
from cronq.store import queries, rows
from cronq.store.base import DueJob
from cronq.store.connection import Connection, raise_mapped
from cronq.store.location import Place
from cronq.store.presence import Presence

_DEFINITIONS_KEPT = 4096

_INTEGER_END = 2**63
"""SQLite has no number from here on, and asking for one is an error of its own."""

T = TypeVar("T")

Values = Iterable[object] | dict[str, object]


class Ledger:
    """One connection, and the statements that no side owns alone."""

    def __init__(self, connection: Connection, place: Place) -> None:
        self._db = connection
        self._path = place.database
        self._presence = Presence(connection, place.database)
        self._definitions: dict[tuple[int, int], Definition] = {}
        self._unreadable: dict[str, DefinitionUnreadable] = {}

    def definition(self, job_id: int, revision: int) -> Definition:
        """Return the definition that a run was made under; kept, because a revision never changes."""
        known = self._definitions.get((job_id, revision))
        if known is None:
            document, name = self._one(queries.DEFINITION_GET, (job_id, revision))
            known = self._keep_definition(job_id, revision, document, name)
        return known

    def _keep_definition(self, job_id: int, revision: int, document: str | None, name: str) -> Definition:
        if len(self._definitions) >= _DEFINITIONS_KEPT:
            self._definitions.clear()
        known = self._definitions[job_id, revision] = rows.definition_in(document, job_id, name)
        return known

    def unreadable(self) -> list[DefinitionUnreadable]:
        """Return what listings passed over since this was opened."""
        return list(self._unreadable.values())

    def _readable(self, listed: Iterable[rows.Row], read: Callable[[rows.Row], T]) -> list[T]:
        """Return what can be read of a listing; what cannot is remembered for `unreadable`."""
        found = []
        for row in listed:
            try:
                found.append(read(row))
            except DefinitionUnreadable as error:
                self._unreadable[error.job] = error
        return found

    def _insert_entries(self, launch: Launch, now: Micros) -> list[Run]:
        job = launch.job
        inserted = []
        for entry in launch.entries:
            values = rows.run_values(job.id, job.revision, job.definition.priority, entry, now)
            row = self._maybe(queries.RUN_ADD, values)
            # No row: the fire time has one already, from before a watermark was moved back.
            if row is not None:
                inserted.append(rows.run_from_values(row[0], job.name, values))
        started = [run.id for run in inserted if run.state is State.QUEUED]
        if launch.replaces and started:
            self._replace(job.id, started[-1], now)
        return inserted

    def _replace(self, job_id: int, newest: int, now: Micros) -> None:
        reason = f"replaced by run {newest}"
        self._db.execute(queries.RUN_REPLACE_QUEUED, (reason, now, job_id, newest))
        self._db.execute(queries.RUN_REPLACE_RUNNING, (reason, job_id))

    def _run(self, run_id: int) -> Run:
        row = self._maybe(queries.RUN_GET, (run_id,)) if run_id < _INTEGER_END else None
        if row is None:
            raise RunNotFound(f"there is no run {run_id}", hint="all of them: cronq runs")
        return rows.run_from_row(row)

    def _ids_ever(self, names: Sequence[str]) -> list[int]:
        """Return the ids of all jobs that have, or had, these names. Raises: JobNotFound."""
        found = {name: self._all(queries.JOB_IDS, {"name": name}) for name in names}
        unknown = [name for name, ids in found.items() if not ids]
        if unknown:
            raise self._unknown_jobs(unknown)
        return [job_id for ids in found.values() for (job_id,) in ids]

    def _unknown_jobs(self, names: Sequence[str]) -> JobNotFound:
        known = [name for (name,) in self._all(queries.JOB_NAMES)]
        otherwise = "all of them: cronq list" if known else "no jobs yet; add one with `cronq add`"
        message, hint = unknown_names("job", names, known, otherwise)
        return JobNotFound(message, hint=hint)

    def _insert(self, values: dict[str, object]) -> Run:
        (run_id,) = self._one(queries.RUN_ADD, values)
        return self._run(run_id)

    def _one(self, query: str, values: Values = ()) -> rows.Row:
        row = self._maybe(query, values)
        if row is None:
            raise InvariantError("a query that always has a row had none")
        return row

    def _maybe(self, query: str, values: Values = ()) -> rows.Row | None:
        found = self._all(query, values)
        return found[0] if found else None

    def _all(self, query: str, values: Values = ()) -> list[rows.Row]:
        try:
            return self._db.execute(query, values).fetchall()  # type: ignore[arg-type]
        except Exception as error:
            raise_mapped(error, self._path)
            raise


def unknown_names(what: str, names: Sequence[str], known: Sequence[str], otherwise: str) -> tuple[str, str]:
    """Return message and hint about names that there are not; `otherwise` is the hint if none is near."""
    import difflib

    likely = [match for name in names for match in difflib.get_close_matches(name, known, 3, 0.6)]
    hint = "did you mean " + " or ".join(f"`{name}`" for name in dict.fromkeys(likely)) + "?"
    listed = ", ".join(f"`{name}`" for name in names)
    return f"no {what}{'s' * (len(names) > 1)} named {listed}", hint if likely else otherwise


def due_from_row(row: rows.Row) -> DueJob:
    """Return the job of a row of `JOB_COLUMNS`, its two counts, and perhaps the last accounted fire time."""
    queued, running, *accounted_until = row[rows.JOB_WIDTH :]
    return DueJob(rows.job_from_row(row), Active(queued, running), *accounted_until)


def run_and_attempt(row: rows.Row) -> tuple[Run, Attempt | None]:
    """Return what a row of `RUN_COLUMNS` and `ATTEMPT_COLUMNS` holds; None: no attempt yet."""
    attempt = row[rows.RUN_WIDTH :]
    return rows.run_from_row(row), None if attempt[0] is None else rows.attempt_from_row(attempt)
