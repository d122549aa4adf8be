"""Why a fire time that is in the ledger became what it did."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cronq.model import SECOND, Attempt, Definition, Micros, Outcome, State, Trigger
from cronq.plan import UNCOMPUTABLE
from cronq.why.facts import Bystander, Facts, InForce, Life, Parts, Reason, Recorded, took

_NOTICEABLE = 2 * SECOND
"""Less than this is how long a start takes on a busy machine, and needs no reason."""
_NAMED = 3


def about_row(facts: Facts, row: Recorded) -> Iterator[Reason]:
    """Yield what became of a fire time, and why, the most important first."""
    run = row.run
    if run.fire_count > 1 and run.fire_at is not None and run.last_fire_at is not None:
        yield Reason(
            "together",
            (
                f"it shares run #{run.id} with {run.fire_count - 1} more, from ",
                run.fire_at,
                " to ",
                run.last_fire_at,
            ),
        )
    if run.outcome in {Outcome.SKIPPED, Outcome.MISSED}:
        yield from _unstarted(facts, row)
        return
    if run.started_at is not None:
        yield from _started(facts, row, run.started_at)
    else:
        over = "" if run.outcome is None else ", and never started"
        yield Reason("not_started", (f"run #{run.id} was queued at ", run.queued_at, over))
        yield from _seen_late(row)
    for attempt in row.attempts:
        yield _attempt(attempt, len(row.attempts))
    if run.outcome is Outcome.CANCELLED:
        yield Reason("cancelled", (f"run #{run.id} was cancelled: {run.reason}",))


# What had no process


def _unstarted(facts: Facts, row: Recorded) -> Iterator[Reason]:
    run, definition = row.run, _definition(facts.in_force)
    kind, _, rest = run.reason.partition(": ")
    if kind == "overlap":
        yield from _overlap(row, definition, rest)
    elif kind == "late":
        yield from _late(row, definition, rest)
    elif kind == "blackout":
        yield Reason("blackout", (f"the blackout {rest} drops what falls into it",))
    elif run.reason == "paused":
        yield Reason("paused", ("the job was paused then; that was recorded at ", run.queued_at))
    elif run.reason == "removed":
        yield Reason("removed", ("the job was removed at ", run.finished_at or run.queued_at))
    elif run.reason == UNCOMPUTABLE:
        yield Reason(
            "uncomputable", ("its schedule could not be computed then (a zone or a calendar was gone)",)
        )
    else:
        yield Reason("other", (run.reason or "no reason is recorded",))
    if kind == "late":
        yield from nobody_there(row.lives, row.fire_at, run.queued_at)


def _overlap(row: Recorded, definition: Definition | None, rest: str) -> Iterator[Reason]:
    policy = f" (--overlap {definition.overlap})" if definition else ""
    own = [one for one in row.others if one.job == row.run.job]
    if rest.startswith("replaced"):
        yield Reason("overlap", (f"the next fire time took its place{policy}",))
    elif rest.startswith("the queue is full"):
        yield Reason("queue_full", (f"{rest}{policy}",))
    elif rest.startswith("due together"):
        when = row.run.queued_at
        yield Reason(
            "overlap",
            ("several fire times were seen at once, at ", when, f", and an earlier one ran{policy}"),
        )
        yield from nobody_there(row.lives, row.fire_at, when)
        return
    else:
        yield Reason("overlap", (f"the job was still active{policy}",))
    for one in own[:_NAMED]:
        since = one.started_at
        what: Parts = (
            (" was queued since ", one.queued_at) if since is None else (" was running since ", since)
        )
        yield Reason("active", (f"run #{one.run_id}", *what))


def _late(row: Recorded, definition: Definition | None, rest: str) -> Iterator[Reason]:
    run = row.run
    if row.fire_at is not None:
        grace = f", and its grace is {took(round(definition.grace_s * SECOND))}" if definition else ""
        yield Reason(
            "misfire",
            ("the scheduler saw it at ", run.queued_at, f", {took(run.queued_at - row.fire_at)} late{grace}"),
        )
    if rest.startswith("catch-up skip"):
        yield Reason("catch_up", ("what is late is not run: --catch-up skip",))
    elif rest.startswith("older"):
        window = f" of {took(round(definition.catch_up_window_s * SECOND))}" if definition else ""
        yield Reason("catch_up_window", (f"it was older than the catch-up window{window}",))
    elif rest.startswith("beyond"):
        limit = f" of {definition.catch_up_limit}" if definition else ""
        yield Reason("catch_up_limit", (f"more had been missed than the catch-up limit{limit} lets run",))
    elif rest.startswith("superseded"):
        yield Reason("superseded", ("of several that are late only the newest runs: --catch-up latest",))
        if row.successor is not None and row.successor.fire_at is not None:
            after = row.successor
            yield Reason("superseded_by", (f"that was run #{after.id}, for ", after.fire_at or 0))


def nobody_there(lives: Sequence[Life], start: Micros | None, end: Micros) -> Iterator[Reason]:
    """Yield which schedulers were there between a fire time and when one saw it."""
    if start is None or end - start < _NOTICEABLE:
        return
    earlier = [life for life in lives if life.started_at <= start]
    later = [life for life in lives if start < life.started_at <= end]
    last = earlier[-1] if earlier else None
    if last is None:
        if later:
            yield Reason("no_scheduler", ("no scheduler is known to have run before ", later[0].started_at))
    elif last.stopped_at is not None and last.stopped_at <= start:
        tail: Parts = (" to ", later[0].started_at) if later else (" on",)
        yield Reason("no_scheduler", ("no scheduler was running from ", last.stopped_at, *tail))
    elif later:
        yield Reason(
            "scheduler_killed",
            (
                "the scheduler that had started at ",
                last.started_at,
                f" (pid {last.pid}) did not end by itself: it was"
                " killed, or the machine went down; the next one started at ",
                later[0].started_at,
            ),
        )
    else:
        yield Reason(
            "scheduler_late",
            (
                f"a scheduler (pid {last.pid}) was running since ",
                last.started_at,
                ", and was held up: the machine"
                " slept, its clock was set forward, or the database could not be written",
            ),
        )


# What had


def _started(facts: Facts, row: Recorded, started_at: Micros) -> Iterator[Reason]:
    run = row.run
    if row.fire_at is None:
        yield Reason(run.trigger.value, (f"run #{run.id} was made at ", run.queued_at, f" ({run.trigger})"))
        due_at = run.queued_at
    else:
        due_at = row.fire_at
        lag = started_at - due_at
        if lag < _NOTICEABLE:
            yield Reason("on_time", (f"run #{run.id} started on time",))
        else:
            yield Reason("late", (f"run #{run.id} started at ", started_at, f", {took(lag)} late"))
    if started_at - due_at >= _NOTICEABLE:
        yield from _delays(facts, row)


def _seen_late(row: Recorded) -> Iterator[Reason]:
    """Yield why a run was launched only after its fire time."""
    run, due_at = row.run, row.fire_at
    if due_at is None or run.queued_at - due_at < _NOTICEABLE:
        return
    late = took(run.queued_at - due_at)
    yield Reason("seen_late", ("the scheduler saw it at ", run.queued_at, f", {late} late"))
    yield from nobody_there(row.lives, due_at, run.queued_at)
    if run.trigger is Trigger.CATCH_UP:
        yield Reason("caught_up", ("it is one that is caught up (--catch-up)",))


def _delays(facts: Facts, row: Recorded) -> Iterator[Reason]:
    """Yield what a run that started late had to wait for, in the order of time."""
    yield from _seen_late(row)
    placement = facts.in_force.placement if facts.in_force else None
    if placement is not None and row.fire_at is not None:
        start_at = row.fire_at + placement.delay_us(row.fire_at)
        if start_at > row.run.queued_at:
            yield Reason("jitter", (f"its jitter is {took(start_at - row.fire_at)}",))
        hold = placement.hold(max(start_at, row.run.queued_at))
        if hold is not None:
            yield Reason("blackout", (f"the blackout {hold.text} held it until ", hold.ends_at))
    available = ready_at(facts, row)
    claimed_at = row.attempts[0].claimed_at if row.attempts else None
    if claimed_at is not None and claimed_at - available >= _NOTICEABLE:
        yield Reason("queued", (f"it waited in the queue for {took(claimed_at - available)}",))
        yield from _in_the_way(facts, row)


def ready_at(facts: Facts, row: Recorded) -> Micros:
    """Return when a run could have begun: it was launched, and neither jitter nor a blackout held it."""
    run = row.run
    ready = run.queued_at
    placement = facts.in_force.placement if facts.in_force else None
    if placement is not None and row.fire_at is not None:
        start_at = row.fire_at + placement.delay_us(row.fire_at)
        hold = placement.hold(max(start_at, run.queued_at))
        ready = max(ready, start_at if hold is None else hold.ends_at)
    return ready


def _in_the_way(facts: Facts, row: Recorded) -> Iterator[Reason]:
    definition = _definition(facts.in_force)
    running = [one for one in row.others if one.started_at is not None]
    own = [one for one in running if one.job == row.run.job]
    wanted = set(definition.locks) if definition else set()
    shared = [one for one in running if wanted & set(one.locks)]
    if definition and definition.max_running is not None and len(own) >= definition.max_running:
        yield Reason(
            "max_running",
            (f"{_runs(own)} of the job {_was(own)} running (--max-running {definition.max_running})",),
        )
    elif shared:
        locks = ", ".join(sorted({name for one in shared for name in wanted & set(one.locks)}))
        yield Reason("lock", (f"it needs {locks}, which {_runs(shared, jobs=True)} held",))
    elif wanted:
        yield Reason(
            "lock", (f"it needs the locks {', '.join(sorted(wanted))}; who held them then is not recorded",)
        )
    elif running:
        yield Reason(
            "busy", (f"{len(running)} other runs were running then, {_runs(running, jobs=True)} among them",)
        )


def _runs(some: Sequence[Bystander], *, jobs: bool = False) -> str:
    named = [f"{one.job} #{one.run_id}" if jobs else f"run #{one.run_id}" for one in some[:_NAMED]]
    return ", ".join(named) + (" and others" if len(some) > _NAMED else "")


def _was(some: Sequence[Bystander]) -> str:
    return "was" if len(some) == 1 else "were"


def _attempt(attempt: Attempt, count: int) -> Reason:
    name = f"attempt {attempt.attempt}: " if count > 1 else ""
    if attempt.outcome is None:
        began = attempt.started_at or attempt.claimed_at
        return Reason("running", (f"{name}running since ", began))
    how = attempt.outcome.value
    if attempt.reason and attempt.reason != how:
        how += f" ({attempt.reason})"
    elif attempt.exit_code:
        how += f" (exit {attempt.exit_code})"
    elif attempt.signal is not None:
        how += f" (signal {attempt.signal})"
    if attempt.usage is not None:
        how += f" after {took(round(attempt.usage.duration_s * SECOND))}"
    if attempt.finished_at is None:
        return Reason("attempt", (f"{name}{how}",))
    return Reason("attempt", (f"{name}{how}, at ", attempt.finished_at))


def _definition(in_force: InForce | None) -> Definition | None:
    return None if in_force is None else in_force.definition


def verdict_of(row: Recorded) -> str:
    """Return what became of it, in one word."""
    run = row.run
    return run.outcome.value if run.state is State.DONE and run.outcome is not None else run.state.value
