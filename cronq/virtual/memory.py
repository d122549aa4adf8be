"""A ledger in memory, for a scheduler on a virtual clock: it keeps what is not done, and forgets the rest.

What the scheduler calls of `cronq.store.base.Store`, with the same answers as the SQLite store: the tests let
both live through the same random worlds and compare every row. Nobody else may use it at the same time, and
definitions do not change; so there is no revision to guard, and nothing to be durable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from heapq import heappop, heappush
from typing import Protocol

from cronq.errors import InvariantError
from cronq.model import (
    Attempt,
    AttemptEnd,
    AttemptKey,
    AttemptStart,
    Claim,
    Job,
    Micros,
    Outcome,
    Run,
    State,
    Trigger,
)
from cronq.named_locks import LockBook
from cronq.plan import Active, Fire, Launch, Passed
from cronq.store.base import DueJob, Held, JobChange

_TOGETHER: AbstractContextManager[None] = nullcontext()


class Reader(Protocol):
    """Somebody who reads what is written, since it is not kept."""

    def launched(self, launch: Launch, active: Active, runs: Sequence[Run]) -> None:
        """Read a launch, the runs that were inserted, and what was active before it."""

    def ended(self, claim: Claim, end: AttemptEnd, after: Run) -> None:
        """Read the end of an attempt, and the run as it is after it."""

    def cancelled(self, run: Run) -> None:
        """Read the end of a run that was queued."""


class _Kept:
    """A job and its runs that are not done.

    Attributes:
        parked: Queue entries that cannot be claimed before a run of the job ends; a heap.
    """

    __slots__ = ("job", "last_success_at", "locks", "parked", "queued", "running")

    def __init__(self, job: Job) -> None:
        self.job = job
        self.locks = list(job.definition.locks)
        self.queued: dict[int, None] = {}
        self.running: dict[int, None] = {}
        self.parked: list[_Entry] = []
        self.last_success_at: Micros | None = None


_Entry = tuple[int, Micros, int]
"""Of the queue: (-priority, available_at, run id)."""


class MemoryStore:
    """The part of `cronq.store.base.Store` that a scheduler needs; the interface says what it promises."""

    def __init__(
        self,
        jobs: Sequence[Job],
        reader: Reader,
        *,
        startup: Sequence[int] = (),
        calendars: Mapping[str, str] | None = None,
        locks: Mapping[str, int] | None = None,
    ) -> None:
        """Begin with nothing queued.

        Args:
            jobs: With their watermarks, and numbers of their own.
            reader: Is told of all that is written.
            startup: The numbers of those with `@reboot`.
            calendars: The named calendars' texts.
            locks: How many may hold each named lock; one, if it is not here.
        """
        self._jobs = {job.id: _Kept(job) for job in jobs}
        self._reader = reader
        self._startup = list(startup)
        self._calendars = dict(calendars or {})
        self._capacities = dict.fromkeys((name for job in jobs for name in job.definition.locks), 1)
        self._capacities.update(locks or {})
        self._taken: dict[str, int] = {}
        self._runs: dict[int, Run] = {}
        self._claims: dict[int, Claim] = {}
        self._stops: dict[AttemptKey, str] = {}
        self._boot_id = ""
        self._facts: dict[str, str] = {}
        self._last_id = 0
        self._ready: list[_Entry] = []
        self._waiting: list[tuple[Micros, int]] = []
        self._looked_at: list[tuple[Micros, int]] = []
        self._due = sorted(
            (job.next_fire_at, job.id)
            for job in jobs
            if job.next_fire_at is not None and job.paused_at is None
        )

    @property
    def jobs(self) -> list[Job]:
        """The jobs as they are now."""
        return [kept.job for kept in self._jobs.values()]

    @property
    def active(self) -> list[Run]:
        """The runs that are not done, oldest first."""
        return list(self._runs.values())

    def take(self, boot_id: str, runs: Sequence[Run], claims: Mapping[int, Claim]) -> None:
        """Begin in the midst of a boot.

        Args:
            boot_id: Of it; its start-up jobs have had their runs.
            runs: Those that are not done, in the order of their numbers.
            claims: Of those that run.
        """
        self._boot_id = boot_id
        for run in runs:
            kept = self._jobs[run.job_id]
            self._runs[run.id] = run
            self._last_id = max(self._last_id, run.id)
            if run.state is State.QUEUED:
                kept.queued[run.id] = None
                heappush(self._waiting, (run.available_at, run.id))
                continue
            kept.running[run.id] = None
            self._claims[run.id] = claims[run.id]
            for name in kept.locks:
                self._taken[name] = self._taken.get(name, 0) + 1

    # Launching

    def due_jobs(self, now: Micros, *, limit: int) -> list[DueJob]:
        """Return jobs with `next_fire_at <= now`, earliest first."""
        self._put_back()
        due = self._due
        found: list[DueJob] = []
        while due and due[0][0] <= now and len(found) < limit:
            entry = heappop(due)
            kept = self._jobs[entry[1]]
            if self._is_due_at(kept, entry[0]):
                self._looked_at.append(entry)
                found.append(DueJob(kept.job, Active(len(kept.queued), len(kept.running))))
        return found

    def launch(self, launches: Sequence[Launch], *, now: Micros) -> list[Run]:
        """Insert the runs of each decision and move its watermark."""
        inserted: list[Run] = []
        for launch in launches:
            kept = self._jobs[launch.job.id]
            if kept.job.next_fire_at != launch.job.next_fire_at or kept.job.paused_at is not None:
                continue
            active = Active(len(kept.queued), len(kept.running))
            kept.job = kept.job._replace(next_fire_at=launch.next_fire_at)
            if launch.next_fire_at is not None:
                heappush(self._due, (launch.next_fire_at, kept.job.id))
            runs = [self._insert(kept, entry, now) for entry in launch.entries]
            self._reader.launched(launch, active, runs)
            if launch.replaces:
                self._replace(kept, runs, now)
            inserted += runs
        return inserted

    def launch_startup(self, boot_id: str, *, now: Micros) -> list[Run]:
        """Queue one run of each start-up job that has not had one in this boot."""
        if boot_id == self._boot_id:
            return []
        self._boot_id = boot_id
        inserted = []
        for job_id in self._startup:
            kept = self._jobs[job_id]
            if kept.job.paused_at is None:
                active = Active(len(kept.queued), len(kept.running))
                run = self._queue(kept, Trigger.STARTUP, now, now, now, None)
                self._reader.launched(Launch(kept.job, (), kept.job.next_fire_at), active, [run])
                inserted.append(run)
        return inserted

    def next_wake(self, now: Micros) -> Micros | None:
        """Return when a job falls due or a waiting run becomes available, whichever is first."""
        self._put_back()
        self._make_ready(now)
        due, waiting = self._due, self._waiting
        while due and not self._is_due_at(self._jobs[due[0][1]], due[0][0]):
            heappop(due)
        if due and waiting:
            return min(due[0][0], waiting[0][0])
        return due[0][0] if due else waiting[0][0] if waiting else None

    # Claiming and recording

    def claim(
        self, workers: Sequence[str], boot_id: str, *, now: Micros, ahead: Sequence[str] = ()
    ) -> list[Claim]:
        """Give each worker the next available run."""
        del boot_id, ahead  # there is one only; played workers hold no claim ready
        self._make_ready(now)
        if not self._ready:
            return []
        chosen: list[Claim] = []
        passed_over: list[_Entry] = []
        locked: set[int] = set()
        book: LockBook | None = None
        while self._ready and len(chosen) < len(workers):
            entry = heappop(self._ready)
            run = self._queued(entry)
            if run is None:
                continue
            kept = self._jobs[run.job_id]
            definition = kept.job.definition
            if definition.max_running is not None and len(kept.running) >= definition.max_running:
                heappush(kept.parked, entry)
                continue
            if kept.job.paused_at is not None or run.job_id in locked:
                passed_over.append(entry)
                continue
            if kept.locks:
                book = book or LockBook(self._capacities, self._taken, {})
                if missing := book.take(kept.locks, run.available_at):
                    if len(missing) == len(kept.locks):
                        locked.add(run.job_id)
                    passed_over.append(entry)
                    continue
            chosen.append(self._claim(kept, run, workers[len(chosen)], now))
        for entry in passed_over:
            heappush(self._ready, entry)
        return chosen

    def record(self, starts: Sequence[AttemptStart], ends: Sequence[AttemptEnd]) -> list[Run]:
        """Write what became of attempts."""
        for start in starts:
            run = self._running(start.key)
            if run is not None and run.started_at is None:
                self._runs[run.id] = run._replace(started_at=start.started_at)
        finished = [self._finish(end) for end in ends]
        return [run for run in finished if run is not None]

    def held(self) -> list[Held]:
        """Return all running runs."""
        found = []
        for run_id in sorted(self._claims):
            run = self._runs[run_id]
            claim = self._claims[run_id]
            attempt = Attempt(
                run.id, run.attempt, claim.worker, self._boot_id, claim.claimed_at, run.started_at
            )
            found.append(Held(claim._replace(run=run), attempt))
        return found

    def stop_requests(self) -> list[tuple[AttemptKey, str]]:
        """Return the running attempts that are to be stopped, with the reason."""
        return list(self._stops.items())

    def ask_stops(self, keys: Sequence[AttemptKey], reason: str) -> None:
        """Note that running attempts are being stopped, and why."""
        for key in keys:
            run = self._running(key)
            if run is not None:
                self._ask_stop(run, reason)

    def has_work(self) -> bool:
        """Return whether a run is running, or queued and not held back by a pause."""
        return any(
            kept.running or (kept.queued and kept.job.paused_at is None) for kept in self._jobs.values()
        )

    # What else the scheduler asks

    def calendars(self) -> dict[str, str]:
        """Return the named calendars' texts, by name."""
        return self._calendars

    def change_jobs(self, changes: Sequence[JobChange], *, now: Micros) -> list[Job]:
        """Pause jobs that cannot be computed; nothing else ever changes here."""
        del now
        for change in changes:
            if change.settled.entries or change.definition is not None or change.paused_at is None:
                raise InvariantError("a job in memory can only be set aside")
            kept = self._jobs[change.settled.job.id]
            kept.job = kept.job._replace(paused_at=change.paused_at)
        return [self._jobs[change.settled.job.id].job for change in changes]

    def together(self) -> AbstractContextManager[None]:
        """Do nothing: nobody else is there, and nothing is durable."""
        return _TOGETHER

    def verify(self) -> None:
        """Do nothing: it cannot go away."""

    def fact(self, name: str) -> str | None:
        """Return a fact about the store."""
        return self._facts.get(name)

    def set_fact(self, name: str, value: str) -> None:
        """Remember a fact about the store."""
        self._facts[name] = value

    def outside_holders(self, *, if_queued: bool = False) -> list[str]:
        """Return nobody."""
        del if_queued
        return []

    def follow_clock_back(self, before: Micros | None, *, now: Micros) -> int:
        """Do nothing: nobody sets this clock."""
        del before, now
        return 0

    def scheduler_started(self, *, pid: int, boot_id: str, version: str, slots: int, now: Micros) -> int:
        """Remember nothing."""
        del pid, boot_id, version, slots, now
        return 1

    def scheduler_stopped(self, life: int, *, now: Micros) -> None:
        """Remember nothing."""

    def close(self) -> None:
        """Release nothing."""

    # Inside

    def _is_due_at(self, kept: _Kept, at: Micros) -> bool:
        return kept.job.next_fire_at == at and kept.job.paused_at is None

    def _put_back(self) -> None:
        """Let jobs be due again that were looked at and not launched."""
        for entry in self._looked_at:
            if self._is_due_at(self._jobs[entry[1]], entry[0]):
                heappush(self._due, entry)
        self._looked_at.clear()

    def _make_ready(self, now: Micros) -> None:
        waiting = self._waiting
        while waiting and waiting[0][0] <= now:
            available_at, run_id = heappop(waiting)
            run = self._runs.get(run_id)
            if run is not None and run.state is State.QUEUED and run.available_at == available_at:
                heappush(self._ready, (-run.priority, available_at, run_id))

    def _queued(self, entry: _Entry) -> Run | None:
        """Return the run of an entry of the queue; None: it is not queued any more, or not as it was."""
        run = self._runs.get(entry[2])
        is_current = run is not None and run.state is State.QUEUED and run.available_at == entry[1]
        return run if is_current else None

    def _let_in(self, kept: _Kept) -> None:
        """Let parked runs stand in the queue again: a run of their job has ended."""
        while kept.parked:
            entry = heappop(kept.parked)
            if self._queued(entry) is not None:
                heappush(self._ready, entry)
                if not kept.locks:
                    return  # there is room for one; of locks, each keeps its places in their lines

    def _insert(self, kept: _Kept, entry: Fire | Passed, now: Micros) -> Run:
        if isinstance(entry, Fire):
            at = entry.fire_at
            available_at = at if entry.available_at is None else entry.available_at
            return self._queue(kept, entry.trigger, at, now, available_at, at)
        self._last_id += 1
        job = kept.job
        first, last = entry.first_fire_at, entry.last_fire_at
        return Run(
            self._last_id,
            job.id,
            job.name,
            job.revision,
            Trigger.SCHEDULE,
            State.DONE,
            first,
            now,
            first,
            job.definition.priority,
            first,
            last,
            entry.fire_count,
            entry.outcome,
            entry.reason,
            finished_at=now,
        )

    def _queue(
        self,
        kept: _Kept,
        trigger: Trigger,
        logical_at: Micros,
        now: Micros,
        available_at: Micros,
        fire_at: Micros | None,
    ) -> Run:
        self._last_id += 1
        job = kept.job
        run = Run(
            self._last_id,
            job.id,
            job.name,
            job.revision,
            trigger,
            State.QUEUED,
            logical_at,
            now,
            available_at,
            job.definition.priority,
            fire_at,
            fire_at,
        )
        self._runs[run.id] = run
        kept.queued[run.id] = None
        heappush(self._waiting, (available_at, run.id))
        return run

    def _replace(self, kept: _Kept, runs: Sequence[Run], now: Micros) -> None:
        started = [run.id for run in runs if run.state is State.QUEUED]
        if not started:
            return
        reason = f"replaced by run {started[-1]}"
        for run_id in [run_id for run_id in kept.queued if run_id < started[-1]]:
            del kept.queued[run_id]
            cancelled = self._runs.pop(run_id)._replace(
                state=State.DONE, outcome=Outcome.CANCELLED, reason=reason, finished_at=now
            )
            self._reader.cancelled(cancelled)
        for run_id in kept.running:
            self._ask_stop(self._runs[run_id], reason)

    def _ask_stop(self, run: Run, reason: str) -> None:
        if run.stop_reason is None:
            self._runs[run.id] = run._replace(stop_reason=reason)
            self._stops[run.id, run.attempt] = reason

    def _claim(self, kept: _Kept, queued: Run, worker: str, now: Micros) -> Claim:
        run = queued._replace(
            state=State.RUNNING, attempt=queued.attempt + 1, worker=worker, stop_reason=None
        )
        self._runs[run.id] = run
        del kept.queued[run.id]
        kept.running[run.id] = None
        for name in kept.locks:
            self._taken[name] = self._taken.get(name, 0) + 1
        claim = Claim(run, kept.job.definition, worker, now, kept.last_success_at)
        self._claims[run.id] = claim
        return claim

    def _running(self, key: AttemptKey) -> Run | None:
        run = self._runs.get(key[0])
        return run if run is not None and run.state is State.RUNNING and run.attempt == key[1] else None

    def _finish(self, end: AttemptEnd) -> Run | None:
        run = self._running(end.key)
        if run is None:
            return None
        kept = self._jobs[run.job_id]
        claim = self._claims.pop(run.id)
        self._stops.pop(end.key, None)
        del kept.running[run.id]
        for name in kept.locks:
            self._taken[name] -= 1
        if kept.parked:
            self._let_in(kept)
        started_at = end.started_at if run.started_at is None else run.started_at
        failures = run.failures + end.counts
        if end.retry_at is not None and run.stop_reason is None:
            after = run._replace(
                state=State.QUEUED,
                worker=None,
                failures=failures,
                started_at=started_at,
                available_at=end.retry_at,
            )
            self._runs[run.id] = after
            kept.queued[run.id] = None
            heappush(self._waiting, (end.retry_at, run.id))
        else:
            after = run._replace(
                state=State.DONE,
                worker=None,
                failures=failures,
                started_at=started_at,
                outcome=end.outcome,
                reason=end.reason,
                finished_at=end.finished_at,
            )
            del self._runs[run.id]
            if end.outcome is Outcome.SUCCESS:
                kept.last_success_at = max(run.logical_at, kept.last_success_at or run.logical_at)
        self._reader.ended(claim, end, after)
        return after
