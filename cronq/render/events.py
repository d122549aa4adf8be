"""Events as words: the columns that a person reads, and the pairs that a log keeps."""

from __future__ import annotations

from cronq.events import (
    AttemptFinished,
    AttemptStarted,
    Event,
    FireTimesPassed,
    Notice,
    RunAdopted,
    RunQueued,
    SchedulerStarted,
    SchedulerStopped,
    Stopping,
    WorkerLost,
)
from cronq.model import Outcome, Trigger
from cronq.render.text import Tone, count_of, joined, plain
from cronq.render.times import duration, iso
from cronq.render.words import said, tone_of

Pairs = list[tuple[str, object]]

_KINDS: dict[type[Event], str] = {
    SchedulerStarted: "scheduler_started",
    RunQueued: "run_queued",
    FireTimesPassed: "fire_times_passed",
    AttemptStarted: "attempt_started",
    AttemptFinished: "attempt_finished",
    RunAdopted: "run_adopted",
    WorkerLost: "worker_lost",
    Notice: "notice",
    Stopping: "stopping",
    SchedulerStopped: "scheduler_stopped",
}
_FIELDS = {
    kind: tuple((name, name.endswith("_at")) for name in kind.__slots__ if name != "tail") for kind in _KINDS
}
"""The fields of each kind, but for the tail, and whether they are instants."""
_CONVERTED = (tuple, Outcome, Trigger)


def kind_of(event: Event) -> str:
    """Return the event's name in logs."""
    return _KINDS[type(event)]


def pairs_of(event: Event) -> Pairs:
    """Return the event's fields, in order, instants as RFC 3339; without the time and the tail."""
    pairs: Pairs = []
    for name, is_instant in _FIELDS[type(event)]:
        value = getattr(event, name)
        if is_instant:
            value = iso(value)
        elif isinstance(value, _CONVERTED):
            value = list(value) if isinstance(value, tuple) else value.value
        pairs.append((name, value))
    return pairs


def severity(event: Event) -> str:
    """Return `error`, `warning`, `notice` or `info`: what a log filters by."""
    if isinstance(event, Notice):
        return event.level
    if isinstance(event, AttemptFinished):
        if event.outcome is Outcome.SUCCESS:
            return "info"
        return "warning" if event.retry_in_s is not None or event.outcome is Outcome.CANCELLED else "error"
    if isinstance(event, WorkerLost):
        return "warning"
    if isinstance(event, FireTimesPassed):
        return "warning" if event.outcome is Outcome.MISSED else "notice"
    return "notice" if isinstance(event, SchedulerStarted | SchedulerStopped | Stopping) else "info"


def subject(event: Event) -> str:
    """Return `job #run` of events about a run, else nothing."""
    job, run_id = getattr(event, "job", None), getattr(event, "run_id", None)
    return f"{plain(job)} #{run_id}" if job is not None else ""


def tone(event: Event) -> Tone:
    """Return the tone of the event's word."""
    if isinstance(event, AttemptFinished):
        return tone_of(event.outcome)
    return {"error": Tone.RED, "warning": Tone.YELLOW}.get(severity(event), Tone.PLAIN)


def sentence(event: Event, *, tail_follows: bool = False) -> tuple[str, str]:
    """Return a word and the rest of the line: (`start`, `lag 41ms`).

    Args:
        event: About a run, or about the scheduler itself (then the word may be empty).
        tail_follows: The lines of output will be shown below.
    """
    if isinstance(event, AttemptFinished):
        return _finished(event, tail_follows=tail_follows)
    if isinstance(event, AttemptStarted):
        again = f" · attempt {event.attempt}" if event.attempt > 1 else ""
        return "start", f"lag {duration(max(0.0, event.lag_s))}{again}"
    if isinstance(event, RunQueued):
        return "queued", event.trigger.value.replace("_", "-")
    if isinstance(event, FireTimesPassed):
        return event.outcome.value, f"{count_of(event.count, 'fire time')} · {plain(event.reason)}"
    if isinstance(event, RunAdopted):
        return "adopted", f"attempt {event.attempt} goes on"
    return "", _about_scheduler(event)


def _finished(event: AttemptFinished, *, tail_follows: bool) -> tuple[str, str]:
    took = duration(event.duration_s)
    if event.outcome is Outcome.SUCCESS:
        return "ok", took
    parts = [f"{plain(said(event.outcome, event.reason))} after {took}"]
    if event.tail and tail_follows:
        parts.append(f"{count_of(len(event.tail), 'line')} of output below")
    if event.retry_in_s is not None:
        number = f"{event.failures}/{event.retries} " if event.retries else ""
        parts.append(f"retry {number}in {duration(max(0.0, event.retry_in_s))}")
    word = "stopped" if event.outcome is Outcome.CANCELLED else "FAIL"
    return word, " · ".join(parts)


def _about_scheduler(event: Event) -> str:
    if isinstance(event, SchedulerStarted):
        jobs, workers = count_of(event.jobs, "job"), count_of(event.workers, "worker")
        return f"cronq {event.version} · {jobs} · {workers} · {plain(event.database)}"
    if isinstance(event, WorkerLost):
        run = f" with run #{event.run_id}" if event.run_id is not None else ""
        code = f", exit {event.exit_code}" if event.exit_code is not None else ""
        return f"worker {plain(event.worker)} died{run}{code}"
    if isinstance(event, Notice):
        return plain(event.message)
    if isinstance(event, Stopping):
        return _stopping(event)
    if isinstance(event, SchedulerStopped):
        counts = f"ran {event.finished} · {event.succeeded} ok · {event.failed} failed"
        if event.cancelled:
            counts += f" · {event.cancelled} stopped"
        return f"{counts} · {duration(event.uptime_s)}"
    return kind_of(event)


def _stopping(event: Stopping) -> str:
    if not event.running:
        return "stopping"
    names = joined([plain(name) for name in event.running[:3]])
    if len(event.running) > 3:
        names = f"{joined([plain(name) for name in event.running[:2]])} and {len(event.running) - 2} more"
    return f"stopping: waiting for {names} (up to {duration(event.bound_s)}) — Ctrl-C again to kill"
