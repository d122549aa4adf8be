"""Why there is no fire time at an instant."""

from __future__ import annotations

from collections.abc import Iterator

from cronq.model import Micros
from cronq.why.facts import Facts, InForce, Reason


def about_nothing(facts: Facts, at: Micros) -> Iterator[Reason]:
    """Yield why an instant is no fire time of the job, and which ones are next to it."""
    job = facts.job
    if at <= job.created_at:
        yield Reason("not_added_yet", ("the job was added only at ", job.created_at))
    elif job.removed_at is not None and at > job.removed_at:
        yield Reason("removed", ("the job was removed at ", job.removed_at))
    elif facts.in_force_then is not None:
        yield from _not_named(facts, facts.in_force_then, at)
    if facts.before is not None:
        yield Reason("before", ("the one before it is ", facts.before, *_noted(facts, facts.before)))
    if facts.after is not None:
        yield Reason("after", ("the one after it is ", facts.after, *_noted(facts, facts.after)))


def _not_named(facts: Facts, rule: InForce, at: Micros) -> Iterator[Reason]:
    definition = rule.definition
    if rule.until is not None:
        yield Reason(
            "older_revision",
            (f"revision {rule.revision} was in force, from ", rule.since, " until ", rule.until),
        )
        for change in rule.changes:
            yield Reason("changed", (f"then was changed: {change}",))
    if definition is None or rule.times is None:
        yield Reason("uncomputable", (f"revision {rule.revision} cannot be computed any more",))
        return
    if rule.bare is None or rule.bare.next_us(at - 1) != at:
        yield Reason(
            "schedule", (f"the schedule `{definition.schedule}` ({definition.tz}) does not name it",)
        )
        return
    # The schedule alone does name it: something else takes it away.
    for option, bound in (("--from", definition.valid_from), ("--until", definition.valid_until)):
        if bound is not None and _is_outside(facts, option):
            yield Reason("bound", (f"it is outside of {option} {bound}",))
            return
    used = ", ".join(definition.calendars)
    yield Reason("calendar", (f"its calendars leave that day out, or move it: {used}",))


def _is_outside(facts: Facts, option: str) -> bool:
    """Whether nothing of the job lies on the side of a bound that the instant is on."""
    return (facts.before if option == "--from" else facts.after) is None


def _noted(facts: Facts, at: Micros) -> tuple[str, ...]:
    note = facts.in_force_then.note(at) if facts.in_force_then is not None else ""
    return (f" ({note})",) if note else ()
