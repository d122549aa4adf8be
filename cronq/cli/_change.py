"""Changing jobs without losing a fire time: settle what is due, then change, in one transaction.

Fire times that are due but not launched yet belong to the job as it was. So `pause` and `set` first decide
about them as the scheduler would have, and `resume` and `remove` record them as skipped. The store refuses
the change if a scheduler, or another person, was faster; then everything is read and decided again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from cronq.cli._schedules import NO_CALENDARS, calendars_for, times_of
from cronq.errors import CronqError, StoreBusy
from cronq.model import Job, Micros, Outcome
from cronq.plan import UNCOMPUTABLE, Launch, Passed, decide, pass_over
from cronq.store import CalendarText, DueJob, JobChange, Store

if TYPE_CHECKING:
    from cronq.cli._session import Session

_TRIES = 50

Change = Callable[[DueJob, Launch, Micros], JobChange | None]
"""Returns the change of a job, given what becomes of its due fire times; None leaves the job alone."""


def change_jobs(
    session: Session,
    store: Store,
    names: Sequence[str],
    change: Change,
    *,
    calendars: Mapping[str, str] | None = None,
    calendar: CalendarText | None = None,
) -> list[tuple[Job, Job]]:
    """Change jobs, all or none.

    Args:
        session: Tells the time, and rings.
        store: Where they are.
        names: Which.
        change: What is to change.
        calendars: Those under which due fire times are settled; None: those of the store.
        calendar: What a named calendar is from then on, in the same transaction.

    Returns:
        Each changed job, as it was and as it is, in the order of the names.

    Raises:
        JobNotFound: Naming all unknown ones.
        StoreBusy: Others kept changing them.
    """
    names = list(dict.fromkeys(names))
    for _ in range(_TRIES):
        now = session.environment.now()
        due = store.due(names)
        settled = _settled(store, due, now, calendars)
        unfinished = [_only_settled(job, launch) for job, launch in settled if _is_due(launch, now)]
        if unfinished:
            # More than a decision holds at a time; the scheduler would come back for the rest, too.
            store.change_jobs(unfinished, now=now)
            continue
        changes = [c for job, launch in settled if (c := change(job, launch, now)) is not None]
        if not changes:
            return []
        after = store.change_jobs(changes, now=now, calendar=calendar)
        if after is not None:
            session.ring()
            return [(c.settled.job, job) for c, job in zip(changes, after, strict=True)]
    raise StoreBusy(f"{', '.join(names)} kept being changed by others", hint="nothing was changed; try again")


def _settled(
    store: Store, due: Sequence[DueJob], now: Micros, calendars: Mapping[str, str] | None
) -> list[tuple[DueJob, Launch]]:
    known = calendars
    if known is None:
        known = calendars_for(store, (one.job.definition for one in due))
    return [(one, settle(one, now, known)) for one in due]


def settle(due: DueJob, now: Micros, calendars: Mapping[str, str] = NO_CALENDARS) -> Launch:
    """Return what becomes of a job's due fire times under the rules it has now."""
    job = due.job
    if job.next_fire_at is None or job.next_fire_at > now:
        return Launch(job, (), job.next_fire_at)
    from cronq.timing import placement_of

    try:
        times, placement = times_of(job, calendars), placement_of(job)
    except CronqError:
        return _uncomputable(job, now)
    if job.paused_at is not None:
        return pass_over(job, times, now, Outcome.SKIPPED, "paused")
    return decide(job, times, due.active, now, placement)


def skip_due(due: DueJob, now: Micros, reason: str, calendars: Mapping[str, str] = NO_CALENDARS) -> Launch:
    """Return a launch that records a job's due fire times as skipped."""
    job = due.job
    if job.next_fire_at is None or job.next_fire_at > now:
        return Launch(job, (), job.next_fire_at)
    try:
        times = times_of(job, calendars)
    except CronqError:
        return _uncomputable(job, now)
    return pass_over(job, times, now, Outcome.SKIPPED, reason)


def _uncomputable(job: Job, now: Micros) -> Launch:
    """Return a launch for a job whose zone or calendar is gone: it must be possible to repair or remove it.

    Which fire times are due cannot be said; the one at the watermark is known, and recorded.
    """
    if job.next_fire_at is None:
        return Launch(job, (), None)
    lost = Passed(job.next_fire_at, job.next_fire_at, 1, Outcome.SKIPPED, UNCOMPUTABLE)
    # The new schedule, if there is one, goes on from now; without one the scheduler sets it aside again.
    return Launch(job, (lost,), now + 1)


def _is_due(launch: Launch, now: Micros) -> bool:
    return launch.next_fire_at is not None and launch.next_fire_at <= now


def _only_settled(due: DueJob, launch: Launch) -> JobChange:
    return JobChange(launch, paused_at=due.job.paused_at)
