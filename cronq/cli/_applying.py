"""Making the store hold what a file of jobs says: what changes, which fire times move, and doing it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import islice, pairwise
from typing import TYPE_CHECKING, NamedTuple

from cronq.cli._change import settle, skip_due
from cronq.cli._definition import check_future
from cronq.cli._schedules import times_of
from cronq.errors import CronqError, StoreBusy
from cronq.model import Definition, Job, Micros
from cronq.plan import Launch
from cronq.portable.document import firing_of
from cronq.redefine import redefine
from cronq.schedule.zones import tzdata_version
from cronq.store import DueJob, JobChange, NewJob, Store
from cronq.store.base import CalendarText, text_after
from cronq.timing import calendar_names

if TYPE_CHECKING:
    from cronq.cli._job_file import FileJob, JobFile
    from cronq.cli._schedules import Times
    from cronq.cli._session import Session

ORIGIN = "file"
MOST = 20_000
"""Fire times of one job that are compared."""
_TRIES = 50


class Step(NamedTuple):
    """What becomes of one job.

    Attributes:
        action: `add`, `change`, `remove`; `keep` if nothing changes.
        before: The job as it is.
        after: Its definition in the file.
        pauses: Whether it is paused (True) or resumed (False); None: it stays as it is.
        takes_over: It was defined by hand until now.
    """

    action: str
    name: str
    before: Job | None = None
    after: Definition | None = None
    times_before: Times | None = None
    times_after: Times | None = None
    pauses: bool | None = None
    takes_over: bool = False


class Shift(NamedTuple):
    """Fire times that a change makes appear or vanish, and those that it moves (from, to)."""

    appear: list[Micros]
    vanish: list[Micros]
    move: list[tuple[Micros, Micros]]


class Plan(NamedTuple):
    """All that has to be done, and may be done in one transaction.

    Attributes:
        calendars: By name, those that are new or change.
        locks: Named locks that are new or change: name, number of holders before (None: new) and after.
        unfinished: Jobs of which more fire times are due than one decision holds; first do these.
    """

    steps: list[Step]
    new: list[NewJob]
    changes: list[JobChange]
    calendars: Mapping[str, CalendarText]
    unfinished: list[JobChange]
    locks: list[tuple[str, int | None, int]]


def apply_file(
    session: Session,
    store: Store,
    file: JobFile,
    *,
    prune: bool,
    at: Micros | None = None,
    due_anew: bool = False,
) -> Plan:
    """Make the store hold what the file says, in one transaction; return what was done.

    Args:
        session: Tells the time, and rings.
        store: Where the jobs are.
        file: What they are to be.
        prune: Remove jobs of a file that this one does not name.
        at: The instant since when it is to hold; None: now.
        due_anew: What is due under an unchanged schedule runs as the file says now, not as it said then.

    Raises:
        StoreBusy: Others kept changing its jobs.
    """
    for _ in range(_TRIES):
        now = session.environment.now() if at is None else at
        plan = plan_file(store, file, now, prune=prune, due_anew=due_anew)
        if plan.unfinished:
            store.change_jobs(plan.unfinished, now=now)
            continue
        if not (plan.new or plan.changes or plan.calendars or plan.locks):
            return plan  # nothing is written for nothing
        calendars = tuple(plan.calendars.values())
        if store.apply(plan.new, plan.changes, locks=file.locks, calendars=calendars, now=now):
            session.ring()
            return plan
    raise StoreBusy("the jobs kept being changed by others", hint="nothing was changed; try again")


def plan_file(store: Store, file: JobFile, now: Micros, *, prune: bool, due_anew: bool = False) -> Plan:
    """Return what would have to be done. Raises: CronqError: a job of the file would never run."""
    known = store.calendars()
    calendars = _changed_calendars(store, file, known, now)
    later = {**known, **file.calendars}
    jobs = {overview.job.name: overview.job for overview in store.overviews(recent=0)}
    named = {one.name: one for one in file.jobs}
    touched = [
        name
        for name, job in jobs.items()
        if (name in named and _differs(job, named[name], file.origin, calendars))
        or (name not in named and (_uses(job, calendars) or (prune and job.origin == ORIGIN)))
    ]
    due = {one.job.name: one for one in store.due(touched)} if touched else {}
    plan = Plan([], [], [], calendars, [], _changed_locks(store, file, now))
    for one in file.jobs:
        if one.name in due:
            _change(plan, due[one.name], one, file.origin, now, known, due_anew=due_anew)
        elif one.name in jobs:
            plan.steps.append(Step("keep", one.name, jobs[one.name], one.definition))
        else:
            _add(plan, one, file.origin, now)
    for name, other in due.items():
        if name not in named:
            if prune and other.job.origin == ORIGIN:
                _remove(plan, other, now, known)
            else:
                _follow_calendar(plan, other, now, known, later)
    return plan


def _changed_locks(store: Store, file: JobFile, now: Micros) -> list[tuple[str, int | None, int]]:
    known = {state.name: state.capacity for state in store.lock_states(now)}
    wanted = {wish.name: wish.capacity for job in file.jobs for wish in job.locks}
    wanted |= {wish.name: wish.capacity for wish in file.locks}
    new = {name: capacity or known.get(name, 1) for name, capacity in wanted.items()}
    return [(name, known.get(name), count) for name, count in new.items() if known.get(name) != count]


def _changed_calendars(
    store: Store, file: JobFile, known: Mapping[str, str], now: Micros
) -> dict[str, CalendarText]:
    changed = {name: text for name, text in file.calendars.items() if known.get(name) != text}
    earlier = store.calendar_texts(list(changed))
    return {name: text_after(earlier, name, text, now) for name, text in changed.items()}


def shift_of(step: Step, start: Micros, end: Micros) -> Shift:
    """Return what a step does to the fire times with `start <= f < end`."""
    before = set(_times_in(step.times_before, start, end))
    after = set(_times_in(step.times_after, start, end))
    appear, vanish = sorted(after - before), sorted(before - after)
    pairs = list(zip(vanish, appear, strict=False))
    moved = len(appear) == len(vanish) and _alternate(pairs)
    return Shift([], [], pairs) if moved else Shift(appear, vanish, [])


def new_times(step: Step, start: Micros, end: Micros, *, first: int) -> tuple[int, list[Micros]]:
    """Return how many fire times a job that had none gets with `start <= f < end`, and the first of them."""
    times = step.times_after
    return (
        (0, [])
        if times is None
        else (times.count_us(start, end), list(islice(times.iter_us(start, end), first)))
    )


def _times_in(times: Times | None, start: Micros, end: Micros) -> Iterable[Micros]:
    return () if times is None else islice(times.iter_us(start, end), MOST)


def _alternate(pairs: Sequence[tuple[Micros, Micros]]) -> bool:
    """Return whether each fire time has one new neighbour, so that it moved rather than went."""
    return all(max(first) < min(second) for first, second in pairwise(pairs))


def _add(plan: Plan, one: FileJob, origin: str | None, now: Micros) -> None:
    check_future(one.times, one.definition, now)
    plan.new.append(
        NewJob(
            one.name,
            one.definition,
            one.times.next_us(now),
            one.times.at_startup,
            paused_at=now if one.paused else None,
            tzdata=tzdata_version().version,
            locks=one.locks,
            origin=origin,
        )
    )
    plan.steps.append(Step("add", one.name, after=one.definition, times_after=one.times, pauses=one.paused))


def _change(
    plan: Plan,
    due: DueJob,
    one: FileJob,
    origin: str | None,
    now: Micros,
    known: Mapping[str, str],
    *,
    due_anew: bool,
) -> None:
    job = due.job
    paused_at = job.paused_at
    if one.paused is not None:
        paused_at = (job.paused_at or now) if one.paused else None
    resumes = job.paused_at is not None and paused_at is None
    since = _since(plan, due, one.definition, now)
    if due_anew and paused_at is None and not resumes and _goes_on(plan, job, one, now):
        launch = Launch(job, (), job.next_fire_at)
        since = (job.next_fire_at or now) - 1
    else:
        launch = skip_due(due, now, "paused", known) if resumes else settle(due, now, known)
        if _is_unfinished(plan, launch, now):
            return
    change = JobChange(launch)
    if one.definition != job.definition or _uses(job, plan.calendars):
        check_future(one.times, one.definition, now)
        change = redefine(due, launch, one.definition, one.times, since)
    plan.changes.append(change._replace(paused_at=paused_at, locks=one.locks, origin=origin))
    plan.steps.append(
        Step(
            "change",
            job.name,
            job,
            one.definition,
            _readable_times(job, known),
            one.times,
            None if (paused_at is None) == (job.paused_at is None) else paused_at is not None,
            origin == ORIGIN and job.origin != ORIGIN,
        )
    )


def _goes_on(plan: Plan, job: Job, one: FileJob, now: Micros) -> bool:
    """Return whether fire times are due that the new definition names as well as the old one."""
    is_due = job.next_fire_at is not None and job.next_fire_at <= now
    same = firing_of(job.definition) == firing_of(one.definition)
    return is_due and same and not _uses(job, plan.calendars)


def _follow_calendar(
    plan: Plan, due: DueJob, now: Micros, known: Mapping[str, str], later: Mapping[str, str]
) -> None:
    """Let a job that the file does not name fire by a calendar that it changes."""
    job = due.job
    launch, times = settle(due, now, known), times_of(job, later)
    if _is_unfinished(plan, launch, now):
        return
    plan.changes.append(redefine(due, launch, job.definition, times, _since(plan, due, job.definition, now)))
    plan.steps.append(Step("change", job.name, job, job.definition, _readable_times(job, known), times))


def _is_unfinished(plan: Plan, launch: Launch, now: Micros) -> bool:
    if launch.next_fire_at is None or launch.next_fire_at > now:
        return False
    plan.unfinished.append(JobChange(launch, paused_at=launch.job.paused_at))
    return True


def _since(plan: Plan, due: DueJob, definition: Definition, now: Micros) -> Micros:
    """Return the instant after which the fire times of a changed job begin; not before its calendars do."""
    own = calendar_names(definition) & plan.calendars.keys()
    return max([due.since(now), *(plan.calendars[name].since for name in own)])


def _remove(plan: Plan, due: DueJob, now: Micros, known: Mapping[str, str]) -> None:
    job = due.job
    launch = skip_due(due, now, "removed", known)
    plan.changes.append(JobChange(launch, paused_at=job.paused_at, removed=True))
    plan.steps.append(Step("remove", job.name, job, times_before=_readable_times(job, known)))


def _readable_times(job: Job, calendars: Mapping[str, str]) -> Times | None:
    try:
        return times_of(job, calendars)
    except CronqError:
        return None  # its zone or calendar is gone; the file may be there to mend that


def _differs(job: Job, one: FileJob, origin: str | None, changed: Collection[str]) -> bool:
    return (
        one.definition != job.definition
        or (origin is not None and job.origin != origin)
        or (one.paused is not None and one.paused != (job.paused_at is not None))
        or _uses(job, changed)
    )


def _uses(job: Job, calendars: Collection[str]) -> bool:
    return not calendar_names(job.definition).isdisjoint(calendars)
