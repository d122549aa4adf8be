"""What happened, as data: the scheduler tells, and sinks print, count or forget it.

Events are told after the transaction that made them true, so what a reader sees is in the ledger already.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cronq.model import Micros, Outcome, Trigger


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events.

    Attributes:
        at: When it happened, wall time.
    """

    at: Micros


@dataclass(frozen=True, slots=True)
class SchedulerStarted(Event):
    """The lock is held and the store is open; nothing has been launched yet."""

    version: str
    jobs: int
    workers: int
    database: str
    pid: int


@dataclass(frozen=True, slots=True)
class RunQueued(Event):
    """A run was launched into the queue."""

    job: str
    run_id: int
    trigger: Trigger
    fire_at: Micros | None


@dataclass(frozen=True, slots=True)
class FireTimesPassed(Event):
    """Fire times ended without a start: skipped or missed, with the reason."""

    job: str
    run_id: int
    outcome: Outcome
    reason: str
    first_fire_at: Micros
    last_fire_at: Micros
    count: int


@dataclass(frozen=True, slots=True)
class AttemptStarted(Event):
    """A process was started.

    Attributes:
        lag_s: Start minus fire time; for runs made by hand, minus the time they were asked for.
    """

    job: str
    run_id: int
    attempt: int
    pid: int
    lag_s: float


@dataclass(frozen=True, slots=True)
class AttemptFinished(Event):
    """An attempt ended.

    Attributes:
        retry_in_s: Time to the next attempt of the same run; None when the run is done.
        retries: How many retries the job allows.
        tail: Last lines of the output, only of attempts that did not succeed.
    """

    job: str
    run_id: int
    attempt: int
    outcome: Outcome
    reason: str
    exit_code: int | None
    signal: int | None
    duration_s: float
    retry_in_s: float | None
    failures: int
    retries: int
    tail: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RunAdopted(Event):
    """A run of an earlier scheduler, or of a killed worker, was found alive and is watched."""

    job: str
    run_id: int
    attempt: int


@dataclass(frozen=True, slots=True)
class WorkerLost(Event):
    """A worker process died with or without an attempt in its hands."""

    worker: str
    run_id: int | None
    exit_code: int | None


@dataclass(frozen=True, slots=True)
class Notice(Event):
    """Something a person should read: a clock step, a store that cannot be written, a bad definition.

    Attributes:
        level: `info`, `warning` or `error`.
    """

    level: str
    message: str


@dataclass(frozen=True, slots=True)
class Stopping(Event):
    """No new runs are started; those running have until `bound_s` from now."""

    running: tuple[str, ...]
    bound_s: float


@dataclass(frozen=True, slots=True)
class SchedulerStopped(Event):
    """The last event: a summary of this scheduler's life."""

    finished: int
    succeeded: int
    failed: int
    uptime_s: float
    cancelled: int = 0


Sink = Callable[[Event], None]


def ignore(event: Event) -> None:
    """A sink that forgets."""


@dataclass(frozen=True, slots=True)
class RunningRun:
    """A run as the live footer shows it.

    Attributes:
        expected_s: Median duration of the job's newest successes; None without history.
    """

    job: str
    run_id: int
    started_at: Micros
    expected_s: float | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The scheduler at one instant, for a footer or a status line.

    Attributes:
        upcoming: The next few jobs to fire, as (job, fire time), earliest first.
        slots: How many attempts may run at a time.
    """

    at: Micros
    running: tuple[RunningRun, ...]
    upcoming: tuple[tuple[str, Micros], ...]
    queued: int
    slots: int
