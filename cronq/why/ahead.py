"""What a job waits for now, and what it does next."""

from __future__ import annotations

from collections.abc import Iterator

from cronq.model import Micros, Run, State, Trigger
from cronq.why.facts import Facts, Parts, Present, Reason, took


def about_next(facts: Facts) -> Iterator[Reason]:
    """Yield what happens next, and what stands in its way."""
    job, now = facts.job, facts.now
    if job.removed_at is not None:
        yield Reason("removed", ("the job was removed at ", job.removed_at))
    for run in facts.present.active:
        yield from _active(facts, run)
    if job.removed_at is not None:
        return
    if not facts.is_computable:
        yield Reason(
            "uncomputable",
            (f"its schedule cannot be computed, a zone or calendar is gone: cronq check {job.name}",),
        )
    mark = job.next_fire_at
    if job.paused_at is not None:
        yield Reason("paused", ("it is paused since ", job.paused_at, f"; to go on: cronq resume {job.name}"))
    elif mark is None and facts.at_startup:
        yield Reason("at_startup", ("it runs at the start of the scheduler, once in each boot",))
    elif mark is None:
        yield Reason("no_more", ("it has no further fire time",))
    elif mark > now:
        yield Reason("next", ("its next fire time is ", mark, f", in {took(mark - now)}"))
    else:
        yield Reason("due", ("it is due since ", mark))
    waits = facts.present.active or (mark is not None and job.paused_at is None)
    if waits and not facts.present.alive:
        yield from _nobody(facts.present)


def about_due(facts: Facts, fire_at: Micros) -> Iterator[Reason]:
    """Yield why a fire time that nothing is decided about yet is not in the ledger."""
    if fire_at > facts.now:
        yield Reason("ahead", (f"it is not due yet: in {took(fire_at - facts.now)}",))
    elif facts.job.paused_at is not None:
        yield Reason("paused", ("the job is paused since ", facts.job.paused_at))
    elif facts.present.alive:
        yield Reason("due", ("the scheduler has not decided about it yet",))
    else:
        yield Reason("due", ("no scheduler has seen it yet",))


def _active(facts: Facts, run: Run) -> Iterator[Reason]:
    now = facts.now
    if run.state is State.RUNNING:
        stopping = f"; it is being stopped: {run.stop_reason}" if run.stop_reason else ""
        yield Reason(
            "running", (f"run #{run.id} is running since ", run.started_at or run.queued_at, stopping)
        )
    elif run.available_at > now:
        what = "its next attempt may begin at " if run.attempt else "it may begin at "
        yield Reason("held_back", (f"run #{run.id} is queued; {what}", run.available_at))
    else:
        since = took(max(0, now - run.available_at))
        yield Reason("queued", (f"run #{run.id} is queued for {since}{_waits_for(facts, run)}",))


def _waits_for(facts: Facts, run: Run) -> str:
    """Return what a run that could begin waits for, as the end of a sentence."""
    job, present = facts.job, facts.present
    if job.paused_at is not None and run.trigger is not Trigger.MANUAL:
        return "; it waits for the job to be resumed"
    if not present.alive:
        return "; it waits for a scheduler"
    own = sum(one.state is State.RUNNING for one in present.active)
    limit = job.definition.max_running
    if limit is not None and own >= limit:
        return f"; {own} of the job may run at a time, and {own} do"
    if present.held_by:
        return "; it waits for " + ", ".join(f"lock {name}, held by {who}" for name, who in present.held_by)
    return f"; it waits for a worker, {present.executing} runs are running"


def _nobody(present: Present) -> Iterator[Reason]:
    life = present.last_life
    hint = "; start one: cronq run"
    if life is None:
        yield Reason("no_scheduler", (f"no scheduler is running{hint}",))
    elif life.stopped_at is not None:
        yield Reason(
            "no_scheduler", ("no scheduler is running; the last one ended at ", life.stopped_at, hint)
        )
    else:
        began: Parts = ("no scheduler is running; the last one, of ", life.started_at)
        yield Reason("no_scheduler", (*began, f" (pid {life.pid}), was killed{hint}"))
