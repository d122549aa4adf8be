"""`cronq simulate`: a period of the future, or of the past, on a virtual clock."""

from __future__ import annotations

from typing import Annotated

import typer

from cronq.cli._playing import is_steady, play_of, read_durations, read_failures, unknown_jobs
from cronq.cli._running import MAX_WORKERS
from cronq.cli._session import Session
from cronq.cli._simulating import read_down, read_period, read_subject
from cronq.errors import UsageError
from cronq.render.text import plain

USAGE = "simulate [NAME...] [--from T] [--to T] [options]"
EXAMPLES = (
    "cronq simulate --to 'in 7d' --durations backup=4h --timeline",
    "cronq simulate --file cronq.toml --from 2027-03-28 --to 2027-03-29 --down 01:00..04:00",
)


def command(
    ctx: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME", show_default=False)] = None,
    file: Annotated[
        str | None, typer.Option("--file", metavar="FILE", help="Jobs of a file, not of the database.")
    ] = None,
    start: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="First instant (default: now).")
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="Up to this (default: a day later).")
    ] = None,
    durations: Annotated[
        list[str] | None,
        typer.Option(
            "--durations",
            metavar="TEXT",
            help="JOB=5m, 5m for all others, history (medians) or worst (of the newest 100 successes).",
        ),
    ] = None,
    fail: Annotated[
        list[str] | None,
        typer.Option("--fail", metavar="JOB[=10%]", help="Attempts of a job fail, or a share of them."),
    ] = None,
    down: Annotated[
        list[str] | None,
        typer.Option("--down", metavar="T..T", help="No scheduler runs in this time; commands go on."),
    ] = None,
    workers: Annotated[
        int, typer.Option("--workers", metavar="N", help="Runs at a time (default: 32).")
    ] = 32,
    timeline: Annotated[
        bool, typer.Option("--timeline", help="Draw the runs of each job along the time.")
    ] = False,
) -> int:
    """Say what the scheduler would do in a period: starts, waits, skips, retries and misses of each job.

    The real scheduler and its policies live on a virtual clock over a copy of the definitions: nothing is
    executed, and nothing stored is changed. It begins with nothing running. A job takes the median of its
    newest successes, or a minute if it has none. If NAMEs are given, all jobs live, but only these are shown.
    """
    session = Session.of(ctx)
    if not 1 <= workers <= MAX_WORKERS:
        raise UsageError(f"--workers must be 1 to {MAX_WORKERS}, not {workers}")
    period = read_period(session, start, end)
    gaps = read_down(session, down or [], period)
    subject = read_subject(session, file)
    known = subject.definitions
    unknown = [name for name in names or [] if name not in known]
    if unknown:
        raise unknown_jobs(unknown, known)
    lasting = read_durations(durations or [], known, lambda name: subject.history.get(name, ()))
    failing = read_failures(fail or [], known)
    from cronq.cli._simulated import Answer, Marks, answer
    from cronq.virtual.account import Account
    from cronq.virtual.simulation import simulate

    marks = Marks(period) if timeline else None
    account = Account(known, play_of(lasting.seconds, failing), gaps, marks)
    simulated = simulate(
        known,
        period,
        account,
        down=gaps,
        slots=workers,
        paused=subject.paused,
        calendars=subject.calendars,
        locks=subject.locks,
        sums=account if marks is None and is_steady(known, lasting.seconds, failing) else None,
    )
    running = account.close(period.end)
    shown = [name for name in sorted(known) if not names or name in names]
    unreadable = simulated.unreadable
    for name, error in unreadable.items():
        session.warn(f"{plain(name)} is not simulated: {error.message}")
    found = Answer(period, workers, shown, account, lasting, subject.paused, unreadable, running, marks)
    answer(session, found)
    return 0
