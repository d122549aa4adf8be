"""What applying a file of jobs does, as it is told: definitions old and new, and fire times that move."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from cronq.cli._applying import Plan, Shift, Step, new_times, shift_of
from cronq.cli._values import differences
from cronq.model import SECOND, Micros
from cronq.render.text import Tone, Word, count_of, plain
from cronq.render.times import iso, local, wall

if TYPE_CHECKING:
    from datetime import tzinfo

    from cronq.cli._session import Session

    Line = tuple[Word | str, ...]

_SHOWN = 3
_SIGNS = {"add": ("+", Tone.PLAIN), "change": ("~", Tone.YELLOW), "remove": ("-", Tone.RED)}


def changing(plan: Plan) -> list[Step]:
    """Return the steps that change something."""
    return [step for step in plan.steps if step.action != "keep"]


def consequences(session: Session, plan: Plan, days: int) -> Iterator[Line]:
    """Yield lines about all that changes, and the fire times of so many days that do."""
    start, end = _span(session, days)
    for name, old, new in plan.locks:
        yield (f"{'+' if old is None else '~'} lock {name}  {'' if old is None else f'{old} → '}{new}",)
    for name in plan.calendars:
        yield (f"~ calendar {plain(name)}",)
    for step in changing(plan):
        sign, tone = _SIGNS[step.action]
        yield (Word(sign, tone), " ", Word(step.name, Tone.BOLD), _remark(step))
        for line in _lines(session, step, start, end, days):
            yield (f"    {line}",)


def summary(plan: Plan, *, is_plan: bool) -> str:
    """Return how many jobs are added, changed, removed and left as they are."""
    counts = {action: sum(step.action == action for step in plan.steps) for action in _SIGNS}
    verbs = ("to add", "to change", "to remove") if is_plan else ("added", "changed", "removed")
    told = ", ".join(f"{count} {verb}" for count, verb in zip(counts.values(), verbs, strict=True))
    return f"{'plan: ' if is_plan else ''}{told}, {len(plan.steps) - len(changing(plan))} unchanged"


def document_of_plan(session: Session, plan: Plan, days: int, *, is_plan: bool) -> dict[str, object]:
    """Return the consequences as `--json` has them."""
    start, end = _span(session, days)
    steps = changing(plan)
    return {
        "applied": not is_plan,
        "kept": len(plan.steps) - len(steps),
        "jobs": [_document(step, shift_of(step, start, end)) for step in steps],
        "locks": [{"name": name, "old": old, "new": new} for name, old, new in plan.locks],
        "calendars": list(plan.calendars),
    }


def _span(session: Session, days: int) -> tuple[Micros, Micros]:
    return session.started_at + 1, session.started_at + days * 86_400 * SECOND


def _remark(step: Step) -> str:
    words = []
    if step.action == "add" and step.after is not None:
        words.append(f"{plain(step.after.schedule)}  ({step.after.tz})")
    if step.takes_over:
        words.append("(added by hand until now)")
    if step.pauses is not None:
        words.append("paused" if step.pauses else "resumed")
    return "".join(f"  {word}" for word in words)


def _lines(session: Session, step: Step, start: Micros, end: Micros, days: int) -> list[str]:
    lines = []
    if step.action == "change" and step.before is not None and step.after is not None:
        found = differences(step.before.definition, step.after)
        lines += [f"{label}  {old} → {new}" for label, old, new in found]
    definition = step.after or (step.before.definition if step.before else None)
    zone = session.shown_zone(definition.tz if definition else "UTC")
    within = "in the next day" if days == 1 else f"in the next {days} days"
    if step.times_before is None:
        # Counted, not listed: a file may add a hundred thousand jobs.
        count, moments = new_times(step, start, end, first=_SHOWN)
        return [*lines, *_changed(session, "appear", count, moments, zone, within)]
    shift = shift_of(step, start, end)
    if shift.move:
        first = _few(
            [f"{_wall(session, a, zone)} → {_wall(session, b, zone, a)}" for a, b in shift.move[:_SHOWN]]
        )
        more = ", …" if len(shift.move) > _SHOWN else ""
        lines.append(f"{count_of(len(shift.move), 'fire time')} move {within}: {first}{more}")
    for verb, moments in (("vanish", shift.vanish), ("appear", shift.appear)):
        lines += _changed(session, verb, len(moments), moments[:_SHOWN], zone, within)
    return lines


def _changed(
    session: Session, verb: str, count: int, first: list[Micros], zone: tzinfo, within: str
) -> list[str]:
    if not count:
        return []
    few = _few([_wall(session, at, zone) for at in first])
    return [f"{count_of(count, 'fire time')} {verb} {within}: {few}{', …' if count > len(first) else ''}"]


def _few(texts: list[str]) -> str:
    return ", ".join(texts)


def _wall(session: Session, at: Micros, zone: tzinfo, beside: Micros | None = None) -> str:
    """Return a fire time; beside another one of the same day only its time."""
    if beside is not None and local(at, zone).date() == local(beside, zone).date():
        return f"{local(at, zone):%H:%M}"
    return wall(at, session.started_at, zone)


def _document(step: Step, shift: Shift) -> dict[str, object]:
    changes = []
    if step.action == "change" and step.before is not None and step.after is not None:
        changes = [
            {"field": label, "old": old, "new": new}
            for label, old, new in differences(step.before.definition, step.after)
        ]
    return {
        "name": step.name,
        "action": step.action,
        "changes": changes,
        "paused": step.pauses,
        "takes_over": step.takes_over,
        "appear": [iso(at) for at in shift.appear],
        "vanish": [iso(at) for at in shift.vanish],
        "move": [[iso(before), iso(after)] for before, after in shift.move],
    }
