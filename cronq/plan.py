"""Deciding, and nothing else: what becomes of every fire time up to now, and of an attempt that ended.

Pure functions of (job, what is active, now). They read no clock, no store and no random source, so the
scheduler, `cronq pause`, a dry run and a simulated year all come to the same answer.

A job's due fire times, oldest first, fall into three parts::

    watermark            now − window          now − grace              now
        │  too old → missed   │ misfires → catch-up  │ on time → overlap   │
        ├─────────────────────┼──────────────────────┼─────────────────────┤──▶ next_fire_at

Every one of them comes out as exactly one entry: a `Fire`, or a share of a `Passed`. So does a watermark that
fell due and is no fire time any more, because zone data changed: it was promised.
"""

from __future__ import annotations

import sys
import zlib
from bisect import bisect_left
from collections.abc import Iterable
from itertools import islice
from typing import NamedTuple, Protocol

from cronq.model import SECOND, CatchUp, Definition, Job, Micros, OnCrash, Outcome, Overlap, Run, Trigger

BATCH = 1000
"""Fire times of one job that become runs in one decision; the rest stays due for the next one."""

UNCOMPUTABLE = "its schedule could not be computed"
"""Reason of a row after which fire times may have passed that nobody could name."""


LAPSED = "no fire time any more: zone data or holidays changed"
"""Reason of a row for a watermark that fell due although the schedule does not name it any more."""


class FireTimes(Protocol):
    """The part of `cronq.schedule.Schedule` that planning needs; microseconds throughout."""

    def next_us(self, after: Micros) -> Micros | None:
        """Return the first fire time strictly after."""

    def prev_us(self, before: Micros) -> Micros | None:
        """Return the last fire time strictly before."""

    def iter_us(self, start: Micros, end: Micros) -> Iterable[Micros]:
        """Yield fire times with `start <= f < end`, ascending."""

    def count_us(self, start: Micros, end: Micros) -> int:
        """Return how many `iter_us` would yield."""


class Hold(NamedTuple):
    """A blackout that stands in the way of a start.

    Attributes:
        ends_at: When it is over.
        drops: The run is skipped; else it waits until then.
        text: The window, as its owner wrote it.
    """

    ends_at: Micros
    drops: bool
    text: str


class Placement(Protocol):
    """Where starts are put, fire times being what they are; `cronq.schedule` makes one from a definition."""

    def delay_us(self, fire_at: Micros) -> Micros:
        """Return the jitter of a fire time."""

    def hold(self, at: Micros) -> Hold | None:
        """Return the blackout that covers an instant."""


class Active(NamedTuple):
    """Runs of a job that are not done."""

    queued: int = 0
    running: int = 0

    @property
    def total(self) -> int:
        """Queued and running runs together."""
        return self.queued + self.running


class Fire(NamedTuple):
    """A fire time that becomes a run.

    Attributes:
        available_at: Not claimed before this: jitter, or the end of a blackout. None: at once.
    """

    fire_at: Micros
    trigger: Trigger
    available_at: Micros | None = None


class Passed(NamedTuple):
    """Consecutive fire times that become one row without a process."""

    first_fire_at: Micros
    last_fire_at: Micros
    fire_count: int
    outcome: Outcome
    reason: str


class Launch(NamedTuple):
    """The decision about one job, to be carried out in one transaction.

    Attributes:
        job: As read; the store refuses the launch if its revision or watermark has moved since.
        entries: Ascending by fire time, without gaps.
        next_fire_at: The new watermark.
        replaces: The launched run takes the place of all active ones.
    """

    job: Job
    entries: tuple[Fire | Passed, ...]
    next_fire_at: Micros | None
    replaces: bool = False


def decide(
    job: Job, times: FireTimes, active: Active, now: Micros, placement: Placement | None = None
) -> Launch:
    """Return what becomes of each fire time from the job's watermark to now.

    Args:
        job: With a watermark that is due (`next_fire_at <= now`), else nothing is decided.
        times: The job's schedule.
        active: Its runs that are not done.
        now: Wall time; fire times equal to it are due.
        placement: Its jitter and blackouts; None: it has none.
    """
    if not _is_due(job, now):
        return Launch(job, (), job.next_fire_at)
    first = _first_due(job, times, now)
    lapsed = _lapsed(job, first, Outcome.MISSED, LAPSED)
    if first is None:
        return Launch(job, lapsed, times.next_us(now))
    definition = job.definition
    boundary = max(first, now - round(definition.grace_s * SECOND))
    following = times.next_us(first)
    entries: list[Fire | Passed] = [*lapsed]
    caught_up = 0
    if boundary == first and (following is None or following > now):
        # Nearly always: one fire time, on time. What follows it has to be known anyway.
        on_time = [first]
    else:
        entries += _caught_up(definition, times, first, boundary, now)
        caught_up = sum(isinstance(entry, Fire) for entry in entries)
        on_time = list(islice(times.iter_us(boundary, now + 1), BATCH - caught_up))
    replaces = False
    if on_time:
        if definition.catch_up is CatchUp.ALL and caught_up + len(on_time) > 1:
            # Several at once mean that nobody was there for the earlier ones. Held against the overlap
            # policy, runs being caught up would themselves be the reason to skip one another.
            entries += _fires(on_time)
        else:
            fired, replaces = _overlapped(definition, on_time, active)
            entries += fired
    if placement is not None:
        entries = [_placed(entry, placement, now) for entry in entries]
        replaces = replaces and isinstance(entries[-1], Fire)
    last = entries[-1]
    covered = last.fire_at if isinstance(last, Fire) else last.last_fire_at
    next_fire_at = following if covered == first else times.next_us(covered)
    return Launch(job, tuple(entries), next_fire_at, replaces)


