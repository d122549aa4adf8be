"""`cronq why`: why a job ran when it did, or did not run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cronq.cli._documents import attempt_document, run_document
from cronq.cli._session import Session
from cronq.cli._values import differences, instant_of
from cronq.render.text import Tone, Word, plain
from cronq.render.times import full, iso
from cronq.render.why import exact, sentence

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cronq.model import Definition
    from cronq.why.facts import Answer, Facts, Reason

USAGE = "why NAME [--at TIME]"
EXAMPLES = ("cronq why backup", "cronq why backup --at 'yesterday 02:00'")


def command(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", show_default=False)],
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="TIME", help="Explain the fire time at or nearest to this."),
    ] = None,
) -> int:
    """Explain why a job ran, ran late or did not run, and what it waits for now.

    Without --at it is about its newest fire time. A time without a zone is in that of the job. Removed jobs
    can be asked about, too.
    """
    from cronq.alive import is_scheduler_alive
    from cronq.evidence import gather, past_named
    from cronq.schedule.zones import is_zone
    from cronq.why.explain import explain

    session = Session.of(ctx)
    with session.store(read_only=True) as store, store.reading():
        past = past_named(store, name, None)
        asked = None
        if at is not None:
            tz = past.job.definition.tz
            asked = instant_of(session, at, tz if is_zone(tz) else "UTC")
            past = past_named(store, name, asked)
        alive = is_scheduler_alive(session.place, store)
        now = session.started_at
        facts = gather(store, past, asked, now, alive=alive, changes=_changes)
    answer = explain(facts)
    if session.options.json:
        session.json(_document(facts, answer))
    elif session.options.quiet:
        session.line(answer.verdict)
    elif session.for_people:
        _tell(session, facts, answer)
    else:
        session.rows(["about", "code", "text"], ([part, r.code, exact(r)] for part, r in _all(answer)))
    return 0


def _changes(old: Definition, new: Definition) -> Sequence[str]:
    return [f"{label} {before} → {after}" for label, before, after in differences(old, new)]


def _all(answer: Answer) -> Iterator[tuple[str, Reason]]:
    yield from (("absent", reason) for reason in answer.absent)
    yield from (("fire_time", reason) for reason in answer.reasons)
    yield from (("ahead", reason) for reason in answer.ahead)


_TONES = {
    "failure": Tone.RED,
    "timeout": Tone.RED,
    "abandoned": Tone.RED,
    "unaccounted": Tone.RED,
    "missed": Tone.YELLOW,
    "skipped": Tone.YELLOW,
    "cancelled": Tone.YELLOW,
}


def _tell(session: Session, facts: Facts, answer: Answer) -> None:
    from cronq.schedule.zones import is_zone

    tz = facts.job.definition.tz
    zone = session.shown_zone(tz)
    name = Word(plain(facts.job.name), Tone.BOLD)
    shown_tz = session.tz(tz) if is_zone(session.tz(tz)) else "UTC"
    if facts.asked_at is not None and answer.absent:
        session.words(name, f"  {full(facts.asked_at, zone)} {shown_tz}: no fire time")
        session.lines(f"  {sentence(reason, zone)}" for reason in answer.absent)
    if facts.fire_at is not None:
        about = f"  {full(facts.fire_at, zone)} {shown_tz}: "
        session.words(name, about, Word(answer.verdict, _TONES.get(answer.verdict, Tone.PLAIN)))
    elif facts.recorded is not None:
        session.words(name, f"  run #{facts.recorded.run.id}: ", Word(answer.verdict))
    elif not answer.absent:
        session.words(name, "  no fire time yet")
    session.lines(f"  {sentence(reason, zone)}" for reason in answer.reasons)
    if answer.ahead:
        session.words(Word("now", Tone.DIM))
        session.lines(f"  {sentence(reason, zone)}" for reason in answer.ahead)
    if facts.recorded is not None and facts.recorded.attempts:
        session.hint(f"its output: cronq logs {facts.recorded.run.id}")


def _document(facts: Facts, answer: Answer) -> dict[str, object]:
    row = facts.recorded
    last = row.attempts[-1] if row is not None and row.attempts else None
    return {
        "job": facts.job.name,
        "tz": facts.job.definition.tz,
        "removed_at": iso(facts.job.removed_at),
        "asked_at": iso(facts.asked_at),
        "fire_at": iso(facts.fire_at),
        "before": iso(facts.before),
        "after": iso(facts.after),
        "verdict": answer.verdict,
        "absent": [_reason_document(reason) for reason in answer.absent],
        "reasons": [_reason_document(reason) for reason in answer.reasons],
        "ahead": [_reason_document(reason) for reason in answer.ahead],
        "run": None if row is None else run_document(row.run, last),
        "attempts": [] if row is None else [attempt_document(attempt) for attempt in row.attempts],
    }


def _reason_document(reason: Reason) -> dict[str, object]:
    at = [iso(part) for part in reason.parts if isinstance(part, int)]
    return {"code": reason.code, "text": exact(reason), "at": at}
