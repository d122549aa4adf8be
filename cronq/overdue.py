"""Does a job lack a success that it should have had by now? A dead man's switch, decided purely.

It reads no ledger and no clock: who asks says what is known of each job (`Watched`), from whatever source.
Time is counted to the *end* of a success, because that is when somebody had what the job is for.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from cronq.model import SECOND, Definition, Micros
from cronq.plan import FireTimes, Placement

_MOST_STEPS = 10_000
"""So many fire times, each in a blackout that drops it, are passed over; then nothing is expected."""


class Success(NamedTuple):
    """A job's newest success.

    Attributes:
        about: Its fire time, or when it was asked for.
        ended_at: When it was there.
    """

    about: Micros
    ended_at: Micros


class Watched(NamedTuple):
    """What is known of a job.

    Attributes:
        since: Fire times up to this expect nothing: it was added, resumed, or got its schedule then.
        took_s: How long it takes at most, as far as is known; only asked for where it has no timeout.
        trouble: Why it cannot be judged; then nothing else counts.
    """

    name: str
    definition: Definition
    times: FireTimes | None
    since: Micros
    placement: Placement | None = None
    success: Success | None = None
    is_paused: bool = False
    took_s: float = 0.0
    trouble: str = ""


class Standing(StrEnum):
    """How a job stands."""

    OK = "ok"
    OVERDUE = "overdue"
    WAITING = "waiting"
    """Nothing was due yet for which a success could be expected by now."""
    PAUSED = "paused"
    UNKNOWN = "unknown"
    """It cannot be judged: its definition or its schedule cannot be read, or a state does not know it."""


ALARMING = frozenset({Standing.OVERDUE, Standing.UNKNOWN})
"""What a dead man's switch is for: silence about a job is no good news."""


class Verdict(NamedTuple):
    """How a job stands, and by what.

    Attributes:
        fire_at: The fire time that was looked at; None: there was none, or a window was asked for.
        due_by: When its success was to be there at the latest; of a window, when it ran out.
    """

    name: str
    standing: Standing
    success: Success | None
    fire_at: Micros | None = None
    due_by: Micros | None = None
    trouble: str = ""


class Expected(NamedTuple):
    """A fire time, and when its success is to be there."""

    fire_at: Micros
    due_by: Micros


def judge(
    job: Watched, now: Micros, *, within_s: float | None = None, late_s: float | None = None
) -> Verdict:
    """Return how a job stands.

    Args:
        job: What is known of it.
        now: The instant that counts.
        within_s: A success must have ended within this; None: its schedule says when one is due.
        late_s: How long after a start is due its success may come; None: the job's grace, its timeout or as
            long as it takes, and its retries. Not used with `within_s`.
    """
    if job.trouble or job.times is None:
        return Verdict(job.name, Standing.UNKNOWN, job.success, trouble=job.trouble)
    if job.is_paused:
        return Verdict(job.name, Standing.PAUSED, job.success)
    if within_s is not None:
        return _within(job, job.times, now, round(within_s * SECOND))
    patience = round((_patience_s(job) if late_s is None else late_s) * SECOND)
    expected = _expected(job, job.times, now, patience)
    if expected is None:
        return Verdict(job.name, Standing.WAITING, job.success)
    standing = Standing.OK if _came(job.success, expected.fire_at) else Standing.OVERDUE
    return Verdict(job.name, standing, job.success, expected.fire_at, expected.due_by)


def _within(job: Watched, times: FireTimes, now: Micros, window: Micros) -> Verdict:
    start = now - window
    success = job.success
    if success is not None and success.ended_at >= start:
        return Verdict(job.name, Standing.OK, success, due_by=success.ended_at + window)
    last = times.prev_us(now + 1)
    if last is not None and times.next_us(last) is None and _came(success, last):
        return Verdict(job.name, Standing.OK, success, last)  # over, and well
    if job.since > start or last is None or last <= job.since:
        return Verdict(job.name, Standing.WAITING, success)
    ran_out = job.since if success is None else max(success.ended_at, job.since)
    return Verdict(job.name, Standing.OVERDUE, success, due_by=ran_out + window)


def _patience_s(job: Watched) -> float:
    """Return how long after its start was due a success may come: its last attempt may be the one."""
    definition = job.definition
    took_s = job.took_s if definition.timeout_s is None else definition.timeout_s
    return definition.grace_s + took_s * (definition.retries + 1) + _delays_s(definition)


def _delays_s(definition: Definition) -> float:
    """Return how long all retries wait at most; see `cronq.plan.after_attempt`."""
    total_s, delay_s = 0.0, definition.retry_delay_s
    for _ in range(definition.retries):
        total_s += min(delay_s, definition.retry_max_delay_s)
        delay_s = min(delay_s * definition.retry_factor, definition.retry_max_delay_s)
    return total_s


def _expected(job: Watched, times: FireTimes, now: Micros, patience: Micros) -> Expected | None:
    """Return the last fire time whose success is to be there by now."""
    fire_at = times.prev_us(now - patience + 1)
    for _ in range(_MOST_STEPS):
        if fire_at is None or fire_at <= job.since:
            return None
        start_at = _starts_at(job.placement, fire_at)
        if start_at is not None and start_at + patience <= now:
            return Expected(fire_at, start_at + patience)
        fire_at = times.prev_us(fire_at)
    return None


def _starts_at(placement: Placement | None, fire_at: Micros) -> Micros | None:
    """Return when the run of a fire time starts if nobody is in its way; None: a blackout drops it."""
    if placement is None:
        return fire_at
    start_at = fire_at + placement.delay_us(fire_at)
    hold = placement.hold(start_at)
    if hold is None:
        return start_at
    return None if hold.drops else hold.ends_at


def _came(success: Success | None, fire_at: Micros) -> bool:
    """Return whether there is a success about a fire time or a later one, or one that ended after it.

    The latter is of a job that runs longer than its interval: the fire time was skipped, not the work.
    """
    return success is not None and (success.about >= fire_at or success.ended_at >= fire_at)
