"""The words of cronq as types: jobs, runs, attempts, and what may become of them.

A leaf: it imports nothing of cronq but the errors, and everything else imports it.

Instants are UTC microseconds since the epoch (`Micros`) everywhere inside; datetimes appear only at the
borders, because two aware datetimes of one zone compare by wall clock and ignore `fold`. Durations are
float seconds and end in `_s`.

The records are named tuples: a frozen dataclass costs eight times as much to define, and thirty of them were
a quarter of the start-up of `cronq list`.

The life of a run::

            launch              claim               finish
    (none) ────────▶ queued ──────────────▶ running ───────▶ done(outcome, reason)
       │               ▲ │                     │
       │               │ └── cancel, replace ──┼────────────▶ done(cancelled)
       │               └──── retry ────────────┘
       └───────────────────── skip, miss ──────────────────▶ done(skipped | missed)
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from cronq.errors import InvariantError

Micros = int
"""Microseconds: an instant (UTC, since the epoch) or a span of time."""

SECOND: Micros = 1_000_000


class State(StrEnum):
    """Where a run is.

    A process that dies in any of them leaves the row as it is, and the next scheduler repairs it.
    """

    QUEUED = "queued"
    """Launched by the scheduler or a person. Nobody works on it, so nobody's death can harm it."""
    RUNNING = "running"
    """Claimed, durably and before any process starts. If worker and command die, it ends `abandoned`."""
    DONE = "done"
    """Final. The row never changes again; only retention removes it."""


class Outcome(StrEnum):
    """What became of a done run; the first five also end an attempt."""

    SUCCESS = "success"
    FAILURE = "failure"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    ABANDONED = "abandoned"
    SKIPPED = "skipped"
    MISSED = "missed"


UNSTARTED = frozenset({Outcome.SKIPPED, Outcome.MISSED})
"""Outcomes of fire times for which no process was ever started."""

TRANSITIONS: dict[State, frozenset[State]] = {
    State.QUEUED: frozenset({State.RUNNING, State.DONE}),
    State.RUNNING: frozenset({State.QUEUED, State.DONE}),
    State.DONE: frozenset(),
}
"""The legal moves; the guards of the store's statements say the same in SQL."""


class Trigger(StrEnum):
    """Why a run exists. A retry is the same run, so it is not here."""

    SCHEDULE = "schedule"
    CATCH_UP = "catch_up"
    MANUAL = "manual"
    BACKFILL = "backfill"
    CHAIN = "chain"
    STARTUP = "startup"


class Overlap(StrEnum):
    """What a fire time does that arrives while its job has `max_running` active runs."""

    SKIP = "skip"
    QUEUE = "queue"
    REPLACE = "replace"
    ALLOW = "allow"


class CatchUp(StrEnum):
    """What misfires become."""

    SKIP = "skip"
    LATEST = "latest"
    ALL = "all"


class OnCrash(StrEnum):
    """What an `abandoned` attempt means: a failed attempt, a free second go, or the end."""

    RETRY = "retry"
    RERUN = "rerun"
    FAIL = "fail"


class CommandKind(StrEnum):
    """How a job's command is started."""

    ARGV = "argv"
    SHELL = "shell"
    PYTHON = "python"


class Command(NamedTuple):
    """What to start: an argv, a shell line, or `module:function` with JSON arguments.

    Attributes:
        words: `argv`: the argument vector. `shell`: one line. `python`: one `pkg.mod:func`.
        args: JSON text, a list (positional) or an object (by name); only for `python`.
    """

    kind: CommandKind
    words: tuple[str, ...]
    args: str = ""

    def argv(self) -> tuple[str, ...]:
        """Return the argument vector to execute; only for `argv` and `shell`."""
        if self.kind is CommandKind.SHELL:
            return ("/bin/sh", "-c", self.words[0])
        if self.kind is CommandKind.PYTHON:
            raise InvariantError("a Python callable has no argument vector")
        return self.words


