"""What a store can do: the one interface that SQLite and PostgreSQL implement.

Every method is exactly one transaction; a process that dies inside one leaves nothing of it. Instants are
UTC microseconds. Methods that change rows name what they saw (`revision`, the watermark, the attempt number),
and change nothing when that is no longer so: that guard, not care, is what makes doubles impossible.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from cronq.errors import DefinitionUnreadable
from cronq.model import (
    Attempt,
    AttemptEnd,
    AttemptKey,
    AttemptStart,
    Claim,
    Definition,
    Job,
    Micros,
    Outcome,
    Run,
    State,
)
from cronq.named_locks import LockWish
from cronq.plan import Active, Launch

if TYPE_CHECKING:
    from cronq.audit import Recorded
    from cronq.overdue import Success
    from cronq.retention import Row
    from cronq.why.facts import Bystander, Life


class NewJob(NamedTuple):
    """A job to be stored.

    Attributes:
        next_fire_at: First fire time after now; None if there is none (start-up jobs, for one).
        at_startup: Whether its schedule contains `@reboot`.
        paused_at: Since when it is paused, if it is to begin so.
        tzdata: Version of the zone data that computed `next_fire_at`; None: not known, or none was needed.
        locks: Its locks with the number of holders that was asked for; others get one, if they are new.
        origin: See `Job`.
    """

    name: str
    definition: Definition
    next_fire_at: Micros | None
    at_startup: bool = False
    paused_at: Micros | None = None
    tzdata: str | None = None
    locks: tuple[LockWish, ...] = ()
    origin: str | None = None


class JobChange(NamedTuple):
    """A change of one job, refused as a whole if the job is no longer as it was read.

    Attributes:
        settled: What becomes of the fire times that were due under the old definition, and the new
            watermark; its `job` is the job as read.
        definition: The new definition (a new revision); None leaves it.
        paused_at: Since when it is paused after this change; None: it is not.
        removed: The job becomes a tombstone: queued runs end as skipped, running ones go on.
        at_startup: Whether the new schedule contains `@reboot`; only read with `definition`.
        since: Fire times after this belong to the new definition, those up to it to the old one; None: now.
        tzdata: Version of the zone data that computed the new watermark; None: not known, or none was
            needed. Only read with `definition`.
        locks: As of `NewJob`; only read with `definition`.
        origin: See `Job`; None: as it was.
    """

    settled: Launch
    definition: Definition | None = None
    paused_at: Micros | None = None
    removed: bool = False
    at_startup: bool = False
    since: Micros | None = None
    tzdata: str | None = None
    locks: tuple[LockWish, ...] = ()
    origin: str | None = None


class CalendarText(NamedTuple):
    """What a named calendar is from an instant on; None: it was removed."""

    name: str
    since: Micros
    text: str | None


def text_after(earlier: Iterable[CalendarText], name: str, text: str | None, now: Micros) -> CalendarText:
    """Return what a calendar is from now on; after all that it was, also if the clock was set back since."""
    return CalendarText(name, max([now, *(one.since + 1 for one in earlier if one.name == name)]), text)


class Revision(NamedTuple):
    """A definition that is, or was, in force.

    Attributes:
        since: Fire times after this belong to it, up to the `since` of the next one.
        definition: None if it cannot be read.
        tzdata: Version of the zone data that computed them; None: not known.
    """

    revision: int
    since: Micros
    definition: Definition | None
    tzdata: str | None


class Past(NamedTuple):
    """All that was ever decided about a job, which may be removed.

    Attributes:
        revisions: In their order.
        pruned_before: Fire times before this may have been removed by retention; None: none has.
        last_fire_at: The last fire time that a row accounts for; None: there is none.
    """

    job: Job
    revisions: tuple[Revision, ...]
    pruned_before: Micros | None
    last_fire_at: Micros | None


class Tries(NamedTuple):
    """A run beside the attempts of it that are recorded.

    Attributes:
        run_id: Of a run for which the two do not seem to fit.
        became: Its outcome, or its state if it is not done.
        attempt: How many attempts it says there were.
        rows: How many are recorded.
        newest: The number of the last one.
        open_rows: How many of them have no end.
        last_outcome: Of the attempt that the run names as its last; None: it has none.
        last_exit_code: Likewise.
        is_forsaken: It is queued, and its job is removed.
    """

    run_id: int
    became: str
    attempt: int
    rows: int
    newest: int
    open_rows: int
    last_outcome: str | None
    last_exit_code: int | None
    is_forsaken: bool


class Misjudged(NamedTuple):
    """An attempt that did not end as its exit code says."""

    run_id: int
    attempt: int
    revision: int
    outcome: str
    exit_code: int


class DueJob(NamedTuple):
    """A job whose watermark has been reached, with what is active of it.

    Attributes:
        accounted_until: The last fire time in the ledger, of any revision; None: there is none, or it was
            not asked for (`Store.due` asks for it).
    """

    job: Job
    active: Active
    accounted_until: Micros | None = None

    def since(self, now: Micros) -> Micros:
        """Return the instant after which the fire times of a changed job begin.

        That is now, unless the clock was set back behind fire times that are accounted for already: a new
        schedule must not name them again (G1).
        """
        return now if self.accounted_until is None else max(now, self.accounted_until)


class Held(NamedTuple):
    """A running run as the store knows it: the claim and the attempt's row."""

    claim: Claim
    attempt: Attempt


