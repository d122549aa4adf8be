"""The error tree and the exit codes: every way in which a request can go wrong.

::

    CronqError                      exit 1    str(err) is the first line, err.hint the last
    ├─ UsageError                   exit 2    the request is wrong; nothing was changed
    │  ├─ ScheduleError · TimezoneError · DurationError · InstantError · CommandError
    ├─ NotFoundError                exit 3    JobNotFound · RunNotFound
    ├─ ConflictError                exit 4    JobExists · SchedulerRunning · IllegalTransition · FileTaken
    ├─ StoreError                   exit 5    the store cannot be used
    │  ├─ StoreMissing · StoreTooNew · StoreBusy · StoreCorrupt · StoreUntrusted · StoreFull ·
    │  │  StoreUnreachable
    │  ├─ StateUnreadable
    │  └─ StoreCorrupt: DefinitionUnreadable
    └─ InvariantError               exit 70   a bug in cronq

The leaf is raised, never a built-in across a module's border. How a *job* ended is data
(`cronq.model.Outcome`), not an exception.
"""

from __future__ import annotations

from enum import IntEnum

Span = tuple[int, int]
"""Half-open range of character positions in the offending text."""


class ExitCode(IntEnum):
    """What a command returns to the shell; `cronq help exit-codes` prints this table."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    CONFLICT = 4
    STORE = 5
    BUG = 70
    BUDGET = 75
    WAIT_TIMEOUT = 124
    EXEC_FAILED = 125
    EXEC_CANNOT = 126
    EXEC_NOT_FOUND = 127
    INTERRUPTED = 130


class CronqError(Exception):
    """Base of all errors that cronq raises on purpose.

    Attributes:
        hint: What to do next, in one line; empty when there is nothing useful to say.
        text: The input that is wrong, for errors that point at a place in it.
        span: The offending characters of `text`.
        details: Further lines between the message and the hint.
    """

    exit_code = ExitCode.FAILED

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        text: str | None = None,
        span: Span | None = None,
        details: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.text = text
        self.span = span
        self.details = details


class UsageError(CronqError):
    """The request is wrong; nothing was changed."""

    exit_code = ExitCode.USAGE


class ScheduleError(UsageError):
    """A schedule cannot be read, or names no fire time; `span` points into `text`."""


class TimezoneError(UsageError):
    """A time zone name is not an IANA key."""


class DurationError(UsageError):
    """A duration such as `90s` or `1h30m` cannot be read."""


class InstantError(UsageError):
    """A date and time such as `2026-12-24T18:00` or `tomorrow 09:00` cannot be read."""


class CommandError(UsageError):
    """A job's command cannot be right."""


class NotFoundError(CronqError):
    """Something named in the request does not exist."""

    exit_code = ExitCode.NOT_FOUND


class JobNotFound(NotFoundError):
    """One or more job names are unknown."""


class RunNotFound(NotFoundError):
    """A run number is unknown."""


class ConflictError(CronqError):
    """The request does not fit the present state."""

    exit_code = ExitCode.CONFLICT


class JobExists(ConflictError):
    """A job of that name exists already."""


class SchedulerRunning(ConflictError):
    """Another scheduler holds the lock of this store."""


class IllegalTransition(ConflictError):
    """A run is not in a state that allows the request."""


class FileTaken(ConflictError):
    """A file is in the place of one that is to be made."""


class StoreError(CronqError):
    """The store cannot be used."""

    exit_code = ExitCode.STORE


class StoreMissing(StoreError):
    """There is no database at the place looked for."""


class StoreTooNew(StoreError):
    """The database was written by a newer cronq."""


class StoreBusy(StoreError):
    """Other processes kept the database locked for too long."""


class StoreCorrupt(StoreError):
    """The file is not a database, or a damaged one."""


class DefinitionUnreadable(StoreCorrupt):
    """One job's definition in the database is not one that cronq wrote; the others are fine.

    Attributes:
        run_id: The run that was made under it, if that is what was asked for.
        reason: What is wrong with it.
    """

    job_id: int = 0
    job: str = ""
    run_id: int | None = None
    reason: str = ""

    @classmethod
    def of(cls, reason: str, *, job_id: int, job: str, run_id: int | None = None) -> DefinitionUnreadable:
        """Return the error about a job."""
        error = cls(
            f"the definition of `{job}` in the database cannot be read: {reason}",
            hint=f"remove it (cronq remove {job}) and add it anew, or restore a backup",
        )
        error.job_id, error.job, error.run_id, error.reason = job_id, job, run_id, reason
        return error


class StoreUntrusted(StoreError):
    """The database could have been planted or changed by somebody else."""


class StoreFull(StoreError):
    """The disk is full or read-only, or the database's files cannot be written."""


class StoreUnreachable(StoreError):
    """The database server does not answer, or only as one that cannot be written now."""


class StateUnreadable(StoreError):
    """A portable state is missing where there has to be one, damaged, or was written by a newer cronq."""


class InvariantError(CronqError):
    """A bug in cronq."""

    exit_code = ExitCode.BUG
