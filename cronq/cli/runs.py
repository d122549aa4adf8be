"""`cronq runs`: the history of runs."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from cronq.cli._documents import run_document
from cronq.cli._said import next_run
from cronq.cli._session import Session
from cronq.cli._values import instant_of
from cronq.errors import StoreMissing
from cronq.model import Attempt, Job, Outcome, Run, State
from cronq.render.table import Column, table
from cronq.render.text import Tone, Word, plain
from cronq.render.times import duration, iso, relative, wall
from cronq.render.words import run_word
from cronq.store import RunQuery

USAGE = "runs [NAME...] [options]"
EXAMPLES = ("cronq runs backup", "cronq runs --outcome failure --outcome timeout --since '24h ago'")

_COLUMNS = (
    Column("RUN", right=True),
    Column("JOB"),
    Column("FIRE TIME"),
    Column("STARTED", leaves=3),
    Column("OUTCOME", least=12, fair=24),
    Column("TOOK", right=True, leaves=4),
    Column("TRIGGER", leaves=1),
    Column("TRY", right=True, leaves=2),
)


class StateChoice(StrEnum):
    """Where a run is."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"


class OutcomeChoice(StrEnum):
    """What became of a run."""

    SUCCESS = "success"
    FAILURE = "failure"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    ABANDONED = "abandoned"
    SKIPPED = "skipped"
    MISSED = "missed"


def command(
    ctx: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME", show_default=False)] = None,
    limit: Annotated[
        int,
        typer.Option(
            "-n", "--limit", metavar="COUNT", min=1, max=1_000_000, help="Show at most so many (default: 20)."
        ),
    ] = 20,
    state: Annotated[
        StateChoice | None,
        typer.Option("--state", metavar="STATE", help="Only queued, running or done ones."),
    ] = None,
    outcome: Annotated[
        list[OutcomeChoice] | None,
        typer.Option("--outcome", metavar="OUTCOME", help="Only with this outcome; may be repeated."),
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="Only those queued at or after this.")
    ] = None,
) -> int:
    """Show runs, newest first: every fire time is there, also those that were skipped or missed.

    One row can stand for many fire times that were passed over together; its count is shown. With -q: the
    numbers of the runs only.
    """
    session = Session.of(ctx)
    query = RunQuery(
        job_names=tuple(dict.fromkeys(names or ())),
        state=State(state.value) if state else None,
        outcomes=tuple(Outcome(one.value) for one in outcome or ()),
        since=None if since is None else instant_of(session, since),
        limit=limit,
    )
    _answer(session, query)
    return 0


def _answer(session: Session, query: RunQuery) -> None:
    runs, jobs = _read(session, query)
    if session.options.json:
        session.json({"runs": [run_document(run, attempt) for run, attempt in runs]})
    elif session.options.quiet:
        session.lines(str(run.id) for run, _ in runs)
    elif session.for_people:
        _table(session, runs)
    else:
        header = [
            "run",
            "job",
            "trigger",
            "state",
            "outcome",
            "fire_time",
            "started",
            "took_s",
            "attempt",
            "reason",
            "count",
        ]
        session.rows(header, (_row(run, attempt) for run, attempt in runs))
    if not runs:
        session.tell("No runs." if query.state or query.outcomes or query.since else "No runs yet.")
        for job in jobs:
            session.tell(f"{job.name}: {next_run(session, job)}")


def _read(session: Session, query: RunQuery) -> tuple[list[tuple[Run, Attempt | None]], list[Job]]:
    try:
        with session.store(read_only=True) as store:
            runs = store.runs(query)
            # Removed jobs have a history and no next run; those that never ran are there to be asked.
            return runs, [] if runs else store.named_jobs(query.job_names)
    except StoreMissing:
        if query.job_names or session.options.db or session.environment.environ.get("CRONQ_DB"):
            raise
        return [], []


def _table(session: Session, runs: list[tuple[Run, Attempt | None]]) -> None:
    if not runs:
        return
    style, now = session.terminal.style, session.started_at
    zone = session.zone()
    rows = []
    for run, attempt in runs:
        word = run_word(run, now, ascii_only=style.ascii_only)
        if run.fire_count > 1:
            word = Word(
                f"{word.text} ×{run.fire_count}"
                if not style.ascii_only
                else f"{word.text} x{run.fire_count}",
                word.tone,
            )
        if run.outcome in {Outcome.SKIPPED, Outcome.MISSED} and run.reason:
            word = Word(f"{word.text} ({plain(run.reason)})", word.tone)
        rows.append(
            (
                Word(f"#{run.id}"),
                Word(plain(run.job), Tone.BOLD),
                Word(wall(run.fire_at or run.logical_at, now, zone)),
                Word(relative(run.started_at, now, zone) if run.started_at else ""),
                word,
                Word(duration(attempt.usage.duration_s) if attempt and attempt.usage else ""),
                Word(run.trigger.value, Tone.DIM),
                Word(str(run.attempt) if run.attempt > 1 else ""),
            )
        )
    session.lines(table(_COLUMNS, rows, style, header=session.header))


def _row(run: Run, attempt: Attempt | None) -> list[str]:
    usage = attempt.usage if attempt else None
    return [
        str(run.id),
        run.job,
        run.trigger.value,
        run.state.value,
        run.outcome.value if run.outcome else "",
        iso(run.fire_at) or iso(run.logical_at) or "",
        iso(run.started_at) or "",
        f"{usage.duration_s:.3f}" if usage else "",
        str(run.attempt),
        run.reason,
        str(run.fire_count),
    ]
