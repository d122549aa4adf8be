"""The answer to `cronq why`, put together from its parts."""

from __future__ import annotations

from collections.abc import Iterator

from cronq.why.absent import about_nothing
from cronq.why.ahead import about_due, about_next
from cronq.why.facts import Answer, Facts, Reason
from cronq.why.past import about_row, verdict_of


def explain(facts: Facts) -> Answer:
    """Return why the fire time in question became what it did, or why there is none."""
    asked_at = facts.asked_at
    is_absent = asked_at is not None and asked_at != facts.fire_at
    absent = tuple(about_nothing(facts, asked_at)) if asked_at is not None and is_absent else ()
    verdict, reasons = _about_it(facts)
    return Answer(verdict, absent, reasons, tuple(about_next(facts)))


def _about_it(facts: Facts) -> tuple[str, tuple[Reason, ...]]:
    at, row = facts.fire_at, facts.recorded
    if row is not None:
        return verdict_of(row), (*about_row(facts, row), *_about_rule(facts))
    if at is None:
        return "none", ()
    mark = facts.job.next_fire_at
    if mark is not None and at >= mark:
        return "ahead" if at > facts.now else "due", (*about_due(facts, at), *_about_rule(facts))
    if facts.pruned_before is not None and at < facts.pruned_before:
        text = "retention removed its row (--keep); all are there only from "
        return "pruned", (Reason("pruned", (text, facts.pruned_before)),)
    text = f"no row accounts for it, and that should not be: cronq audit {facts.job.name}"
    return "unaccounted", (Reason("unaccounted", (text,)),)


def _about_rule(facts: Facts) -> Iterator[Reason]:
    """Yield what is special about the rule that gave the fire time."""
    rule, at = facts.in_force, facts.fire_at
    if rule is None or at is None:
        return
    if note := rule.note(at):
        yield Reason("note", (note,))
    if rule.until is not None:
        yield Reason("older_revision", (f"revision {rule.revision} was in force, until ", rule.until))
