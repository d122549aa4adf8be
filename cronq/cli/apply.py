"""`cronq apply`: make the store hold what a file of jobs says."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cronq.cli._applying import Plan, Shift, Step, apply_file, new_times, plan_file, shift_of
from cronq.cli._said import hint_about_scheduler
from cronq.cli._session import Session
from cronq.cli._values import differences
from cronq.errors import StoreMissing, UsageError
from cronq.model import SECOND, Micros
from cronq.render.text import Tone, Word, count_of, plain
from cronq.render.times import iso, local, wall
from cronq.store.base import CalendarText

if TYPE_CHECKING:
    from datetime import tzinfo

    from cronq.cli._job_file import JobFile

USAGE = "apply [FILE] [--plan] [--prune]"
EXAMPLES = ("cronq apply cronq.toml --plan", "cronq apply cronq.toml --prune")
DEFAULT_FILE = "cronq.toml"
_SHOWN = 3
_OBJECTS = 100_000
_SIGNS = {"add": ("+", Tone.PLAIN), "change": ("~", Tone.YELLOW), "remove": ("-", Tone.RED)}


def command(
    ctx: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE", show_default=False)] = DEFAULT_FILE,
    plan: Annotated[bool, typer.Option("--plan", help="Say what would be done, and do nothing.")] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove jobs of a file that this one does not name.")
    ] = False,
    days: Annotated[
        int,
        typer.Option(
            "--days", metavar="N", min=1, max=366, help="Show fire times so far ahead (default: 7)."
        ),
    ] = 7,
    no_check: Annotated[
        bool, typer.Option("--no-check", help="Do not look whether the programs exist.")
    ] = False,
) -> int:
    """Make the store hold what FILE says (default: cronq.toml), all of it or, if anything is wrong, nothing.

    Shown are old and new definitions, and which fire times appear, vanish or move. A scheduler that is
    running takes it up at once; running jobs and unchanged ones are left alone. Jobs that were added by hand
    are never removed.
    """
    session = Session.of(ctx)
    # A file may hold a hundred thousand jobs, and none of them is garbage before the end.
    gc.set_threshold(_OBJECTS)
    session.fields = {"no_check": no_check}
    path = Path(file).expanduser()
    path = path if path.is_absolute() else session.environment.cwd() / path
    if not path.is_file():
        raise UsageError(
            f"there is no file {path}", hint="write one; `cronq export` shows what it looks like"
        )
    if plan:
        read, done = _planned(session, path, prune=prune)
    else:
        read = _read(session, path)
        is_first = not session.place.database.exists()
        with session.store(create=True) as store:
            if is_first:
                session.tell(f"created {session.tilde(str(session.place.database))}")
            done = apply_file(session, store, read, prune=prune)
    _answer(session, read, done, days, is_plan=plan)
    if not plan:
        hint_about_scheduler(session)
    return 0


def _read(session: Session, path: Path) -> JobFile:
    from cronq.cli._job_file import read_job_file

    try:
        with session.store(read_only=True) as store:
            paths = {o.job.name: o.job.definition.path for o in store.overviews(recent=0)}
            calendars = store.calendars()
    except StoreMissing:
        paths, calendars = {}, {}
    return read_job_file(session, path, calendars=calendars, paths=paths)


def _planned(session: Session, path: Path, *, prune: bool) -> tuple[JobFile, Plan]:
    read = _read(session, path)
    try:
        with session.store(read_only=True) as store:
            return read, plan_file(store, read, session.started_at, prune=prune)
    except StoreMissing:
        steps = [Step("add", one.name, after=one.definition, times_after=one.times) for one in read.jobs]
        locks: list[tuple[str, int | None, int]] = [(w.name, None, w.capacity or 1) for w in read.locks]
        calendars = {name: CalendarText(name, 0, text) for name, text in read.calendars.items()}
        return read, Plan(steps, [], [], calendars, [], locks)


def _answer(session: Session, read: JobFile, done: Plan, days: int, *, is_plan: bool) -> None:
    steps = done.steps
    start, end = session.started_at + 1, session.started_at + days * 86_400 * SECOND
    changing = [step for step in steps if step.action != "keep"]
    if session.options.json:
        jobs = [_document(step, shift_of(step, start, end)) for step in changing]
        locks = [{"name": name, "old": old, "new": new} for name, old, new in done.locks]
        session.json(
            {
                "applied": not is_plan,
                "kept": len(steps) - len(changing),
                "jobs": jobs,
                "locks": locks,
                "calendars": list(done.calendars),
            }
        )
        return
    if session.options.quiet:
        session.lines(step.name for step in changing)
        return
    for name, old, new in done.locks:
        session.line(f"{'+' if old is None else '~'} lock {name}  {'' if old is None else f'{old} → '}{new}")
    for name in done.calendars:
        session.line(f"~ calendar {plain(name)}")
    for step in changing:
        sign, tone = _SIGNS[step.action]
        session.words(Word(sign, tone), " ", Word(step.name, Tone.BOLD), _remark(step))
        for line in _lines(session, step, start, end, days):
            session.line(f"    {line}")
    for one in read.jobs:
        for warning in one.warnings:
            session.warn(f"{one.name}: {warning}")
    counts = {action: sum(step.action == action for step in steps) for action in ("add", "change", "remove")}
    verbs = ("to add", "to change", "to remove") if is_plan else ("added", "changed", "removed")
    told = ", ".join(f"{count} {verb}" for count, verb in zip(counts.values(), verbs, strict=True))
    session.line(f"{'plan: ' if is_plan else ''}{told}, {len(steps) - len(changing)} unchanged")


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
        return [*lines, *_appearing(session, "appear", count, moments, zone, within)]
    shift = shift_of(step, start, end)
    if shift.move:
        first = _few(
            [f"{_wall(session, a, zone)} → {_wall(session, b, zone, a)}" for a, b in shift.move[:_SHOWN]]
        )
        more = ", …" if len(shift.move) > _SHOWN else ""
        lines.append(f"{count_of(len(shift.move), 'fire time')} move {within}: {first}{more}")
    for verb, moments in (("vanish", shift.vanish), ("appear", shift.appear)):
        lines += _appearing(session, verb, len(moments), moments[:_SHOWN], zone, within)
    return lines


def _appearing(
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