class Definition(NamedTuple):
    """Everything a job's owner decided; immutable, kept for every revision of the job.

    Attributes:
        schedule: Normal form of the schedule's text, as `cronq.schedule.parse` gives it.
        tz: IANA zone in which the schedule is computed.
        dst: Rule at clock changes: `cron`, `skip` or `both`.
        cwd: Working directory of the command.
        path: Its PATH, recorded when the job was added.
        env: Further variables, sorted by name.
        env_file: File of further variables, read at each start.
        stdin: File to read standard input from; None is the null device.
        timeout_s: An attempt that runs longer is stopped with outcome `timeout`.
        kill_after_s: Time between TERM and KILL when an attempt is stopped.
        success_codes: Exit codes that count as success.
        max_running: Runs of this job at a time; None is no limit (only with overlap `allow`).
        max_queued: Runs that may wait under overlap `queue`; later fire times are skipped.
        grace_s: A fire time older than this when the scheduler sees it is a misfire.
        catch_up_window_s: Misfires older than this are missed, whatever the policy.
        catch_up_limit: Under catch-up `all`, at most this many of the newest misfires are run.
        retries: Further attempts after a failed one.
        retry_delay_s: Delay before the first retry.
        retry_factor: Each further delay is this many times the one before.
        retry_max_delay_s: Upper bound of a delay.
        retry_jitter: Share of the delay, 0 to 1, by which it is shortened (stable for run and attempt).
        priority: Higher runs are claimed first.
        valid_from: No fire time before this date or instant.
        valid_until: No fire time after it.
        calendars: Uses of calendars, such as `us-holidays:skip`.
        blackouts: Windows in which nothing starts, such as `mon-fri 09:00-17:00:defer`.
        jitter: How much later than its fire time a run may start: `5m` or `random:5m`.
        assertions: What `cronq check` holds the fire times to.
        keep: How much of the history is kept, such as `30d,1000,1G`; None: all of it.
        max_output: Bytes of output that are kept of an attempt, its head and its tail; None: all of it.
        nice: Niceness of the command; None: that of the scheduler.
        memory: Bytes of memory that each of its processes may use.
        cpu_time_s: Processor time that each of its processes may use.
        open_files: Files that each of its processes may have open.
        umask: Octal digits; None: that of the scheduler.
        user: Who executes it; only a scheduler of root can do that.
        locks: Named locks that a run holds while it is running, sorted.
        secrets: Variables whose values are masked in the output, sorted.
        ping: URL that is told of starts and ends, or `$NAME` of the scheduler's variable that holds it.
        tags: Words by which jobs are chosen together, sorted.
        queue: Which workers may execute it, on PostgreSQL; None: those of the queue `default`.
    """

    command: Command
    schedule: str
    tz: str = "UTC"
    dst: str = "cron"
    cwd: str = "/"
    path: str = "/usr/local/bin:/usr/bin:/bin"
    env: tuple[tuple[str, str], ...] = ()
    env_file: str | None = None
    stdin: str | None = None
    timeout_s: float | None = None
    kill_after_s: float = 10.0
    success_codes: tuple[int, ...] = (0,)
    overlap: Overlap = Overlap.SKIP
    max_running: int | None = 1
    max_queued: int = 10
    catch_up: CatchUp = CatchUp.LATEST
    grace_s: float = 60.0
    catch_up_window_s: float = 7 * 86_400.0
    catch_up_limit: int = 100
    retries: int = 0
    retry_delay_s: float = 10.0
    retry_factor: float = 2.0
    retry_max_delay_s: float = 3_600.0
    retry_jitter: float = 0.1
    on_crash: OnCrash = OnCrash.RETRY
    priority: int = 0
    valid_from: str | None = None
    valid_until: str | None = None
    calendars: tuple[str, ...] = ()
    blackouts: tuple[str, ...] = ()
    jitter: str | None = None
    assertions: tuple[str, ...] = ()
    keep: str | None = None
    max_output: int | None = 64 * 1024 * 1024
    nice: int | None = None
    memory: int | None = None
    cpu_time_s: float | None = None
    open_files: int | None = None
    umask: str | None = None
    user: str | None = None
    locks: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    ping: str | None = None
    tags: tuple[str, ...] = ()
    queue: str | None = None


