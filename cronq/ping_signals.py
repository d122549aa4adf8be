"""What a check is told of a run: pure, from what happened to the signal that is sent.

::

    first attempt started                start
    attempt ended, another one follows   log        a failure that is not the last word is none yet
    run ended: success                   (success)
    run ended: failure with exit code    the exit status
    timeout, abandoned, killed           fail
    cancelled                            log        somebody wanted it; if no success follows, the check knows
    fire times missed                    fail       log, if one of them is being caught up right now
    fire times skipped                   log

Source: the pinging API of healthchecks.io.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from cronq.clock import datetime_from_us
from cronq.model import (
    SECOND,
    UNSTARTED,
    AttemptEnd,
    AttemptKey,
    AttemptStart,
    Claim,
    Micros,
    Outcome,
    Run,
    State,
)

START, SUCCESS, FAIL, LOG = "start", "", "fail", "log"


class Signal(NamedTuple):
    """What is sent about a run.

    Attributes:
        kind: `start`, `fail`, `log`, an exit status, or nothing for success.
        text: First lines of what is sent along.
        log: The attempt whose output follows; None: none does.
    """

    run: Run
    kind: str
    text: str
    log: AttemptKey | None = None


def of_start(claim: Claim, start: AttemptStart) -> Signal | None:
    """Return what is sent about a started attempt; only the first one starts the run."""
    run = claim.run
    if run.attempt > 1:
        return None
    since = run.queued_at if run.fire_at is None else run.fire_at
    lag_s = max(0, start.started_at - since) / SECOND
    lines = [_name(run), f"started {_utc(start.started_at)}, {lag_s:.3f}s late, by {run.trigger.value}"]
    return Signal(run, START, "\n".join(lines))


def of_end(claim: Claim, end: AttemptEnd, after: Run) -> Signal:
    """Return what is sent about an ended attempt; `after` is its run now."""
    run = claim.run
    became = end.outcome.value + (f": {end.reason}" if end.reason else "")
    took = f" after {end.usage.duration_s:.3f}s" if end.usage else ""
    text = f"{_name(run)}, attempt {run.attempt}\n{became}{took}"
    if after.state is not State.DONE:
        again_s = max(0, after.available_at - end.finished_at) / SECOND
        return Signal(run, LOG, f"{text}\nnext attempt in {again_s:.0f}s", claim.key)
    return Signal(run, _kind_of(end, after.outcome or end.outcome), text, claim.key)


def _kind_of(end: AttemptEnd, outcome: Outcome) -> str:
    if outcome is Outcome.SUCCESS:
        return SUCCESS
    if outcome is Outcome.CANCELLED:
        return LOG
    if outcome is Outcome.FAILURE and end.exit_code is not None and 1 <= end.exit_code <= 255:
        return str(end.exit_code)
    return FAIL


def of_launch(runs: Iterable[Run], is_wanted: Callable[[Run], bool]) -> Iterator[Signal]:
    """Yield what is sent about fire times that passed, out of what was launched together.

    Args:
        runs: All that were launched.
        is_wanted: Whether the job of a run has a check; asked only about those that passed.
    """
    launched = list(runs)
    passed = [run for run in launched if run.outcome in UNSTARTED and is_wanted(run)]
    caught_up = {run.job_id for run in launched if run.state is State.QUEUED} if passed else set()
    for run in passed:
        is_failure = run.outcome is Outcome.MISSED and run.job_id not in caught_up
        yield Signal(run, FAIL if is_failure else LOG, _passed(run))


def _passed(run: Run) -> str:
    first, last = run.fire_at or run.logical_at, run.last_fire_at or run.fire_at or run.logical_at
    span = _utc(first) if first == last else f"{_utc(first)} to {_utc(last)}"
    count = "1 fire time" if run.fire_count == 1 else f"{run.fire_count} fire times"
    outcome = run.outcome.value if run.outcome else ""
    return f"{_name(run)}\n{count} {outcome}, {span}: {run.reason}"


def _name(run: Run) -> str:
    return f"{run.job} #{run.id}, about {_utc(run.logical_at)}"


def _utc(at: Micros) -> str:
    return datetime_from_us(at).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"