class RunQuery(NamedTuple):
    """Which runs to list, newest first.

    Attributes:
        before_id: Only runs with a smaller number: the cursor for the next page.
        since: Only runs queued at or after this instant.
    """

    job_names: tuple[str, ...] = ()
    state: State | None = None
    outcomes: tuple[Outcome, ...] = ()
    since: Micros | None = None
    before_id: int | None = None
    limit: int = 50


class RunDetail(NamedTuple):
    """A run with its attempts, oldest first."""

    run: Run
    attempts: tuple[Attempt, ...]


class JobOverview(NamedTuple):
    """A job with what `cronq list` shows beside it.

    Attributes:
        active: Its runs that are not done.
        recent: Its newest done runs that had an attempt, newest first, each with the duration of its last
            attempt in seconds (None if that was never started).
        running_since: Start of its oldest running run.
    """

    job: Job
    active: Active
    recent: tuple[tuple[Run, float | None], ...]
    running_since: Micros | None


class Copy(NamedTuple):
    """A copy of a ledger, found sound.

    Attributes:
        copied_at: Whose instant's ledger it is; None: it was not made by `Store.backup`.
        last_run: Highest run number ever given.
    """

    path: Path
    size: int
    jobs: int
    runs: int
    copied_at: Micros | None
    last_run: int


class LockUser(NamedTuple):
    """Who holds a named lock, or waits for it.

    Attributes:
        label: The job's name, or the command outside.
        run_id: None: it is a process outside.
        since: When it took the lock, or since when it waits.
        holder: Of a process outside: the name of the lock file that it holds as long as it lives.
    """

    label: str
    run_id: int | None
    since: Micros
    holder: str | None = None


class LockState(NamedTuple):
    """A named lock: how many may hold it, who does, and who waits, the first in line first."""

    name: str
    capacity: int
    holders: tuple[LockUser, ...]
    waiting: tuple[LockUser, ...]


class JobHistory(NamedTuple):
    """A job that there is or was, and how much of its history is kept.

    Attributes:
        keep: As `cronq.retention.parse_keep` reads it; None: everything.
    """

    id: int
    name: str
    keep: str | None
    removed_at: Micros | None


class Totals(NamedTuple):
    """Counts over the whole store."""

    jobs: int
    paused: int
    queued: int
    running: int
    oldest_queued_at: Micros | None


