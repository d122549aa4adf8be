"""`cronq audit`: prove that the ledger accounts for every fire time, or say where it does not."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from cronq.cli._session import Session
from cronq.cli._values import instant_of
from cronq.errors import DefinitionUnreadable, ExitCode, JobNotFound, StoreMissing
from cronq.render.ledger import difference_text
from cronq.render.text import Tone, Word, count_of, plain
from cronq.render.times import full, iso

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
    scheduler may be running. Exit code 1 if anything differs, or is unproven: what rests on zone data that
    are not those in use, or cannot be computed any more.

    Proven is that each fire time has one row, and that rows, attempts, exit codes and definitions agree; not
    that a row is true where nothing else tells of it, as of a skip, nor what was there before retention.
    """
    session = Session.of(ctx)
    asked = None if since is None else instant_of(session, since)
    unreadable: list[DefinitionUnreadable] = []
    audit = Audit(tuple(_proofs(session, names or [], asked, unreadable)), tuple(unreadable))
    if session.options.json:
        session.json(_document(audit))
    elif session.options.quiet:
        session.lines(dict.fromkeys(audit.unproven_names()))
    elif session.for_people:
        for error in audit.unreadable:
            session.words(Word(plain(error.job), Tone.BOLD))
            session.words("  ", Word("wrong:", Tone.RED), f" {plain(_text(error))}")
        for proof in audit.proofs:
            _show(session, proof)
        session.line(audit.summary())
    else:
        rows = [[error.job, "wrong", *[""] * 6, _text(error)] for error in audit.unreadable]
        session.rows(
            ["name", "kind", "first", "last", "count", "expected", "run", "revision", "text"],
            chain(rows, (row for proof in audit.proofs for row in _rows(session, proof))),
        )
        session.tell(audit.summary())
    return int(ExitCode.OK if audit.is_proven else ExitCode.FAILED)


class Audit(NamedTuple):
    """What became of proving the ledger.

    Attributes:
        unreadable: Of jobs whose definition cannot be read, so that nothing of them can be proven.
    """

    proofs: tuple[Proof, ...]
    unreadable: tuple[DefinitionUnreadable, ...]

    @property
    def differing(self) -> int:
        """How many differences there are."""
        return sum(proof.total for proof in self.proofs) + len(self.unreadable)

    @property
    def unproven(self) -> int:
        """How much is neither proven nor wrong."""
        return sum(len(proof.unproven) for proof in self.proofs)

    @property
    def is_proven(self) -> bool:
        """Whether all is."""
        return not self.differing and not self.unproven

    def unproven_names(self) -> Iterator[str]:
        """Yield the jobs that are not proven."""
        yield from (error.job for error in self.unreadable)
        yield from (proof.job.name for proof in self.proofs if proof.total or proof.unproven)

    def summary(self) -> str:
        """Return the last line."""
        fire_times = sum(proof.fire_times for proof in self.proofs)
        pruned = sum(proof.since == proof.pruned_before for proof in self.proofs)
        verdict = "not proven" if self.differing else "proven in part" if self.unproven else "proven"
        return (
            f"ledger {verdict}: {_counted(len(self.proofs) + len(self.unreadable), 'job')},"
            f" {_counted(fire_times, 'fire time')}, {_counted(self.differing, 'difference')}"
            + (f", {self.unproven:,} unproven" if self.unproven else "")
            + (f"; {_counted(pruned, 'job')} only since pruned (-v says when)" if pruned else "")
        )


def _proofs(
    session: Session, names: list[str], since: Micros | None, unreadable: list[DefinitionUnreadable]
) -> Iterator[Proof]:
    """Yield the proofs; what cannot be read is added to a list."""
    from cronq.alive import is_scheduler_alive, living_scheduler
    from cronq.proof import prove

    try:
        with session.store(read_only=True) as store:
            holder = living_scheduler(session.place, store)
            alive_since = None if holder is None else holder.since
            for job_id in store.ever(list(dict.fromkeys(names))):
                try:
                    yield prove(
                        store, job_id, session.environment.now(), since=since, alive_since=alive_since
                    )
                except JobNotFound:
                    continue  # retention has just forgotten it
                except DefinitionUnreadable as error:
                    unreadable.append(error)
            forsaken = 0 if is_scheduler_alive(session.place, store) else store.totals().running
    except StoreMissing:
        if names or session.options.db or session.environment.environ.get("CRONQ_DB"):
            raise
        return
    if forsaken:
        session.note(
            f"{count_of(forsaken, 'run')} not ended, and no scheduler is there; the next one sees to it"
        )


def _text(error: DefinitionUnreadable) -> str:
    return f"{error.message}; {error.hint}"


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun if number == 1 else noun + 's'}"


def _name(proof: Proof) -> str:
    return plain(proof.job.name) + (" (removed)" if proof.job.removed_at is not None else "")


def _show(session: Session, proof: Proof) -> None:
    if not (proof.total or proof.unproven or session.options.verbose):
        return
    counts = ", ".join(f"{number:,} {became}" for became, number in sorted(proof.accounted.items()))
    tail = f": {counts}" if counts else ""
    if proof.since == proof.pruned_before:
        since = full(proof.since, session.shown_zone(proof.job.definition.tz))
        tail = f" since {since} (pruned before){tail}"
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


def _document(audit: Audit) -> dict[str, object]:
    return {
        "proven": audit.is_proven,
        "differences": audit.differing,
        "unproven": audit.unproven,
        "fire_times": sum(proof.fire_times for proof in audit.proofs),
        "unreadable": [{"name": error.job, "text": error.message} for error in audit.unreadable],
        "jobs": [
            {
                "name": proof.job.name,
                "removed_at": iso(proof.job.removed_at),
                "since": iso(proof.since),
                "pruned_before": iso(proof.pruned_before),
                "fire_times": proof.fire_times,
                "accounted": dict(sorted(proof.accounted.items())),
                "differences": [_difference_document(one) for one in proof.differences],
                "more": proof.more,
                "wrong": [{"run": wrong.run_id, "text": wrong.text} for wrong in proof.contradictions],
                "unproven": [_difference_document(one) for one in proof.unproven],
            }
            for proof in audit.proofs
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
