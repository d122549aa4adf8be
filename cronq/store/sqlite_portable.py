"""A ledger as a portable state, and a ledger that is made of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cronq.model import UNSTARTED, Definition, Job, Micros, Outcome, Run, State, Trigger
from cronq.portable.document import KEPT, Document, DoneRun, JobState, OpenRun, firing_of, kept
from cronq.store import queries_portable as own
from cronq.store import rows
from cronq.store.connection import transaction
from cronq.store.documents import document_from_definition
from cronq.store.sqlite import SqliteStore

ELSEWHERE = "on another machine; its portable state tells of it"
"""Reason of rows that were made from a state."""
_FIRE_TIMES = frozenset({Trigger.SCHEDULE, Trigger.CATCH_UP})


def digest_of(definition: Definition) -> str:
    """Return a digest of a definition, without what differs from one checkout to another."""
    import hashlib  # late: it is slow to come, and a tick in which nothing is due needs none

    document = document_from_definition(definition._replace(cwd="/", path=""))
    return hashlib.sha256(document.encode()).hexdigest()[:16]


class PortableStore(SqliteStore):
    """The store, for those who take its cursor elsewhere, or bring one from there."""

    def describe(self) -> Document:
        """Return all jobs, their newest done runs, and what is open."""
        return Document({job.name: self._described(job, ()) for job in self.all_jobs()}, self.runs_given())

    def all_jobs(self) -> list[Job]:
        """Return all jobs that can be read, by name."""
        return self._readable(self._all(own.PORTABLE_JOBS), rows.job_from_row)

    def described(self, names: Sequence[str], before: Document) -> Document:
        """Return a state in which these jobs are described anew; those that were removed are gone."""
        known = dict(before.jobs)
        for name in names:
            found = self._due_or_none(name)
            if found is None:
                known.pop(name, None)
            else:
                earlier = known.get(name)
                known[name] = self._described(found, earlier.done if earlier else ())
        return Document(known, self.runs_given())

    def runs_given(self) -> int:
        """Return the highest run number that was ever given."""
        (number,) = self._one(own.PORTABLE_RUNS)
        return int(number)

    def _due_or_none(self, name: str) -> Job | None:
        from cronq.errors import JobNotFound

        try:
            return self.job(name)
        except JobNotFound:
            return None

    def _described(self, job: Job, known: Sequence[DoneRun]) -> JobState:
        found = [rows.run_from_row(row) for row in self._all(own.PORTABLE_DONE, (job.id, KEPT))]
        if not known and len(found) == KEPT:
            for outcome in Outcome:
                found += [rows.run_from_row(row) for row in self._all(own.PORTABLE_LAST, (job.id, outcome))]
        open_runs = []
        for row in self._all(own.PORTABLE_OPEN, {"job_id": job.id}):
            run = rows.run_from_row(row)
            claimed_at = row[rows.RUN_WIDTH + 4] if run.state is State.RUNNING else None
            open_runs.append(_open_from(run, claimed_at))
        return JobState(
            job.name,
            digest_of(job.definition),
            firing_of(job.definition),
            job.next_fire_at,
            job.paused_at,
            kept([*known, *map(_done_from, found)]),
            tuple(open_runs),
        )

    def plant(self, document: Document, definitions: Mapping[str, Definition], now: Micros) -> None:
        """Make this ledger one of a state, in one transaction; whatever it held is gone.

        Args:
            document: The state.
            definitions: Of each of its jobs, with the fire times that the state's cursor belongs to.
            now: Wall time.
        """
        with transaction(self._db, self._path):
            for statement in own.PLANT_EMPTY:
                self._db.execute(statement)
            for name, job in document.jobs.items():
                self._plant_job(job, definitions[name], now)
            self._db.execute(own.PLANT_SEQUENCE[0])
            self._db.execute(own.PLANT_SEQUENCE[1], (document.runs,))
        self._definitions.clear()

    def _plant_job(self, job: JobState, definition: Definition, now: Micros) -> None:
        # The ledger begins just before the cursor; what is older is there for those who ask for the last run.
        since = now if job.cursor is None else job.cursor - 1
        (job_id,) = self._one(
            own.PLANT_JOB,
            (
                *(job.name, job.cursor, definition.max_running, definition.keep, rows.locks_text(definition)),
                *(definition.queue, since, since, job.paused_at),
            ),
        )
        from cronq.store.queries import DEFINITION_ADD, LOCK_ADD

        values = (job_id, 1, since, document_from_definition(definition), None)
        self._db.execute(DEFINITION_ADD, values)
        for lock in definition.locks:
            self._db.execute(LOCK_ADD, (lock, 1, now))
        for done in job.done:
            self._plant_done(job_id, done, definition.priority)
        for run in job.open:
            self._plant_open(job_id, run, definition)

    def _plant_done(self, job_id: int, run: DoneRun, priority: int) -> None:
        values = _values(job_id, run, priority) | {
            "last_fire_at": run.last_at if run.trigger in _FIRE_TIMES else None,
            "fire_count": run.fire_count,
            "state": State.DONE,
            "outcome": run.outcome,
            "reason": ELSEWHERE,
            "available_at": run.at,
            "failures": 0 if run.outcome in {Outcome.SUCCESS, *UNSTARTED} else min(1, run.attempt),
            "started_at": run.started_at,
            "finished_at": run.finished_at,
        }
        self._db.execute(own.PLANT_RUN, values)
        started = run.started_at or run.finished_at
        for number in range(1, run.attempt + 1):
            outcome = run.outcome if number == run.attempt else Outcome.FAILURE
            code = 0 if outcome is Outcome.SUCCESS else None
            end = (started, run.finished_at, outcome, ELSEWHERE, code)
            self._db.execute(own.PLANT_ATTEMPT, (run.run_id, number, started, *end))

    def _plant_open(self, job_id: int, run: OpenRun, definition: Definition) -> None:
        is_running = run.state is State.RUNNING
        values = _values(job_id, run, definition.priority) | {
            "state": run.state,
            "available_at": run.available_at,
            "failures": run.failures,
            "worker": "elsewhere" if is_running else None,
        }
        self._db.execute(own.PLANT_RUN, values)
        ended = run.attempt - 1 if is_running else run.attempt
        for number in range(1, ended + 1):
            end = (None, run.queued_at, Outcome.FAILURE, ELSEWHERE, None)
            self._db.execute(own.PLANT_ATTEMPT, (run.run_id, number, run.queued_at, *end))
        if is_running:
            begun = (run.run_id, run.attempt, run.claimed_at, None, None, None, "", None)
            self._db.execute(own.PLANT_ATTEMPT, begun)
            for lock in definition.locks:
                from cronq.store.queries import HOLD_ADD_RUN

                self._db.execute(HOLD_ADD_RUN, (lock, run.run_id, run.queued_at, run.claimed_at))


def _values(job_id: int, run: DoneRun | OpenRun, priority: int) -> dict[str, object]:
    fire_at = run.at if run.trigger in _FIRE_TIMES else None
    return {
        "id": run.run_id,
        "job_id": job_id,
        "trigger": run.trigger,
        "logical_at": run.at,
        "fire_at": fire_at,
        "last_fire_at": fire_at,
        "fire_count": 1,
        "outcome": None,
        "reason": "",
        "priority": priority,
        "queued_at": run.queued_at,
        "attempt": run.attempt,
        "worker": None,
        "started_at": None,
        "finished_at": None,
    }


def _done_from(run: Run) -> DoneRun:
    return DoneRun(
        run.logical_at if run.fire_at is None else run.fire_at,
        run.id,
        run.queued_at,
        run.trigger,
        run.outcome or Outcome.ABANDONED,
        run.finished_at or run.queued_at,
        run.attempt,
        run.started_at,
        run.logical_at if run.last_fire_at is None else run.last_fire_at,
        run.fire_count,
    )


def _open_from(run: Run, claimed_at: Micros | None) -> OpenRun:
    return OpenRun(
        run.logical_at if run.fire_at is None else run.fire_at,
        run.id,
        run.queued_at,
        run.trigger,
        run.state,
        run.available_at,
        run.attempt,
        run.failures,
        claimed_at,
    )
