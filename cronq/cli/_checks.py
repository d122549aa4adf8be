"""What may be wrong with a job, for `cronq check` and for the warnings of `add` and `set`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cronq.clock import datetime_from_us
from cronq.errors import CronqError
from cronq.model import SECOND, Definition, Job, Micros, Overlap

if TYPE_CHECKING:
    from cronq.cli._schedules import Times

ERROR, WARNING, NOTE = "error", "warning", "note"
_LOOKED_AT = 100


class Finding(NamedTuple):
    """Something about a job.

    Attributes:
        level: `error`, `warning` or `note`.
        assertion: The assertion that does not hold, if this is about one.
        at: Offending instants.
    """

    level: str
    message: str
    hint: str = ""
    assertion: str | None = None
    at: tuple[Micros, ...] = ()


def findings(
    job: Job, calendars: Mapping[str, str], now: Micros, *, elsewhere: bool = False
) -> Iterator[Finding]:
    """Yield all that is to be said about a job, the foundations first.

    Args:
        job: The job.
        calendars: The named calendars.
        now: From when on fire times are looked at.
        elsewhere: It runs on another machine, so that files and users are not looked for.
    """
    from cronq.timing import times_of

    if not elsewhere:
        yield from _files(job)
        yield from _user(job)
    try:
        times = times_of(job, calendars)
        is_over = times.next_us(now) is None and not times.at_startup
    except CronqError as error:
        yield Finding(ERROR, error.message, error.hint or f"cronq set {job.name} with one that can be read")
        return
    if is_over:
        yield Finding(ERROR, "no fire time is left", f"cronq remove {job.name}, or give it another schedule")
    else:
        yield from (Finding(w.severity, w.message) for w in times.warnings(datetime_from_us(now)))
    yield from broken_assertions(job.definition, times, now)
    yield from _starts(job, times, now)
    yield from _overlaps(job.definition, times, now)


def broken_assertions(definition: Definition, times: Times, now: Micros) -> Iterator[Finding]:
    """Yield the assertions that do not hold, and those that cannot be read any more."""
    for text in definition.assertions:
        from cronq.schedule.assertions import parse_assertion

        try:
            violation = parse_assertion(text).check(times, definition.tz, now)
        except CronqError as error:
            yield Finding(ERROR, f"assertion `{text}`: {error.message}", error.hint, text)
            continue
        if violation is not None:
            message = f"assertion `{text}` does not hold: {violation.message}"
            yield Finding(ERROR, message, "", text, violation.at_us)


def _files(job: Job) -> Iterator[Finding]:
    path = job.definition.env_file
    if path is None:
        return
    try:
        mode = Path(path).stat().st_mode
    except OSError as error:
        yield Finding(
            ERROR,
            f"its env file {path} cannot be read: {error.strerror}",
            f"cronq set {job.name} --env-file FILE",
        )
        return
    if mode & 0o077:
        yield Finding(WARNING, f"other users have rights on its env file {path}", f"chmod 600 {path}")


def _user(job: Job) -> Iterator[Finding]:
    if job.definition.user is None:
        return
    from cronq.worker.accounts import trouble_with

    if trouble := trouble_with(job.definition.user):
        yield Finding(ERROR, trouble, f"cronq set {job.name} --user NAME")


def _next_ones(times: Times, now: Micros) -> Iterator[Micros]:
    at = times.next_us(now)
    while at is not None:
        yield at
        at = times.next_us(at)


def _starts(job: Job, times: Times, now: Micros) -> Iterator[Finding]:
    """Look whether blackouts let anything start."""
    from cronq.timing import placement_of

    try:
        placement = placement_of(job)
    except CronqError as error:
        yield Finding(ERROR, error.message, error.hint)
        return
    if placement is None or not job.definition.blackouts:
        return
    ahead = list(islice(_next_ones(times, now), _LOOKED_AT))
    holds = [placement.hold(at + placement.delay_us(at)) for at in ahead]
    if holds and all(hold is not None and hold.drops for hold in holds):
        many = "its next fire time" if len(holds) == 1 else f"all of its next {len(holds)} fire times"
        yield Finding(WARNING, f"its blackouts skip {many}", "", None, tuple(ahead[:3]))


def _overlaps(definition: Definition, times: Times, now: Micros) -> Iterator[Finding]:
    """Look whether a run that lasts as long as it may meets the next fire time."""
    from cronq.schedule.duration import format_duration

    if definition.timeout_s is None or definition.overlap is Overlap.ALLOW:
        return
    ahead = list(islice(_next_ones(times, now), _LOOKED_AT))
    gaps = [(later - at, at) for at, later in pairwise(ahead)]
    if not gaps:
        return
    gap, at = min(gaps)
    if definition.timeout_s * SECOND > gap:
        yield Finding(
            NOTE,
            f"a run may take {format_duration(definition.timeout_s)}, and fire times can be"
            f" {format_duration(gap / SECOND)} apart: overlap {definition.overlap.value} applies",
            "",
            None,
            (at,),
        )