def pass_over(job: Job, times: FireTimes, now: Micros, outcome: Outcome, reason: str) -> Launch:
    """Return a launch that accounts for all due fire times as one row and starts none.

    A watermark that is no fire time any more has a row of its own.
    """
    if not _is_due(job, now):
        return Launch(job, (), job.next_fire_at)
    first = _first_due(job, times, now)
    entries: tuple[Fire | Passed, ...] = _lapsed(job, first, outcome, reason)
    if first is not None:
        entries += (_passed(times, first, now + 1, outcome, reason),)
    return Launch(job, entries, times.next_us(now))


def lapse(job: Job, mark: Micros) -> Launch:
    """Return a launch that accounts for nothing but a due watermark which is no fire time any more."""
    is_paused = job.paused_at is not None
    outcome, reason = (Outcome.SKIPPED, "paused") if is_paused else (Outcome.MISSED, LAPSED)
    return Launch(job, (Passed(mark, mark, 1, outcome, reason),), None)


def has_lapsed(launch: Launch) -> bool:
    """Return whether the watermark was due, and is no fire time of the schedule."""
    first = launch.entries[0] if launch.entries else None
    return isinstance(first, Passed) and first.reason == LAPSED


def _placed(entry: Fire | Passed, placement: Placement, now: Micros) -> Fire | Passed:
    """Apply jitter and blackouts; both are about the start of a run, not about its fire time."""
    if isinstance(entry, Passed):
        return entry
    start_at = entry.fire_at + placement.delay_us(entry.fire_at)
    hold = placement.hold(max(start_at, now))
    if hold is None:
        return entry if start_at == entry.fire_at else entry._replace(available_at=start_at)
    if hold.drops:
        return Passed(entry.fire_at, entry.fire_at, 1, Outcome.SKIPPED, f"blackout: {hold.text}")
    return entry._replace(available_at=hold.ends_at)


def _is_due(job: Job, now: Micros) -> bool:
    # A watermark never moves back, not even when the clock does: the ledger accounts for all before it (G1).
    return job.next_fire_at is not None and job.next_fire_at <= now


def _first_due(job: Job, times: FireTimes, now: Micros) -> Micros | None:
    # The watermark is not trusted to be a fire time: zone data may have changed since.
    first = None if job.next_fire_at is None else times.next_us(job.next_fire_at - 1)
    return first if first is not None and first <= now else None


def _lapsed(job: Job, first: Micros | None, outcome: Outcome, reason: str) -> tuple[Passed, ...]:
    """Account for a due watermark that is no fire time any more: it was promised, and does not vanish."""
    mark = job.next_fire_at
    if mark is None or mark == first:
        return ()
    return (Passed(mark, mark, 1, outcome, reason),)


def _passed(times: FireTimes, first: Micros, end: Micros, outcome: Outcome, reason: str) -> Passed:
    last = times.prev_us(end)
    if last is None or last <= first:
        return Passed(first, first, 1, outcome, reason)
    return Passed(first, last, times.count_us(first, end), outcome, reason)


def _caught_up(
    definition: Definition, times: FireTimes, first: Micros, boundary: Micros, now: Micros
) -> list[Fire | Passed]:
    """Apply the catch-up policy to the misfires `first <= f < boundary`."""
    newest = times.prev_us(boundary)
    if newest is None or newest < first:
        return []
    if definition.catch_up is CatchUp.SKIP:
        return [_passed(times, first, boundary, Outcome.MISSED, "late: catch-up skip")]
    window_start = now - round(definition.catch_up_window_s * SECOND)
    if newest < window_start:
        return [_passed(times, first, boundary, Outcome.MISSED, "late: older than the catch-up window")]
    if definition.catch_up is CatchUp.LATEST:
        return _latest(times, first, boundary, newest, now)
    return _all(definition, times, first, boundary, window_start)