class Store(Protocol):
    """Jobs, runs and attempts, durable. Not shared between processes: each opens its own."""

    # What people do

    def add_job(self, new: NewJob, *, now: Micros) -> Job:
        """Store a job. Raises: JobExists."""

    def change_jobs(
        self, changes: Sequence[JobChange], *, now: Micros, calendar: CalendarText | None = None
    ) -> list[Job] | None:
        """Change jobs, all or none, and with them the calendar that they use.

        Returns:
            The jobs after the change; None if one of them was changed by somebody else since it was
            read: read again and decide again.
        """

    def remove_unreadable(self, job_id: int, *, now: Micros) -> None:
        """Remove a job whose definition cannot be read; else as `change_jobs`."""

    def unreadable(self) -> list[DefinitionUnreadable]:
        """Return the jobs that listings passed over since this was opened, as errors to be told."""

    def apply(
        self,
        new: Sequence[NewJob],
        changes: Sequence[JobChange],
        *,
        locks: Sequence[LockWish] = (),
        calendars: Sequence[CalendarText] = (),
        now: Micros,
    ) -> bool:
        """Add and change jobs, locks and calendars, all or nothing.

        Returns:
            Whether it was done; False if a job was changed, or added, by somebody else since it was read.
        """

    def job(self, name: str) -> Job:
        """Return one job. Raises: JobNotFound, with suggestions."""

    def named_jobs(self, names: Sequence[str]) -> list[Job]:
        """Return jobs in the order of their names here. Raises: JobNotFound, naming all unknown ones."""

    def due(self, names: Sequence[str]) -> list[DueJob]:
        """Return the named jobs with their active runs, due or not. Raises: JobNotFound."""

    def overviews(
        self, names: Sequence[str] = (), *, recent: int = 12, limit: int | None = None
    ) -> list[JobOverview]:
        """Return jobs by name with their newest `recent` done runs. Raises: JobNotFound."""

    def trigger(self, names: Sequence[str], *, now: Micros) -> list[Run]:
        """Queue one run of each job now. Raises: JobNotFound."""

    def cancel(self, run_id: int, *, reason: str, now: Micros) -> Run:
        """End a queued run as cancelled, or ask for a running one to be stopped.

        Returns:
            The run afterwards: done, or running with a `stop_reason`.

        Raises:
            RunNotFound: There is no such run.
            IllegalTransition: It is done already.
        """

    def retry(self, run_ids: Sequence[int], *, now: Micros) -> list[Run]:
        """Queue a new run about the same instant as each of these, all or none.

        Raises:
            RunNotFound: There is no such run.
            JobNotFound: Its job was removed.
            IllegalTransition: It is not done.
        """

    def run(self, run_id: int) -> RunDetail:
        """Return a run with its attempts. Raises: RunNotFound."""

    def runs(self, query: RunQuery) -> list[tuple[Run, Attempt | None]]:
        """Return runs, newest first, each with its last attempt. Raises: JobNotFound."""

    def definition(self, job_id: int, revision: int) -> Definition:
        """Return the definition that a run was made under."""

    def calendars(self) -> dict[str, str]:
        """Return the named calendars' canonical texts, by name."""

    def set_calendar(self, name: str, text: str, *, now: Micros) -> None:
        """Store a named calendar, or what it is from now on."""

    def remove_calendar(self, name: str, *, now: Micros) -> bool:
        """Forget a named calendar; return whether there was one."""

    def calendar_texts(self, names: Sequence[str]) -> list[CalendarText]:
        """Return every text that calendars of these names ever had, oldest first."""

    def lock_states(self, now: Micros) -> list[LockState]:
        """Return all named locks, by name."""

    def require_locks(self, names: Sequence[str]) -> None:
        """Raise NotFoundError, naming all unknown ones, if one of the locks does not exist."""

    def set_lock(self, name: str, capacity: int, *, now: Micros) -> None:
        """Say how many may hold a lock, which is made if there is none. Those who hold it keep it."""

    def remove_lock(self, name: str) -> None:
        """Forget a lock. Raises: NotFoundError, ConflictError: a job names it, or somebody holds it."""

    def ask_locks(self, names: Sequence[str], holder: str, command: str, *, now: Micros) -> None:
        """Join the lines of locks as a process outside. Raises: NotFoundError, naming all unknown ones."""

    def take_locks(
        self, holder: str, *, ignored: Collection[AttemptKey], runs_come_first: bool, now: Micros
    ) -> bool:
        """Take the locks that a process outside asked for, if it is its turn; all of them or none.

        Args:
            holder: As given to `ask_locks`.
            ignored: Attempts that are dead although the ledger says that they are running.
            runs_come_first: Whether there is a scheduler for whose runs it has to wait its turn.
            now: Wall time.
        """

    def data_version(self) -> int:
        """Return a number that is another one as soon as somebody else has changed the store."""

    def release_locks(self, holder: str) -> None:
        """Give back, or stop waiting for, all that a process outside asked for."""

    def lose_place(self, holder: str, *, now: Micros) -> None:
        """Let a process outside stand last in the lines in which it waits."""

    def outside_holders(self, *, if_queued: bool = False) -> list[str]:
        """Return the processes outside that hold locks, or wait for some, in the order of their lines.

        Args:
            if_queued: None of them, unless a run is queued, which might have to wait for their locks.
        """

    def scheduled_jobs(self, *, after: str = "", limit: int = 500) -> list[Job]:
        """Return jobs that have a watermark, by name: the page after a name."""

    def totals(self) -> Totals:
        """Return counts over the whole store."""

    # The past

    def reading(self) -> AbstractContextManager[None]:
        """See the store as it is at one instant, for as long as the block lasts."""

    def ever(self, names: Sequence[str] = ()) -> list[int]:
        """Return the ids of all jobs that have, or had, these names. Raises: JobNotFound."""

    def past(self, job_id: int) -> Past:
        """Return what was ever decided about a job. Raises: JobNotFound, DefinitionUnreadable."""

    def recorded(self, job_id: int, after: Micros) -> Iterator[Recorded]:
        """Yield the rows that account for fire times after an instant, in their order; streamed."""

    def misfits(self, job_id: int, since: Micros) -> list[Tries]:
        """Return the runs queued at or after an instant whose attempts do not seem to fit."""

    def misjudged(
        self, job_id: int, since: Micros, revisions: Collection[int], codes: Collection[int]
    ) -> list[Misjudged]:
        """Return attempts, of runs queued at or after an instant, whose exit codes say something else.

        Args:
            job_id: Of the job.
            since: The instant.
            revisions: Only runs under these definitions.
            codes: Of success, in these definitions.
        """

    def row_at(self, job_id: int, at: Micros) -> Run | None:
        """Return the row that accounts for a fire time."""

    def row_after(self, job_id: int, at: Micros) -> Run | None:
        """Return the first row about fire times after an instant."""

    def newest_success(self, job_id: int) -> Success | None:
        """Return what a job's newest successes were about at the latest, and when the last of them ended."""

    def newest_run(self, job_id: int) -> Run | None:
        """Return the newest run of a job, made for a fire time or not."""

    def active_runs(self, job_id: int) -> list[Run]:
        """Return a job's runs that are not done, oldest first."""

    def bystanders(self, run_id: int, at: Micros) -> list[Bystander]:
        """Return runs that were made before this one and were not done at an instant, newest first.

        Only those made shortly before are looked at, as many as bounds the time this takes.
        """

    def scheduler_started(self, *, pid: int, boot_id: str, version: str, slots: int, now: Micros) -> int:
        """Remember that a scheduler began its life; return its number."""

    def scheduler_stopped(self, life: int, *, now: Micros) -> None:
        """Remember that a scheduler ended its life by itself."""

    def lives(self, start: Micros, end: Micros) -> list[Life]:
        """Return who may have lived between two instants, and who was last before; oldest first."""

    # What the scheduler does

    def due_jobs(self, now: Micros, *, limit: int) -> list[DueJob]:
        """Return jobs with `next_fire_at <= now`, earliest first. Raises: DefinitionUnreadable."""

    def durations(self, job_id: int, *, limit: int) -> list[float]:
        """Return how long a job's newest successes took, seconds, newest first; also of a removed job."""

    def upcoming(self, limit: int) -> list[tuple[str, Micros]]:
        """Return the next jobs to fire, as (name, fire time), earliest first."""

    def next_wake(self, now: Micros) -> Micros | None:
        """Return when a job falls due or a waiting run becomes available, whichever is first."""

    def launch(self, launches: Sequence[Launch], *, now: Micros) -> list[Run]:
        """Insert the runs of each decision and move its watermark.

        A launch whose job has changed since it was read does nothing. Runs that are replaced end as
        cancelled if queued, and are asked to stop if running.

        Returns:
            The runs inserted, of all kinds, in the order of the launches.
        """

    def launch_startup(self, boot_id: str, *, now: Micros) -> list[Run]:
        """Queue one run of each start-up job that has not had one in this boot."""

    def claim(
        self, workers: Sequence[str], boot_id: str, *, now: Micros, ahead: Sequence[str] = ()
    ) -> list[Claim]:
        """Give each worker the next available run, by priority, then by time of availability.

        After the `workers` those `ahead` get one, too, which begin with it later: none that takes locks.
        Runs of a job that has `max_running` running runs are passed over. May return fewer claims than
        there are workers. Dies: either no run is claimed, or all these are `running` and recovery finds
        that nothing was started.

        Raises:
            DefinitionUnreadable: Of a run that would be next; nothing is claimed.
        """

    def unclaim(self, keys: Sequence[AttemptKey], *, now: Micros) -> None:
        """Put runs back into the queue of whose attempts nothing was started; the attempts never were.

        What was cancelled meanwhile, or whose job was removed, ends there. Only if it is certain that nobody
        begins with them, ever. Dies: they are running, and recovery finds that nothing was started.
        """

    def together(self) -> AbstractContextManager[None]:
        """Make one transaction of all that is written inside the block.

        What the methods return in it is durable only after the block: until then nobody may be told, and
        no process started. Dies inside, or fails: nothing of it was done.
        """

    def claimable(self, now: Micros, *, limit: int) -> int:
        """Return how many runs `claim` could hand out now, at most `limit`."""

    def set_aside_unreadable(self, error: DefinitionUnreadable, *, now: Micros) -> None:
        """Pause a job whose definition cannot be read, or end the queued run that was made under it."""

    def follow_clock_back(self, before: Micros | None, *, now: Micros) -> int:
        """Let retries wait as long as they should, and what waits for a worker stay available.

        Ends of blackouts and jitter are wall times, and stay.

        Args:
            before: What the clock would say if it had not been set back; None: what the ledger shows of it.
            now: What it says.

        Returns:
            How many runs are available earlier than they would have been.
        """

    def record(self, starts: Sequence[AttemptStart], ends: Sequence[AttemptEnd]) -> list[Run]:
        """Write what became of attempts.

        Returns:
            The runs of `ends` as they are afterwards, in that order, less those whose claim was gone:
            of those nothing is written.
        """

    def has_work(self) -> bool:
        """Return whether a run is running, or queued and not held back by a pause."""

    def ask_stops(self, keys: Sequence[AttemptKey], reason: str) -> None:
        """Note that running attempts are being stopped, and why, unless somebody asked for it before."""

    def stop_requests(self) -> list[tuple[AttemptKey, str]]:
        """Return the running attempts that are to be stopped, with the reason."""

    def held(self) -> list[Held]:
        """Return all running runs: what a starting scheduler has to look after."""

    # What retention does

    def kept_jobs(self, *, after: int = 0, limit: int) -> list[JobHistory]:
        """Return jobs that have limits, removed ones too, by number: the page after one."""

    def jobs_ever(self, *, after: int = 0, limit: int) -> list[JobHistory]:
        """Return all jobs that there are or were, by number: the page after one."""

    def histories(self, names: Sequence[str]) -> list[JobHistory]:
        """Return the jobs that have, or had, these names. Raises: JobNotFound."""

    def limited_jobs(self) -> int:
        """Return how many jobs have limits, removed ones aside."""

    def nth_done(self, job_id: int, n: int, *, before_id: int) -> int | None:
        """Return the n-th newest done run of a job with a smaller number, counted from 0; costs as n."""

    def logged_runs(self, job_id: int, *, before_id: int, limit: int) -> list[tuple[int, int]]:
        """Return (number, attempts) of a job's executed runs that are done, newest first."""

    def oldest_runs(self, job_id: int, *, after_id: int, limit: int) -> list[Row]:
        """Return a job's runs of any state, oldest first: the page after a number."""

    def spared_runs(self, job_id: int) -> frozenset[int]:
        """Return the runs of a job that stay, however old.

        They are the newest that is done, that was executed, that succeeded, that has a fire time, and that
        belongs to a start of the machine: without them the job would be told, or done, otherwise.
        """

    def prune(self, job_id: int, run_ids: Sequence[int]) -> int:
        """Remove runs of a job, of which only those go that are done, and with them their attempts.

        In the same transaction the job notes that fire times up to the last of them may be missing.

        Returns:
            How many were removed.
        """

    def forget_job(self, job_id: int) -> bool:
        """Remove a tombstone that had limits, if no run is left of it; return whether it was so."""

    def needs_logs_of(self, first_id: int, last_id: int) -> bool:
        """Return whether runs with these numbers exist, or may come to exist."""

    # What everybody may need

    def fact(self, name: str) -> str | None:
        """Return a fact about the store."""

    def set_fact(self, name: str, value: str) -> None:
        """Remember a fact about the store."""

    def verify(self) -> None:
        """Raise StoreMissing if what is open is no longer what the name leads to."""

    def check(self, *, thoroughly: bool = False) -> None:
        """Look for damage, as long as a start may take, or as long as it takes. Raises: StoreCorrupt."""

    def checkpoint(self) -> None:
        """Do the upkeep that suits an idle moment."""

    def backup(self, path: Path, *, now: Micros, replace: bool = False) -> Copy:
        """Copy the ledger, as it is at one instant, to a file; others go on writing meanwhile.

        Dies: No file of that name, or the one there was.

        Raises:
            FileTaken: There is such a file, and `replace` was not given.
            UsageError: It cannot be the path of a copy.
            StoreError: The ledger is damaged, or the copy cannot be written.
        """

    def close(self) -> None:
        """Release the database."""
