"""`cronq show`: one job in full."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cronq.cli._command import shown
from cronq.cli._documents import definition_document, job_document, run_document
from cronq.cli._said import zone_label
from cronq.cli._schedules import calendars_for, sentence_of, times_of
from cronq.cli._session import Session
from cronq.cli._starts import start_of
from cronq.cli._values import label_of, value_words
from cronq.clock import datetime_from_us
from cronq.model import Attempt, Definition, Job, Micros, Outcome, Run
from cronq.plan import Active
from cronq.render.spark import sparkline
from cronq.render.table import facts
from cronq.render.text import Tone, Word, plain
from cronq.render.times import duration, full, iso, offset, offset_change, relative
from cronq.render.words import run_word
from cronq.store import RunQuery, Store

if TYPE_CHECKING:
    from datetime import tzinfo

    from cronq.cli._schedules import Times

USAGE = "show NAME [options]"
EXAMPLES = ("cronq show backup", "cronq show backup --json | jq .job.definition.command")
_SHOWN_ALWAYS = frozenset(
    {"command", "schedule", "tz", "cwd", "path", "env", "timeout_s", "overlap", "catch_up"}
)
_HISTORY = 60


def command(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", show_default=False)],
    reveal: Annotated[
        bool, typer.Option("--reveal", help="Show the values of variables, too, and of --ping.")
    ] = False,
) -> int:
    """Show a job: its definition, its next fire times, and its last runs.

    Of the definition, what differs from the defaults is shown; with -v all of it. Values of variables are
    hidden unless you ask for them.
    """
    session = Session.of(ctx)
    with session.store(read_only=True) as store:
        ((job, active),) = [(due.job, due.active) for due in store.due([name])]
        runs = store.runs(RunQuery(job_names=(name,), limit=5))
        history = _history(store, name)
        calendars = calendars_for(store, [job.definition])
    if session.options.quiet:
        session.line(job.name)
        return 0
    times = times_of(job, calendars)
    if session.options.json:
        session.json({"job": _document(session, job, active, times, runs, reveal=reveal)})
    elif session.for_people:
        _tell(session, job, active, times, runs, history, reveal=reveal)
    else:
        pairs = _definition_pairs(job.definition, all_fields=True, reveal=reveal)
        session.rows(["key", "value"], ([label, word.text] for label, word in [*_facts(job), *pairs]))
    return 0


def _history(store: Store, name: str) -> list[tuple[Outcome, float | None]]:
    (overview,) = store.overviews([name], recent=_HISTORY)
    return [(run.outcome or Outcome.SUCCESS, took) for run, took in reversed(overview.recent)]


def _facts(job: Job) -> list[tuple[str, Word]]:
    return [
        ("name", Word(job.name)),
        ("next", Word((iso(job.next_fire_at) or "") if job.paused_at is None else "")),
        ("paused", Word(iso(job.paused_at) or "")),
        ("revision", Word(str(job.revision))),
        ("added", Word(iso(job.created_at) or "")),
        ("changed", Word(iso(job.changed_at) or "")),
        ("origin", Word(job.origin or "hand")),
    ]


def _tell(
    session: Session,
    job: Job,
    active: Active,
    times: Times,
    runs: list[tuple[Run, Attempt | None]],
    history: list[tuple[Outcome, float | None]],
    *,
    reveal: bool,
) -> None:
    style, now = session.terminal.style, session.started_at
    zone = session.zone(job.definition.tz)
    session.words(
        Word(plain(job.name), Tone.BOLD),
        f"  {plain(sentence_of(times, job.definition))}  ({zone_label(session, job.definition.tz)})",
    )
    session.line()
    pairs = _definition_pairs(job.definition, all_fields=session.options.verbose, reveal=reveal)
    pairs += [
        ("added", Word(_moment(job.created_at, now, zone))),
        ("revision", Word(f"{job.revision}, of {_moment(job.changed_at, now, zone)}")),
        ("defined", Word("by hand" if job.origin is None else "in a file, by `cronq apply`")),
    ]
    if job.paused_at is not None:
        pairs.append(("paused", Word(f"since {_moment(job.paused_at, now, zone)}", Tone.YELLOW)))
    if active.total:
        pairs.append(("active", Word(f"{active.running} running, {active.queued} queued")))
    session.lines(facts(pairs, style, indent="  "))
    _tell_next(session, job, times, zone)
    _tell_runs(session, runs, history, zone)


def _tell_next(session: Session, job: Job, times: Times, zone: tzinfo) -> None:
    from cronq.timing import placement_of

    if job.paused_at is not None:
        return
    now = session.started_at
    at = job.next_fire_at
    placement = placement_of(job)
    session.words("")
    session.words(Word("next", Tone.DIM))
    for _ in range(3):
        if at is None:
            break
        note = times.notes_at(datetime_from_us(at)) or ""
        start = start_of(placement, at, zone)
        extra = "  ".join(text for text in (offset_change(at, now, zone), note, start.note) if text)
        session.line(f"  {_moment(at, now, zone)}  {extra}".rstrip())
        at = times.next_us(at)
    if job.next_fire_at is None:
        session.line("  at the start of the scheduler" if times.at_startup else "  never again")


def _tell_runs(
    session: Session,
    runs: list[tuple[Run, Attempt | None]],
    history: list[tuple[Outcome, float | None]],
    zone: tzinfo,
) -> None:
    session.words("")
    session.words(Word("last runs", Tone.DIM))
    style, now = session.terminal.style, session.started_at
    for run, attempt in runs:
        took = duration(attempt.usage.duration_s) if attempt and attempt.usage else ""
        word = run_word(run, now, ascii_only=style.ascii_only)
        session.words(f"  #{run.id:<6} {_moment(run.logical_at, now, zone)}  ", word, f"  {took}".rstrip())
    if not runs:
        session.line("  none yet")
    took_s = sorted(took for outcome, took in history if took is not None and outcome is Outcome.SUCCESS)
    if len(took_s) > 1:
        middle, high = took_s[len(took_s) // 2], took_s[min(len(took_s) - 1, len(took_s) * 95 // 100)]
        session.line(
            f"  {sparkline(history, ascii_only=style.ascii_only)}  p50 {duration(middle)}"
            f"  p95 {duration(high)}  max {duration(took_s[-1])}"
        )


def _moment(at: Micros, now: Micros, zone: tzinfo) -> str:
    text = f"{full(at, zone)} {offset(at, zone)}"
    away = relative(at, now, zone, units=2)
    return text if away == text[4:14] else f"{text} ({away})"


def _definition_pairs(definition: Definition, *, all_fields: bool, reveal: bool) -> list[tuple[str, Word]]:
    defaults = Definition._field_defaults
    pairs = []
    for field in Definition._fields:
        value = getattr(definition, field)
        if not all_fields and field not in _SHOWN_ALWAYS and field in defaults and value == defaults[field]:
            continue
        if field == "env" and reveal:
            text = " ".join(f"{key}={plain(item)}" for key, item in definition.env) or "none"
        elif field == "ping" and reveal and value is not None:
            text = plain(value)
        elif field == "command":
            text = shown(value)
        else:
            text = value_words(field, value)
        if field == "user" and (trouble := _user_trouble(definition)):
            text += f" ({trouble})"
        pairs.append((label_of(field), Word(text)))
    return pairs


def _user_trouble(definition: Definition) -> str:
    if definition.user is None:
        return ""
    from cronq.worker.accounts import trouble_with

    return plain(trouble_with(definition.user))


def _document(
    session: Session,
    job: Job,
    active: Active,
    times: Times,
    runs: list[tuple[Run, Attempt | None]],
    *,
    reveal: bool,
) -> dict[str, object]:
    warnings = [warning.message for warning in times.warnings(datetime_from_us(session.started_at))]
    if trouble := _user_trouble(job.definition):
        warnings.append(trouble)
    return job_document(job) | {
        "sentence": sentence_of(times, job.definition),
        "warnings": warnings,
        "queued": active.queued,
        "running": active.running,
        "definition": definition_document(job.definition, reveal=reveal),
        "runs": [run_document(run, attempt) for run, attempt in runs],
    }
