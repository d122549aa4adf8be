"""What the ledger knows of jobs, for `cronq.overdue` to judge them by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from cronq.cli._definition import FIRING
from cronq.errors import CronqError, DefinitionUnreadable
from cronq.model import Definition, Job, Micros, Outcome
from cronq.overdue import Standing, Verdict, Watched, judge
from cronq.store import Store
from cronq.timing import placement_of, times_of

_LOOKED_AT = 12
"""Newest successes that say how long a job takes."""
_PAUSED = "paused"
"""Reason of the row about fire times that passed while the job was paused."""
_SCHEDULE = ("schedule", "tz", "dst", *FIRING)


def verdicts(
    store: Store,
    names: Sequence[str],
    now: Micros,
    *,
    windows: Mapping[str | None, float],
    late_s: float | None,
) -> Iterator[Verdict]:
    """Yield how the named jobs stand, or all that there are.

    Args:
        store: With the ledger.
        names: Of jobs; none: all of them.
        now: The instant that counts.
        windows: Job → seconds in which a success must have ended; None: of all that are not named.
        late_s: See `cronq.overdue.judge`.

    Raises:
        JobNotFound: One of the names is unknown; nothing was yielded.
    """
    jobs = store.named_jobs(names) if names else [one.job for one in store.overviews(recent=0)]
    calendars = store.calendars()
    for job in jobs:
        within_s = windows.get(job.name, windows.get(None))
        verdict = judge(
            _watched(store, job, calendars, job.created_at), now, within_s=within_s, late_s=late_s
        )
        if verdict.standing is Standing.OVERDUE:
            # To know since when the job is what it is takes more questions, and mostly nobody needs to.
            since = _in_force_since(store, job, now if verdict.fire_at is None else verdict.fire_at)
            if since > job.created_at:
                watched = _watched(store, job, calendars, since)
                verdict = judge(watched, now, within_s=within_s, late_s=late_s)
        yield verdict
    if not names:
        yield from (_unreadable(error) for error in store.unreadable())


def _unreadable(error: DefinitionUnreadable) -> Verdict:
    return Verdict(error.job, Standing.UNKNOWN, None, trouble=error.message)


def _watched(store: Store, job: Job, calendars: Mapping[str, str], since: Micros) -> Watched:
    definition = job.definition
    times, placement, trouble = None, None, ""
    try:
        times, placement = times_of(job, calendars), placement_of(job)
    except CronqError as error:
        trouble = error.message
    took = [] if definition.timeout_s is not None else store.durations(job.id, limit=_LOOKED_AT)
    return Watched(
        job.name,
        definition,
        times,
        since,
        placement,
        store.newest_success(job.id),
        job.paused_at is not None,
        max(took, default=0.0),
        trouble,
    )


def _in_force_since(store: Store, job: Job, at: Micros) -> Micros:
    """Return the instant after which the job has had its schedule, and was not paused, up to one."""
    since = job.created_at
    later = job.definition
    for revision in reversed(store.past(job.id).revisions):
        if revision.definition is None or _schedule_of(revision.definition) != _schedule_of(later):
            break
        since, later = revision.since, revision.definition
    row = store.row_at(job.id, at)
    if row is not None and row.outcome is Outcome.SKIPPED and row.reason == _PAUSED:
        since = max(since, row.last_fire_at or since)
    return since


def _schedule_of(definition: Definition) -> tuple[object, ...]:
    return tuple(getattr(definition, name) for name in _SCHEDULE)
