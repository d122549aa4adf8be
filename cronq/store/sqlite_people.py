"""What people do to the SQLite store: define, change, trigger, cancel, and look."""

from __future__ import annotations

from collections.abc import Sequence

from cronq.errors import IllegalTransition, JobExists
from cronq.model import Attempt, Job, Micros, Run, State, Trigger
from cronq.named_locks import LockWish
from cronq.store import queries, rows
from cronq.store.base import (
    CalendarText,
    DueJob,
    JobChange,
    JobOverview,
    NewJob,
    RunDetail,
    RunQuery,
    Totals,
    text_after,
)
from cronq.store.connection import snapshot, transaction
from cronq.store.documents import document_from_definition
from cronq.store.sqlite_locks import LockSide
from cronq.store.sqlite_rows import due_from_row, run_and_attempt

_NO_LIMIT = 2**62


class _Outrun(Exception):
    """Somebody else changed the job first; rolls the transaction back."""


class PeopleSide(LockSide):
    """The methods of `Store` that commands call."""

    def add_job(self, new: NewJob, *, now: Micros) -> Job:
        """Store a job."""
        with transaction(self._db, self._path):
            return self._add(new, now)

    def _add(self, new: NewJob, now: Micros) -> Job:
        d = new.definition
        document = document_from_definition(d)
        try:
            (job_id,) = self._db.execute(
                queries.JOB_ADD,
                (
                    *(new.name, new.next_fire_at, d.max_running, d.keep, rows.locks_text(d)),
                    *(d.queue, new.at_startup, now, now, new.paused_at, new.origin),
                ),
            ).fetchone()
        except Exception as error:
            if not self._db.is_taken(error):
                raise
            raise JobExists(
                f"a job named `{new.name}` exists already",
                hint=f"change it with `cronq set {new.name}`, or add --replace",
            ) from error
        self._db.execute(queries.DEFINITION_ADD, (job_id, 1, now, document, new.tzdata))
        self._wish_locks(job_id, d.locks, new.locks, now)
        return Job(job_id, new.name, 1, d, now, now, new.next_fire_at, new.paused_at, origin=new.origin)

    def apply(
        self,
        new: Sequence[NewJob],
        changes: Sequence[JobChange],
        *,
        locks: Sequence[LockWish] = (),
        calendars: Sequence[CalendarText] = (),
        now: Micros,
    ) -> bool:
        """Add and change jobs, locks and calendars, all or nothing."""
        try:
            with transaction(self._db, self._path):
                for wish in locks:
                    self._db.execute(queries.LOCK_SET, (wish.name, wish.capacity or 1, now))
                for calendar in calendars:
                    self._set_calendar(calendar, now)
                for change in changes:
                    self._change(change, now)
                for one in new:
                    self._add(one, now)
        except (_Outrun, JobExists):
            return False
        return True

    def change_jobs(
        self, changes: Sequence[JobChange], *, now: Micros, calendar: CalendarText | None = None
    ) -> list[Job] | None:
        """Change jobs, all or none, and with them the calendar that they use."""
        try:
            with transaction(self._db, self._path):
                if calendar is not None:
                    self._set_calendar(calendar, now)
                for change in changes:
                    self._change(change, now)
                return [self._job(change.settled.job.name, change, now) for change in changes]
        except _Outrun:
            return None

    def _change(self, change: JobChange, now: Micros) -> None:
        job, definition = change.settled.job, change.definition
        guarded = self._db.execute(
            queries.JOB_CHANGE,
            {
                "bump": definition is not None,
                "next_fire_at": None if change.removed else change.settled.next_fire_at,
                "paused_at": change.paused_at,
                "removed_at": now if change.removed else None,
                "now": now,
                "max_running": definition.max_running if definition else None,
                "keep": definition.keep if definition else None,
                "locks": rows.locks_text(definition) if definition else None,
                "queue": definition.queue if definition else None,
                "at_startup": change.at_startup,
                "origin": change.origin or job.origin,
                "id": job.id,
                "revision": job.revision,
                "seen": job.next_fire_at,
                "paused_seen": job.paused_at,
            },
        )
        if guarded.rowcount != 1:
            raise _Outrun
        self._insert_entries(change.settled, now)
        if definition is not None:
            document = document_from_definition(definition)
            since = now if change.since is None else change.since
            values = (job.id, job.revision + 1, since, document, change.tzdata)
            self._db.execute(queries.DEFINITION_ADD, values)
            self._wish_locks(job.id, definition.locks, change.locks, now)
        if change.removed:
            self._db.execute(queries.RUN_DROP_QUEUED, (now, job.id))

    def _job(self, name: str, change: JobChange, now: Micros) -> Job:
        if not change.removed:
            return self.job(name)
        job = change.settled.job
        return Job(
            job.id,
            name,
            job.revision,
            job.definition,
            job.created_at,
            now,
            paused_at=job.paused_at,
            removed_at=now,
        )

    def remove_unreadable(self, job_id: int, *, now: Micros) -> None:
        """Remove a job whose definition cannot be read."""
        with transaction(self._db, self._path):
            values = {"id": job_id, "now": now, "reason": "its schedule could not be computed"}
            self._db.execute(queries.RUN_ADD_UNREADABLE, values)
            self._db.execute(queries.JOB_REMOVE_UNREADABLE, values)
            self._db.execute(queries.RUN_DROP_QUEUED, (now, job_id))

    def job(self, name: str) -> Job:
        """Return one job."""
        return self.due([name])[0].job

    def named_jobs(self, names: Sequence[str]) -> list[Job]:
        """Return jobs in the order of their names here."""
        return [due.job for due in self.due(names)]

    def due(self, names: Sequence[str]) -> list[DueJob]:
        """Return the named jobs with their active runs."""
        if len(names) == 1:
            return self._due(names)
        with snapshot(self._db, self._path):
            return self._due(names)

    def _due(self, names: Sequence[str]) -> list[DueJob]:
        found = [(name, self._maybe(queries.JOB_BY_NAME, (name,))) for name in names]
        unknown = [name for name, row in found if row is None]
        if unknown:
            raise self._unknown_jobs(unknown)
        return [due_from_row(row) for _, row in found if row is not None]

    def overviews(
        self, names: Sequence[str] = (), *, recent: int = 12, limit: int | None = None
    ) -> list[JobOverview]:
        """Return jobs by name with their newest done runs."""
        with snapshot(self._db, self._path):
            if names:
                jobs = self._due(names)
            else:
                listed = self._all(queries.JOB_LIST, (_NO_LIMIT if limit is None else limit,))
                jobs = self._readable(listed, due_from_row)
            return [self._overview(due, recent) for due in jobs]

    def _overview(self, due: DueJob, recent: int) -> JobOverview:
        done = self._all(queries.RUN_RECENT, (due.job.id, recent))
        since = None
        if due.active.running:
            (since,) = self._one(queries.RUN_RUNNING_SINCE, (due.job.id,))
        history = tuple((rows.run_from_row(row), row[rows.RUN_WIDTH]) for row in done)
        return JobOverview(due.job, due.active, history, since)

    def trigger(self, names: Sequence[str], *, now: Micros) -> list[Run]:
        """Queue one run of each job now."""
        with transaction(self._db, self._path):
            jobs = self.named_jobs(names)
            return [
                self._insert(
                    rows.queued_values(
                        job.id, job.revision, job.definition.priority, Trigger.MANUAL, now, logical_at=now
                    )
                )
                for job in jobs
            ]

    def cancel(self, run_id: int, *, reason: str, now: Micros) -> Run:
        """End a queued run as cancelled, or ask for a running one to be stopped."""
        with transaction(self._db, self._path):
            run = self._run(run_id)
            if run.state is State.DONE:
                raise IllegalTransition(
                    f"run {run_id} of `{run.job}` is done already ({run.outcome})",
                    hint=f"run it again with `cronq retry {run_id}`",
                )
            if run.state is State.QUEUED:
                self._db.execute(queries.RUN_CANCEL_QUEUED, (reason, now, run_id))
            else:
                self._db.execute(queries.RUN_ASK_STOP, (reason, run_id))
            return self._run(run_id)

    def retry(self, run_ids: Sequence[int], *, now: Micros) -> list[Run]:
        """Queue a new run about the same instant as each of these, all or none."""
        with transaction(self._db, self._path):
            return [self._retry(run_id, now) for run_id in run_ids]

    def _retry(self, run_id: int, now: Micros) -> Run:
        old = self._run(run_id)
        if old.state is not State.DONE:
            raise IllegalTransition(
                f"run {run_id} of `{old.job}` is still {old.state}",
                hint=f"stop it first with `cronq cancel {run_id}`",
            )
        # The present definition, not the old one: a retry by hand usually follows a repair of the job.
        job = self.job(old.job)
        return self._insert(
            rows.queued_values(
                job.id, job.revision, job.definition.priority, Trigger.MANUAL, now, logical_at=old.logical_at
            )
        )

    def run(self, run_id: int) -> RunDetail:
        """Return a run with its attempts."""
        with snapshot(self._db, self._path):
            run = self._run(run_id)
            attempts = self._all(queries.ATTEMPT_LIST, (run_id,))
        return RunDetail(run, tuple(rows.attempt_from_row(row) for row in attempts))

    def runs(self, query: RunQuery) -> list[tuple[Run, Attempt | None]]:
        """Return runs, newest first, each with its last attempt."""
        conditions, values = _conditions(query, self._ids_ever(query.job_names))
        # The few that are not done have indexes of their own; + keeps SQLite from walking all in order.
        order = "r.id" if query.state in {None, State.DONE} else "+r.id"
        listed = self._all(
            f"SELECT {queries.RUN_COLUMNS}, {queries.ATTEMPT_COLUMNS} {queries.RUN_FROM}"
            " LEFT JOIN attempt a ON a.run_id = r.id AND a.attempt = r.attempt"
            f" WHERE {' AND '.join(conditions)} ORDER BY {order} DESC LIMIT ?",
            (*values, query.limit),
        )
        return [run_and_attempt(row) for row in listed]

    def calendars(self) -> dict[str, str]:
        """Return the named calendars' canonical texts, by name."""
        return dict(self._all(queries.CALENDAR_LIST))

    def set_calendar(self, name: str, text: str, *, now: Micros) -> None:
        """Store a named calendar, or what it is from now on."""
        with transaction(self._db, self._path):
            self._set_calendar(text_after(self.calendar_texts([name]), name, text, now), now)

    def _set_calendar(self, calendar: CalendarText, now: Micros) -> None:
        self._db.execute(queries.CALENDAR_SET, (calendar.name, calendar.text, now))
        self._db.execute(queries.CALENDAR_TEXT_ADD, calendar)

    def remove_calendar(self, name: str, *, now: Micros) -> bool:
        """Forget a named calendar; return whether there was one."""
        with transaction(self._db, self._path):
            was_there = self._db.execute(queries.CALENDAR_REMOVE, (name,)).rowcount == 1
            if was_there:
                removed = text_after(self.calendar_texts([name]), name, None, now)
                self._db.execute(queries.CALENDAR_TEXT_ADD, removed)
        return was_there

    def calendar_texts(self, names: Sequence[str]) -> list[CalendarText]:
        """Return every text that calendars of these names ever had, oldest first."""
        found = [row for name in names for row in self._all(queries.CALENDAR_TEXTS, (name,))]
        return [CalendarText(*row) for row in found]

    def scheduled_jobs(self, *, after: str = "", limit: int = 500) -> list[Job]:
        """Return jobs that have a watermark, by name: the page after a name."""
        return self._readable(self._all(queries.JOB_SCHEDULED, (after, limit)), rows.job_from_row)

    def totals(self) -> Totals:
        """Return counts over the whole store."""
        return Totals(*self._one(queries.TOTALS))


def _conditions(query: RunQuery, job_ids: Sequence[int]) -> tuple[list[str], list[object]]:
    """Return the WHERE terms of a listing, and their values in order."""
    terms, values = ["TRUE"], list[object]()
    if query.job_names:
        terms.append(f"r.job_id IN ({_places(job_ids)})")
        values += job_ids
    if query.state is not None:
        terms.append("r.state = ?")
        values.append(query.state)
    if query.outcomes:
        terms.append(f"r.outcome IN ({_places(query.outcomes)})")
        values += query.outcomes
    if query.since is not None:
        terms.append("r.queued_at >= ?")
        values.append(query.since)
    if query.before_id is not None:
        terms.append("r.id < ?")
        values.append(query.before_id)
    return terms, values


def _places(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))