class Job(NamedTuple):
    """A named definition and its watermark.

    Attributes:
        revision: Counts changes of the definition; a scheduler that planned with an old one is refused.
        next_fire_at: The first fire time that the ledger does not account for yet; None: there is none.
        paused_at: Since when it is paused; fire times after it end as `skipped`.
        origin: `file` if a file of jobs defines it; None: somebody did by hand.
    """

    id: int
    name: str
    revision: int
    definition: Definition
    created_at: Micros
    changed_at: Micros
    next_fire_at: Micros | None = None
    paused_at: Micros | None = None
    removed_at: Micros | None = None
    origin: str | None = None


class Run(NamedTuple):
    """One intent to execute a job, or the account of fire times that were not executed.

    Attributes:
        logical_at: What the run is *about*: its fire time, or when it was asked for by hand. A run made
            by `cronq retry` keeps the instant of the run that it repeats.
        fire_at: The nominal instant; identity of a scheduled run; None for runs made by hand.
        last_fire_at: Of a row that accounts for several fire times: the last one; else `fire_at`.
        fire_count: How many fire times this row accounts for; over 1 only if skipped or missed.
        available_at: Not claimed before this (retries wait here).
        attempt: Attempts started so far; the fencing token of every later write.
        failures: Attempts that used up one of the retries.
        stop_reason: Somebody asked that it be stopped; why.
        worker: Who holds the claim while running.
        started_at: Start of the first attempt.
    """

    id: int
    job_id: int
    job: str
    revision: int
    trigger: Trigger
    state: State
    logical_at: Micros
    queued_at: Micros
    available_at: Micros
    priority: int = 0
    fire_at: Micros | None = None
    last_fire_at: Micros | None = None
    fire_count: int = 1
    outcome: Outcome | None = None
    reason: str = ""
    attempt: int = 0
    failures: int = 0
    stop_reason: str | None = None
    worker: str | None = None
    started_at: Micros | None = None
    finished_at: Micros | None = None


class Usage(NamedTuple):
    """What an attempt cost, as the kernel counted it.

    Attributes:
        duration_s: Monotonic time between start and end.
        max_rss: Peak resident memory in bytes.
    """

    duration_s: float = 0.0
    user_s: float = 0.0
    system_s: float = 0.0
    max_rss: int = 0


class Attempt(NamedTuple):
    """One process started for a run.

    Attributes:
        worker: Identity of the worker that claimed it.
        boot_id: Boot during which it was claimed; after another boot it cannot be alive.
        pid: Process that executes it, once started; a name for people, never proof of life.
        output_bytes: How much it printed, of which a part may have been cut; None: not known.
    """

    run_id: int
    attempt: int
    worker: str
    boot_id: str
    claimed_at: Micros
    started_at: Micros | None = None
    finished_at: Micros | None = None
    pid: int | None = None
    outcome: Outcome | None = None
    reason: str = ""
    exit_code: int | None = None
    signal: int | None = None
    usage: Usage | None = None
    output_bytes: int | None = None


class Claim(NamedTuple):
    """A worker's hold on a run: all it needs to execute one attempt of it.

    Attributes:
        last_success_at: `logical_at` of the job's newest successful run.
    """

    run: Run
    definition: Definition
    worker: str
    claimed_at: Micros
    last_success_at: Micros | None = None

    @property
    def key(self) -> AttemptKey:
        """The fencing token: run and attempt."""
        return (self.run.id, self.run.attempt)


AttemptKey = tuple[int, int]
"""(run id, attempt number): names an attempt, and fences every write about it."""


class AttemptStart(NamedTuple):
    """A process was started for an attempt."""

    key: AttemptKey
    pid: int
    started_at: Micros


class AttemptEnd(NamedTuple):
    """An attempt ended: what the kernel said, and what it means.

    Attributes:
        started_at: None if no process was ever started.
        retry_at: The run goes back to the queue until then; None ends the run.
        counts: Whether it used up one of the retries.
        survivors: Processes of its tree that could not be killed, as `pid name`.
        output_bytes: How much it printed in all.
    """

    key: AttemptKey
    outcome: Outcome
    finished_at: Micros
    reason: str = ""
    started_at: Micros | None = None
    pid: int | None = None
    exit_code: int | None = None
    signal: int | None = None
    usage: Usage | None = None
    retry_at: Micros | None = None
    counts: bool = False
    survivors: tuple[str, ...] = ()
    output_bytes: int | None = None
