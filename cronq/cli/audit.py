"""`cronq audit`: prove that the ledger accounts for every fire time, or say where it does not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from cronq.cli._session import Session
from cronq.cli._values import instant_of
from cronq.errors import DefinitionUnreadable, ExitCode, JobNotFound, StoreMissing
from cronq.lock import is_held, read_holder
from cronq.render.ledger import difference_text
from cronq.render.text import Tone, Word, count_of, plain
from cronq.render.times import iso

if TYPE_CHECKING:
    from cronq.audit import Difference
    from cronq.model import Micros
    from cronq.proof import Proof

USAGE = "audit [NAME...] [--since TIME]"
EXAMPLES = ("cronq audit", "cronq audit --since '30d ago' backup")

_SHOWN = 20


def command(
    ctx: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME", show_default=False)] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="Only fire times at or after this.")
    ] = None,
) -> int:
    """Compute every fire time of every job anew, and compare with what is recorded. Changes nothing.

    Each instant is judged by the definition that was in force then; removed jobs are included, and a
    scheduler may be running. Exit code 1 if anything differs. What rests on zone data that are not those in
    use, or cannot be computed any more, is unproven; that alone is no difference.
    """
    session = Session.of(ctx)
    asked = None if since is None else instant_of(session, since)
    proofs = list(_proofs(session, names or [], asked))
    differing = sum(proof.total for proof in proofs)
    if session.options.json:
        session.json(_document(proofs, differing))
    elif session.options.quiet:
        session.lines(dict.fromkeys(proof.job.name for proof in proofs if proof.total))
    elif session.for_people:
        for proof in proofs:
            _show(session, proof)
        session.line(_summary(proofs, differing))
    else:
        session.rows(
            ["name", "kind", "first", "last", "count", "expected", "run", "revision", "text"],
            (row for proof in proofs for row in _rows(session, proof)),
        )
        session.tell(_summary(proofs, differing))
    return int(ExitCode.FAILED if differing else ExitCode.OK)


def _proofs(session: Session, names: list[str], since: Micros | None) -> Iterator[Proof]:
    from cronq.proof import prove

    try:
        with session.store(read_only=True) as store:
            alive = _alive_since(session)
            for job_id in store.ever(list(dict.fromkeys(names))):
                try:
                    yield prove(store, job_id, session.environment.now(), since=since, alive_since=alive)
                except JobNotFound:
                    continue  # retention has just forgotten it
                except DefinitionUnreadable as error:
                    session.warn(f"{error.message}; {error.hint}")
            running = store.totals().running
    except StoreMissing:
        if names or session.options.db or session.environment.environ.get("CRONQ_DB"):
            raise
        return
    if running and not is_held(session.place.lock):
        session.note(
            f"{count_of(running, 'run')} not ended, and no scheduler is there; the next one sees to it"
        )


def _alive_since(session: Session) -> Micros | None:
    """Return since when the scheduler that runs now is there."""
    holder = read_holder(session.place.lock) if is_held(session.place.lock) else None
    return None if holder is None else holder.since


def _summary(proofs: list[Proof], differing: int) -> str:
    fire_times = sum(proof.fire_times for proof in proofs)
    unproven = sum(len(proof.unproven) for proof in proofs)
    return (
        f"ledger {'not ' if differing else ''}proven: {_counted(len(proofs), 'job')},"
        f" {_counted(fire_times, 'fire time')}, {_counted(differing, 'difference')}"
        + (f", {unproven:,} unproven" if unproven else "")
    )


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun if number == 1 else noun + 's'}"


def _name(proof: Proof) -> str:
    return plain(proof.job.name) + (" (removed)" if proof.job.removed_at is not None else "")


def _show(session: Session, proof: Proof) -> None:
    if not (proof.total or proof.unproven or session.options.verbose):
        return
    counts = ", ".join(f"{number:,} {became}" for became, number in sorted(proof.accounted.items()))
    tail = f": {counts}" if counts else ""
    session.words(Word(_name(proof), Tone.BOLD), f"  {_counted(proof.fire_times, 'fire time')}{tail}")
    lines = list(_lines(session, proof))
    shown = len(lines) if session.options.verbose else _SHOWN
    for label, text in lines[:shown]:
        tone = Tone.YELLOW if label == "unproven" else Tone.RED
        session.words("  ", Word(f"{label}:", tone), f" {plain(text)}")
    hidden = proof.more + len(lines[shown:])
    if hidden:
        session.line(f"  and {hidden:,} more")


def _lines(session: Session, proof: Proof) -> Iterator[tuple[str, str]]:
    """Yield what is to be told about a job: what it is, and a sentence."""
    zone = session.shown_zone(proof.job.definition.tz)
    for one in proof.differences:
        yield one.kind.value, difference_text(one, zone)
    for wrong in proof.contradictions:
        yield "wrong", wrong.text if wrong.run_id is None else f"run #{wrong.run_id}: {wrong.text}"
    for one in proof.unproven:
        yield "unproven", difference_text(one, zone)


def _rows(session: Session, proof: Proof) -> Iterator[list[str]]:
    zone = session.shown_zone(proof.job.definition.tz)
    name = proof.job.name
    for one in (*proof.differences, *proof.unproven):
        kind = one.kind.value if one.is_certain else f"unproven {one.kind}"
        numbers = (one.fire_count, one.expected, one.run_id, one.revision)
        cells = ["" if number is None else str(number) for number in numbers]
        yield [name, kind, iso(one.first) or "", iso(one.last) or "", *cells, difference_text(one, zone)]
    for wrong in proof.contradictions:
        run = "" if wrong.run_id is None else str(wrong.run_id)
        yield [name, "wrong", "", "", "", "", run, "", wrong.text]


def _document(proofs: list[Proof], differing: int) -> dict[str, object]:
    return {
        "proven": not differing,
        "differences": differing,
        "fire_times": sum(proof.fire_times for proof in proofs),
        "jobs": [
            {
                "name": proof.job.name,
                "removed_at": iso(proof.job.removed_at),
                "fire_times": proof.fire_times,
                "accounted": dict(sorted(proof.accounted.items())),
                "differences": [_difference_document(one) for one in proof.differences],
                "more": proof.more,
                "wrong": [{"run": wrong.run_id, "text": wrong.text} for wrong in proof.contradictions],
                "unproven": [_difference_document(one) for one in proof.unproven],
            }
            for proof in proofs
        ],
    }


def _difference_document(one: Difference) -> dict[str, object]:
    return {
        "kind": one.kind.value,
        "first": iso(one.first),
        "last": iso(one.last),
        "count": one.fire_count,
        "expected": one.expected,
        "run": one.run_id,
        "revision": one.revision,
    }
