"""Rows to dataclasses, and back; the order of columns is that of `queries.*_COLUMNS`."""

from __future__ import annotations

from typing import Any

from cronq.errors import DefinitionUnreadable, StoreCorrupt
from cronq.model import Attempt, Definition, Job, Micros, Outcome, Run, State, Trigger, Usage
from cronq.plan import Fire, Passed
from cronq.store.documents import definition_from_document

JOB_WIDTH = 10
RUN_WIDTH = 21

# sqlite3 gives rows as tuples of unknown types; the STRICT tables guarantee them, and nothing untyped
# leaves this module.
Row = tuple[Any, ...]


def job_from_row(row: Row) -> Job:
    """Return the job of a row of `JOB_COLUMNS`. Raises: DefinitionUnreadable."""
    return Job(
        id=row[0],
        name=row[1],
        revision=row[2],
        definition=definition_in(row[3], row[0], row[1]),
        created_at=row[4],
        changed_at=row[5],
        next_fire_at=row[6],
        paused_at=row[7],
        removed_at=row[8],
        origin=row[9],
    )


def definition_in(document: str | None, job_id: int, job: str, run_id: int | None = None) -> Definition:
    """Return the definition of a job, or of a run of it. Raises: DefinitionUnreadable."""
    if document is None:
        raise DefinitionUnreadable.of("it is not there", job_id=job_id, job=job, run_id=run_id)
    try:
        return definition_from_document(document)
    except StoreCorrupt as error:
        raise DefinitionUnreadable.of(
            str(error.__cause__ or error), job_id=job_id, job=job, run_id=run_id
        ) from error


def run_from_row(row: Row) -> Run:
    """Return the run of a row that begins with `RUN_COLUMNS`."""
    return Run(
        id=row[0],
        job_id=row[1],
        job=row[2],
        revision=row[3],
        trigger=Trigger(row[4]),
        state=State(row[5]),
        logical_at=row[6],
        queued_at=row[7],
        available_at=row[8],
        priority=row[9],
        fire_at=row[10],
        last_fire_at=row[11],
        fire_count=row[12],
        outcome=None if row[13] is None else Outcome(row[13]),
        reason=row[14],
        attempt=row[15],
        failures=row[16],
        stop_reason=row[17],
        worker=row[18],
        started_at=row[19],
        finished_at=row[20],
    )


def attempt_from_row(row: Row) -> Attempt:
    """Return the attempt of a row of `ATTEMPT_COLUMNS`."""
    usage = None if row[12] is None else Usage(row[12], row[13] or 0.0, row[14] or 0.0, row[15] or 0)
    return Attempt(
        run_id=row[0],
        attempt=row[1],
        worker=row[2],
        boot_id=row[3],
        claimed_at=row[4],
        started_at=row[5],
        finished_at=row[6],
        pid=row[7],
        outcome=None if row[8] is None else Outcome(row[8]),
        reason=row[9],
        exit_code=row[10],
        signal=row[11],
        usage=usage,
        output_bytes=row[16],
    )


def run_values(
    job_id: int, revision: int, priority: int, entry: Fire | Passed, now: Micros
) -> dict[str, object]:
    """Return the parameters of `RUN_ADD` for one entry of a launch."""
    if isinstance(entry, Fire):
        values = queued_values(
            job_id, revision, priority, entry.trigger, now, logical_at=entry.fire_at, fire_at=entry.fire_at
        )
        return values if entry.available_at is None else {**values, "available_at": entry.available_at}
    return {
        **queued_values(
            job_id,
            revision,
            priority,
            Trigger.SCHEDULE,
            now,
            logical_at=entry.first_fire_at,
            fire_at=entry.first_fire_at,
        ),
        "last_fire_at": entry.last_fire_at,
        "fire_count": entry.fire_count,
        "state": State.DONE,
        "outcome": entry.outcome,
        "reason": entry.reason,
        "finished_at": now,
    }


def run_from_values(run_id: int, job: str, values: dict[str, Any]) -> Run:
    """Return the run that was just inserted with these parameters of `RUN_ADD`."""
    return Run(
        id=run_id,
        job_id=values["job_id"],
        job=job,
        revision=values["revision"],
        trigger=values["trigger"],
        state=values["state"],
        logical_at=values["logical_at"],
        queued_at=values["now"],
        available_at=values["available_at"],
        priority=values["priority"],
        fire_at=values["fire_at"],
        last_fire_at=values["last_fire_at"],
        fire_count=values["fire_count"],
        outcome=values["outcome"],
        reason=values["reason"],
        finished_at=values["finished_at"],
    )


def locks_text(definition: Definition) -> str | None:
    """Return the named locks of a definition as the job's row holds them."""
    return " ".join(definition.locks) or None


def storable(text: str) -> str:
    """Return text with escapes for what a database cannot hold: the message of somebody's exception, say."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def queued_values(
    job_id: int,
    revision: int,
    priority: int,
    trigger: Trigger,
    now: Micros,
    *,
    logical_at: Micros,
    fire_at: Micros | None = None,
    trigger_key: str | None = None,
) -> dict[str, object]:
    """Return the parameters of `RUN_ADD` for a run that waits to be claimed."""
    return {
        "job_id": job_id,
        "revision": revision,
        "trigger": trigger,
        "trigger_key": trigger_key,
        "logical_at": logical_at,
        "fire_at": fire_at,
        "last_fire_at": fire_at,
        "fire_count": 1,
        "state": State.QUEUED,
        "outcome": None,
        "reason": "",
        "priority": priority,
        "now": now,
        # Fire times come before what was queued after them, also when they are caught up late.
        "available_at": now if fire_at is None else fire_at,
        "finished_at": None,
    }
