"""Short ways to put a store into a state; every step goes through the interface."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cronq.model import (
    SECOND,
    AttemptEnd,
    AttemptStart,
    Claim,
    Command,
    CommandKind,
    Definition,
    Job,
    Micros,
    Outcome,
    Run,
    Trigger,
    Usage,
)
from cronq.plan import Fire, Launch, Passed
from cronq.store import JobChange, NewJob, Store

NOW: Micros = 1_800_000_000 * SECOND
MINUTE = 60 * SECOND
BOOT = "boot-1"


def definition(**fields: Any) -> Definition:
    return Definition(Command(CommandKind.ARGV, ("true",)), "* * * * *")._replace(**fields)


def add(
    store: Store, name: str = "job", *, due: Micros | None = NOW, at_startup: bool = False, **fields: Any
) -> Job:
    """Add a job whose watermark is `due`."""
    return store.add_job(NewJob(name, definition(**fields), due, at_startup), now=NOW)


def fires(job: Job, *fire_times: Micros, replaces: bool = False) -> Launch:
    """Return the decision that these fire times become runs; the next one is a minute after the last."""
    entries = tuple(Fire(fire_at, Trigger.SCHEDULE) for fire_at in fire_times)
    following = fire_times[-1] + MINUTE if fire_times else job.next_fire_at
    return Launch(job, entries, following, replaces)


def passed(job: Job, first: Micros, last: Micros, count: int) -> Launch:
    """Return the decision that these fire times are missed."""
    return Launch(job, (Passed(first, last, count, Outcome.MISSED, "late"),), last + MINUTE)


def fire(store: Store, name: str, fire_at: Micros, *, now: Micros | None = None) -> Run:
    """Launch one fire time of a job."""
    (run,) = store.launch([fires(store.job(name), fire_at)], now=fire_at if now is None else now)
    return run


def claim_all(store: Store, workers: int = 99, *, now: Micros = NOW) -> list[Claim]:
    return store.claim([f"w{n}" for n in range(workers)], BOOT, now=now)


def claim_one(store: Store, *, now: Micros = NOW) -> Claim:
    (claim,) = store.claim(["w0"], BOOT, now=now)
    return claim


def start(claim: Claim, at: Micros = NOW + SECOND) -> AttemptStart:
    return AttemptStart(claim.key, 4711, at)


def end(claim: Claim, outcome: Outcome = Outcome.SUCCESS, **fields: Any) -> AttemptEnd:
    values: dict[str, Any] = {
        "finished_at": NOW + 3 * SECOND,
        "started_at": NOW + SECOND,
        "pid": 4711,
        "exit_code": 0 if outcome is Outcome.SUCCESS else 1,
        "usage": Usage(2.0, 1.0, 0.5, 4096),
        **fields,
    }
    return AttemptEnd(claim.key, outcome, **values)


def finish(store: Store, claim: Claim, outcome: Outcome = Outcome.SUCCESS, **fields: Any) -> Run:
    (run,) = store.record([start(claim)], [end(claim, outcome, **fields)])
    return run


def done_run(store: Store, name: str = "job", outcome: Outcome = Outcome.SUCCESS, **fields: Any) -> Run:
    """Trigger, claim and finish a run of a job."""
    store.trigger([name], now=NOW)
    return finish(store, claim_one(store), outcome, **fields)


def pause(store: Store, *names: str, now: Micros = NOW) -> list[Job] | None:
    jobs = store.named_jobs(names)
    return store.change_jobs([JobChange(fires(job), paused_at=now) for job in jobs], now=now)


def resume(store: Store, *names: str, now: Micros = NOW) -> list[Job] | None:
    return store.change_jobs([JobChange(fires(job)) for job in store.named_jobs(names)], now=now)


def remove(store: Store, *names: str, now: Micros = NOW) -> list[Job] | None:
    jobs = store.named_jobs(names)
    return store.change_jobs(
        [JobChange(fires(job), paused_at=job.paused_at, removed=True) for job in jobs], now=now
    )


def redefine(store: Store, name: str, *, now: Micros = NOW, **fields: Any) -> Job:
    job = store.job(name)
    changed = store.change_jobs([JobChange(fires(job), job.definition._replace(**fields))], now=now)
    assert changed is not None
    return changed[0]


def ids(runs: Sequence[Run]) -> list[int]:
    return [run.id for run in runs]
