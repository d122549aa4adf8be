"""The JSON of jobs, runs and attempts: the promise to machines, as `cronq help json` states it.

Keys are only ever added. Instants are RFC 3339 in UTC with `Z`; durations are seconds in keys that end in
`_s`; what does not apply is null, never absent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cronq.model import Attempt, Definition, Job, Run
from cronq.render.times import iso

if TYPE_CHECKING:
    from cronq.cli._schedules import Times


def job_document(job: Job) -> dict[str, object]:
    """Return a job for JSON."""
    return {
        "name": job.name,
        "schedule": job.definition.schedule,
        "tz": job.definition.tz,
        "next_fire_at": iso(job.next_fire_at) if job.paused_at is None else None,
        "paused_at": iso(job.paused_at),
        "revision": job.revision,
        "created_at": iso(job.created_at),
        "changed_at": iso(job.changed_at),
        "origin": job.origin or "hand",
    }


def definition_document(definition: Definition, *, reveal: bool) -> dict[str, object]:
    """Return a definition for JSON; values of variables, and where pings go, only if asked for."""
    command = definition.command
    document: dict[str, object] = {
        "command": {
            "kind": command.kind.value,
            "words": list(command.words),
            "args": command.args or None,
        },
        "env": {name: value if reveal else None for name, value in definition.env},
    }
    if definition.ping is not None and not reveal:
        from cronq.ping_urls import masked

        document["ping"] = masked(definition.ping)
    for name in Definition._fields:
        if name in document:
            continue
        value = getattr(definition, name)
        document[name] = list(value) if isinstance(value, tuple) else value
    return document


def defined_document(job: Job, times: Times) -> dict[str, object]:
    """Return a job whose definition was given or changed, for JSON."""
    from cronq.cli._schedules import sentence_of

    return job_document(job) | {
        "sentence": sentence_of(times, job.definition),
        "definition": definition_document(job.definition, reveal=False),
    }


def run_document(run: Run, attempt: Attempt | None) -> dict[str, object]:
    """Return a run for JSON, with the outcome of its last attempt."""
    started_at = run.started_at
    lag = None if started_at is None else (started_at - (run.fire_at or run.queued_at)) / 1_000_000
    usage = attempt.usage if attempt else None
    return {
        "id": run.id,
        "job": run.job,
        "trigger": run.trigger.value,
        "state": run.state.value,
        "outcome": run.outcome.value if run.outcome else None,
        "reason": run.reason or None,
        "fire_at": iso(run.fire_at),
        "last_fire_at": iso(run.last_fire_at),
        "fire_count": run.fire_count,
        "logical_at": iso(run.logical_at),
        "queued_at": iso(run.queued_at),
        "available_at": iso(run.available_at),
        "started_at": iso(started_at),
        "finished_at": iso(run.finished_at),
        "lag_s": lag,
        "duration_s": usage.duration_s if usage else None,
        "attempt": run.attempt,
        "failures": run.failures,
        "exit_code": attempt.exit_code if attempt else None,
        "signal": attempt.signal if attempt else None,
        "priority": run.priority,
        "revision": run.revision,
        "stop_reason": run.stop_reason,
        "worker": run.worker,
        "output_bytes": attempt.output_bytes if attempt else None,
    }


def attempt_document(attempt: Attempt) -> dict[str, object]:
    """Return an attempt for JSON."""
    usage = attempt.usage
    return {
        "attempt": attempt.attempt,
        "outcome": attempt.outcome.value if attempt.outcome else None,
        "reason": attempt.reason or None,
        "claimed_at": iso(attempt.claimed_at),
        "started_at": iso(attempt.started_at),
        "finished_at": iso(attempt.finished_at),
        "pid": attempt.pid,
        "exit_code": attempt.exit_code,
        "signal": attempt.signal,
        "duration_s": usage.duration_s if usage else None,
        "user_s": usage.user_s if usage else None,
        "system_s": usage.system_s if usage else None,
        "max_rss_bytes": usage.max_rss if usage else None,
        "worker": attempt.worker,
        "output_bytes": attempt.output_bytes,
    }