def _latest(
    times: FireTimes, first: Micros, boundary: Micros, newest: Micros, now: Micros
) -> list[Fire | Passed]:
    reason = "late: superseded by a newer fire time"
    on_time = times.next_us(boundary - 1)
    if on_time is not None and on_time <= now:
        return [_passed(times, first, boundary, Outcome.MISSED, reason)]
    fire: Fire | Passed = Fire(newest, Trigger.CATCH_UP)
    if newest == first:
        return [fire]
    return [_passed(times, first, newest, Outcome.MISSED, reason), fire]


def _all(
    definition: Definition, times: FireTimes, first: Micros, boundary: Micros, window_start: Micros
) -> list[Fire | Passed]:
    young = times.next_us(max(first, window_start) - 1)
    young = boundary if young is None else young
    kept = _newest(times, young, boundary, definition.catch_up_limit)
    entries: list[Fire | Passed] = []
    if young > first:
        entries.append(_passed(times, first, young, Outcome.MISSED, "late: older than the catch-up window"))
    if kept > young:
        entries.append(_passed(times, young, kept, Outcome.MISSED, "late: beyond the catch-up limit"))
    # The oldest first; those that do not fit into this batch stay due, and the next decision finds them.
    entries += [Fire(fire_at, Trigger.CATCH_UP) for fire_at in islice(times.iter_us(kept, boundary), BATCH)]
    return entries


def _newest(times: FireTimes, start: Micros, end: Micros, limit: int) -> Micros:
    """Return the first of the `limit` newest fire times in `start <= f < end`; `end` if limit is 0."""
    if times.count_us(start, end) <= limit:
        return start
    # Counting is cheap (months are not walked), and a limit may be a million: search, do not walk back.
    offset = bisect_left(range(start, end), -limit, key=lambda instant: -times.count_us(instant, end))
    found = times.next_us(start + offset - 1)
    return end if found is None else min(found, end)


def _overlapped(
    definition: Definition, on_time: list[Micros], active: Active
) -> tuple[list[Fire | Passed], bool]:
    """Apply the overlap policy to fire times that are on time."""
    policy = definition.overlap
    if policy is Overlap.ALLOW:
        return _fires(on_time), False
    if policy is Overlap.REPLACE:
        skipped = _skipped(on_time[:-1], "overlap: replaced by the next fire time")
        return [*skipped, *_fires(on_time[-1:])], active.total > 0
    limit = definition.max_running or 1
    if policy is Overlap.SKIP:
        room = max(0, limit - active.total)
        reason = f"overlap: {limit} active" if limit > 1 else "overlap: a run is active"
        if room > 0:
            # Seen at once, because nobody was there in time: those before take the room.
            reason = "overlap: due together with an earlier fire time"
    else:
        room = max(0, definition.max_queued + max(0, limit - active.running) - active.queued)
        reason = f"overlap: the queue is full ({definition.max_queued})"
    return [*_fires(on_time[:room]), *_skipped(on_time[room:], reason)], False


def _fires(fire_times: list[Micros]) -> list[Fire | Passed]:
    return [Fire(fire_at, Trigger.SCHEDULE) for fire_at in fire_times]


def _skipped(fire_times: list[Micros], reason: str) -> list[Fire | Passed]:
    if not fire_times:
        return []
    return [Passed(fire_times[0], fire_times[-1], len(fire_times), Outcome.SKIPPED, reason)]


class Retry(NamedTuple):
    """What follows an attempt.

    Attributes:
        at: When the run may be claimed again; None: the run is done.
        counts: Whether the attempt used up one of the retries.
    """

    at: Micros | None
    counts: bool


def after_attempt(definition: Definition, run: Run, outcome: Outcome, now: Micros) -> Retry:
    """Return whether the run goes back to the queue, and until when.

    Args:
        definition: Of the run's revision.
        run: As claimed: `attempt` is the number of the attempt that ended.
        outcome: Of that attempt.
        now: Wall time of its end.
    """
    if run.stop_reason is not None or outcome in {Outcome.SUCCESS, Outcome.CANCELLED}:
        return Retry(None, counts=False)
    if outcome is Outcome.ABANDONED and definition.on_crash is OnCrash.FAIL:
        return Retry(None, counts=True)
    failures = run.failures + 1
    if outcome is Outcome.ABANDONED and definition.on_crash is OnCrash.RERUN:
        return Retry(now + _delay(definition, run, failures), counts=False)
    if failures > definition.retries:
        return Retry(None, counts=True)
    return Retry(now + _delay(definition, run, failures), counts=True)


def _delay(definition: Definition, run: Run, failures: int) -> Micros:
    try:
        growth = definition.retry_factor ** (failures - 1)
    except OverflowError:
        growth = sys.float_info.max
    delay = min(definition.retry_delay_s * growth, definition.retry_max_delay_s)
    # Jitter by hash, not by chance: the decision stays a function of its inputs.
    share = zlib.crc32(f"{run.id}.{run.attempt}".encode()) / 0xFFFFFFFF
    return round(delay * (1 - definition.retry_jitter * share) * SECOND)
