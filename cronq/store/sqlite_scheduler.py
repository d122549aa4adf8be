"""What the scheduler does to the SQLite store: launch, claim, record, and find out what is left."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from contextlib import AbstractContextManager

from cronq.errors import DefinitionUnreadable, StoreCorrupt
from cronq.model import (
    AttemptEnd,
    AttemptKey,
    AttemptStart,
    Claim,
    Command,
    CommandKind,
    Definition,
    Micros,
    Run,
    State,
    Trigger,
)
from cronq.named_locks import LockBook
from cronq.plan import Launch
from cronq.store import queries, rows
from cronq.store.base import DueJob, Held
from cronq.store.connection import group, mapped_errors, transaction
from cronq.store.sqlite_locks import LockSide
from cronq.store.sqlite_rows import due_from_row

CHECK_MAX_BYTES = 64 * 1024 * 1024
"""`quick_check` reads about 1 GB a second; a start must not wait for more than a blink."""

_IN_VAIN = 16
"""Runs of jobs that are known to be full that are looked at one by one before the query is asked again."""
UNREADABLE = "its definition cannot be read"
_UNKNOWN = Definition(Command(CommandKind.ARGV, ("unknown",)), schedule="")


class SchedulerSide(LockSide):
    """The methods of `Store` that the scheduler, and a worker that lost it, call.

    Attributes:
        left_alone: Jobs of which no run is claimed, by number.
    """

    left_alone: Collection[int] = ()

    def due_jobs(self, now: Micros, *, limit: int) -> list[DueJob]:
        """Return jobs with `next_fire_at <= now`, earliest first."""
        return [due_from_row(row) for row in self._all(queries.JOB_DUE, (now, limit))]

    def durations(self, job_id: int, *, limit: int) -> list[float]:
        """Return how long a job's newest successes took, seconds, newest first."""
        return [duration for (duration,) in self._all(queries.RUN_DURATIONS, (job_id, limit))]

    def upcoming(self, limit: int) -> list[tuple[str, Micros]]:
        """Return the next jobs to fire, as (name, fire time), earliest first."""
        return [(name, at) for name, at in self._all(queries.JOB_UPCOMING, (limit,))]

    def next_wake(self, now: Micros) -> Micros | None:
        """Return when a job falls due or a waiting run becomes available, whichever is first."""
        due = self._maybe(queries.JOB_NEXT_DUE)
        available = self._maybe(queries.RUN_NEXT_AVAILABLE, (now,))
        return min((row[0] for row in (due, available) if row is not None), default=None)

    def launch(self, launches: Sequence[Launch], *, now: Micros) -> list[Run]:
        """Insert the runs of each decision and move its watermark."""
        inserted: list[Run] = []
        with transaction(self._db, self._path):
            for launch in launches:
                job = launch.job
                advanced = self._db.execute(
                    queries.JOB_ADVANCE,
                    {
                        "next_fire_at": launch.next_fire_at,
                        "id": job.id,
                        "revision": job.revision,
                        "seen": job.next_fire_at,
                    },
                )
                if advanced.rowcount == 1:
                    inserted += self._insert_entries(launch, now)
        return inserted

    def launch_startup(self, boot_id: str, *, now: Micros) -> list[Run]:
        """Queue one run of each start-up job that has not had one in this boot."""
        inserted = []
        with transaction(self._db, self._path):
            trigger_key = f"boot:{boot_id}"
            for job_id, revision, priority in self._all(queries.JOB_STARTUP, (trigger_key,)):
                values = rows.queued_values(
                    job_id,
                    revision,
                    priority,
                    Trigger.STARTUP,
                    now,
                    logical_at=now,
                    trigger_key=trigger_key,
                )
                row = self._maybe(queries.RUN_ADD, values)
                if row is not None:
                    inserted.append(self._run(row[0]))
        return inserted

    def claim(
        self, workers: Sequence[str], boot_id: str, *, now: Micros, ahead: Sequence[str] = ()
    ) -> list[Claim]:
        """Give each worker the next available run."""
        everybody = [*workers, *ahead]
        # Looking first keeps a turn in which nothing waits from taking the write lock.
        if not everybody or not (self._db.in_transaction or self.claimable(now, limit=1)):
            return []
        with transaction(self._db, self._path):
            chosen = self._claimable(len(everybody), now, unlocked_from=len(workers))
            return self._claim_all(chosen, everybody, boot_id, now)

    def _claim_all(
        self, chosen: Sequence[tuple[Run, list[str]]], workers: Sequence[str], boot_id: str, now: Micros
    ) -> list[Claim]:
        return [
            self._claim(run, locks, worker, boot_id, now)
            for (run, locks), worker in zip(chosen, workers, strict=False)
        ]

    def unclaim(self, keys: Sequence[AttemptKey], *, now: Micros) -> None:
        """Put runs back into the queue of whose attempts nothing was started."""
        with transaction(self._db, self._path):
            for key in keys:
                row = self._maybe(queries.RUN_UNCLAIM, key)
                if row is None:
                    continue
                self._db.execute(queries.ATTEMPT_REMOVE, key)
                self._db.execute(queries.HOLD_REMOVE_RUN, (key[0],))
                job_id, stop_reason, removed_at = row
                if stop_reason is not None:
                    self._db.execute(queries.RUN_CANCEL_QUEUED, (stop_reason, now, key[0]))
                elif removed_at is not None:
                    self._db.execute(queries.RUN_DROP_QUEUED, (now, job_id))

    def _claim(self, queued: Run, locks: list[str], worker: str, boot_id: str, now: Micros) -> Claim:
        (last_success_at,) = self._one(queries.RUN_CLAIM, (worker, queued.id))
        for name in locks:
            self._db.execute(queries.HOLD_ADD_RUN, (name, queued.id, queued.available_at, now))
        run = queued._replace(
            state=State.RUNNING, attempt=queued.attempt + 1, worker=worker, stop_reason=None
        )
        self._db.execute(queries.ATTEMPT_ADD, (run.id, run.attempt, worker, boot_id, now))
        return Claim(run, self._definition_of(run), worker, now, last_success_at)

    def together(self) -> AbstractContextManager[None]:
        """Make one transaction of all that is written inside the block."""
        return group(self._db, self._path)

    def claimable(self, now: Micros, *, limit: int) -> int:
        """Return how many runs `claim` could hand out now, at most `limit`."""
        with mapped_errors(self._path):
            return len(self._claimable(limit, now)) if limit > 0 else 0

    def _claimable(
        self, limit: int, now: Micros, *, unlocked_from: int | None = None
    ) -> list[tuple[Run, list[str]]]:
        """Return runs that may start, each with the locks that it takes; from a number on those with none."""
        chosen: list[tuple[Run, list[str]]] = []
        added: dict[int, int] = {}
        seen: set[int] = set()
        full = set(self.left_alone)  # jobs of which no more can start, whatever is still queued
        book: LockBook | None = None
        while True:
            in_vain = 0
            for row in self._queued(now, full, limit):
                max_running, running, locks_text, run_id, job_id = row[:5]
                if job_id in full:
                    in_vain += 1
                    if in_vain > _IN_VAIN:
                        break  # SQLite passes over the rest of them sooner than we do
                    continue
                if run_id in seen:
                    continue
                seen.add(run_id)
                more = added.get(job_id, 0)
                if max_running is not None and running + more >= max_running:
                    full.add(job_id)
                    continue
                run = rows.run_from_row(row[3:])
                locks = [] if locks_text is None else locks_text.split()
                if locks and unlocked_from is not None and len(chosen) >= unlocked_from:
                    continue
                if locks:
                    book = book or self._lock_book()
                    if missing := book.take(locks, run.available_at):
                        if len(missing) == len(locks):
                            full.add(job_id)
                        continue
                added[job_id] = more + 1
                chosen.append((run, locks))
                if len(chosen) == limit:
                    return chosen
            else:
                return chosen

    def _queued(self, now: Micros, full: Collection[int], wanted: int) -> Iterable[rows.Row]:  # noqa: ARG002
        """Yield the runs that are available, the first in line first, but for those of some jobs."""
        return self._db.execute(queries.RUN_CLAIMABLE, (now, json.dumps([*full])))

    def _definition_of(self, run: Run) -> Definition:
        try:
            return self.definition(run.job_id, run.revision)
        except DefinitionUnreadable as error:
            raise DefinitionUnreadable.of(
                error.reason, job_id=error.job_id, job=error.job, run_id=run.id
            ) from error

    def follow_clock_back(self, before: Micros | None, *, now: Micros) -> int:
        """Let retries wait as long as they should after the clock was set back."""
        if before is None:
            (before,) = self._one(queries.RUN_LATEST)
        if before is None or before <= now:
            return 0
        with transaction(self._db, self._path):
            values = {"by": before - now, "now": now, "before": before}
            return self._db.execute(queries.RUN_SET_BACK, values).rowcount

    def record(self, starts: Sequence[AttemptStart], ends: Sequence[AttemptEnd]) -> list[Run]:
        """Write what became of attempts."""
        ended = {end.key for end in ends if end.started_at is not None}
        with transaction(self._db, self._path):
            for start in starts:
                if start.key in ended:
                    continue  # its end says the same
                run_id, attempt = start.key
                self._db.execute(queries.RUN_START, (start.started_at, run_id, attempt))
                self._db.execute(queries.ATTEMPT_START, (start.started_at, start.pid, run_id, attempt))
            finished = [self._finish(end) for end in ends]
        return [run for run in finished if run is not None]

    def _finish(self, end: AttemptEnd) -> Run | None:
        run_id, attempt = end.key
        counts = int(end.counts)
        reason = rows.storable(end.reason)
        row = None
        if end.retry_at is not None:
            # Not against a wish: it was cancelled meanwhile, or its job removed.
            row = self._maybe(queries.RUN_REQUEUE, (counts, end.started_at, end.retry_at, run_id, attempt))
        if row is None:
            values = (end.outcome, reason, counts, end.started_at, end.finished_at, run_id, attempt)
            row = self._maybe(queries.RUN_FINISH, values)
        if row is None:
            return None
        if row[rows.RUN_WIDTH]:
            self._db.execute(queries.HOLD_REMOVE_RUN, (run_id,))
        usage = end.usage
        self._db.execute(
            queries.ATTEMPT_FINISH,
            (
                end.started_at,
                end.pid,
                end.finished_at,
                end.outcome,
                reason,
                end.exit_code,
                end.signal,
                usage.duration_s if usage else None,
                usage.user_s if usage else None,
                usage.system_s if usage else None,
                usage.max_rss if usage else None,
                end.output_bytes,
                run_id,
                attempt,
            ),
        )
        return rows.run_from_row(row)

    def has_work(self) -> bool:
        """Return whether a run is running, or queued and not held back by a pause."""
        (answer,) = self._one(queries.RUN_ANY_WORK)
        return bool(answer)

    def ask_stops(self, keys: Sequence[AttemptKey], reason: str) -> None:
        """Note that running attempts are being stopped, and why."""
        with transaction(self._db, self._path):
            for run_id, attempt in keys:
                self._db.execute(queries.RUN_ASK_STOP_ATTEMPT, (reason, run_id, attempt))

    def stop_requests(self) -> list[tuple[AttemptKey, str]]:
        """Return the running attempts that are to be stopped, with the reason."""
        return [((run_id, attempt), reason) for run_id, attempt, reason in self._all(queries.RUN_STOPS)]

    def held(self) -> list[Held]:
        """Return all running runs."""
        return [self._as_held(row) for row in self._all(queries.RUN_HELD)]

    def _as_held(self, row: rows.Row) -> Held:
        """Return what a row of `RUN_COLUMNS` and `ATTEMPT_COLUMNS` tells of a running run."""
        run, attempt = rows.run_from_row(row), rows.attempt_from_row(row[rows.RUN_WIDTH :])
        try:
            (last_success_at,) = self._one(queries.RUN_LAST_SUCCESS, (run.job_id,))
            definition = self._definition_of(run)
            claim = Claim(run, definition, attempt.worker, attempt.claimed_at, last_success_at)
        except DefinitionUnreadable:
            # What runs has to be looked after all the same; nothing is started from this.
            claim = Claim(run, _UNKNOWN, attempt.worker, attempt.claimed_at)
        return Held(claim, attempt)

    def set_aside_unreadable(self, error: DefinitionUnreadable, *, now: Micros) -> None:
        """Pause a job whose definition cannot be read, or end the queued run that was made under it."""
        with transaction(self._db, self._path):
            if error.run_id is None:
                self._db.execute(queries.JOB_SET_ASIDE, (now, now, error.job_id))
            else:
                values = {"run_id": error.run_id, "reason": UNREADABLE, "now": now}
                self._db.execute(queries.RUN_DROP_UNREADABLE, values)

    def fact(self, name: str) -> str | None:
        """Return a fact about the store."""
        row = self._maybe(queries.FACT_GET, (name,))
        return None if row is None else str(row[0])

    def set_fact(self, name: str, value: str) -> None:
        """Remember a fact about the store."""
        with transaction(self._db, self._path):
            self._db.execute(queries.FACT_SET, (name, value))

    def verify(self) -> None:
        """Raise StoreMissing if files of the database were removed or replaced while it is open."""
        self._presence.verify()

    def check(self, *, thoroughly: bool = False) -> None:
        """Look for damage; its cost grows with the file, so large ones are left to `cronq doctor`."""
        with mapped_errors(self._path):
            if not thoroughly and self._path.stat().st_size > CHECK_MAX_BYTES:
                return
            check = "integrity_check(1)" if thoroughly else "quick_check(1)"
            (verdict,) = self._db.execute(f"PRAGMA {check}").fetchone()
        if verdict != "ok":
            raise StoreCorrupt(
                f"{self._path} is damaged: {verdict}", hint="restore a backup of it: cronq restore FILE"
            )

    def checkpoint(self) -> None:
        """Move the write-ahead log into the database, as far as readers allow."""
        with mapped_errors(self._path):
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
