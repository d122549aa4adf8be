"""`cronq run`: the scheduler, its queue and its workers, in the foreground."""

from __future__ import annotations

import shlex
from enum import StrEnum
from typing import Annotated

import typer

from cronq.cli._session import Session
from cronq.cli._shipped import log_dir as shared_dir
from cronq.errors import UsageError
from cronq.model import Outcome

USAGE = "run [--file FILE] [--workers N] [--for DURATION] [--until-idle]"
EXAMPLES = ("cronq run", "cronq run --file cronq.toml --workers 4")

MAX_WORKERS = 10_000


class LogFormat(StrEnum):
    """How events are written."""

    AUTO = "auto"
    TEXT = "text"
    JSON = "json"


class Output(StrEnum):
    """Whose last lines of output are shown."""

    FAIL = "fail"
    ALL = "all"
    NONE = "none"


def command(
    ctx: typer.Context,
    file: Annotated[
        str | None,
        typer.Option(
            "--file", metavar="FILE", help="First make the jobs those of this file, as `apply` does."
        ),
    ] = None,
    workers: Annotated[
        int, typer.Option("--workers", metavar="N", help="Runs at a time (default: 32).")
    ] = 32,
    for_: Annotated[
        str | None, typer.Option("--for", metavar="DURATION", help="Stop after this long.")
    ] = None,
    until_idle: Annotated[
        bool, typer.Option("--until-idle", help="Stop when nothing is due, queued or running.")
    ] = False,
    drain: Annotated[
        str,
        typer.Option(
            "--drain", metavar="DURATION", help="How long running jobs may finish at the end (default: 30s)."
        ),
    ] = "30s",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the decisions of the next hour, and act on none.")
    ] = False,
    log_dir: Annotated[
        str | None,
        typer.Option(
            "--log-dir", metavar="DIR", help="On PostgreSQL: put logs here, a folder that all hosts share."
        ),
    ] = None,
    log_format: Annotated[
        LogFormat,
        typer.Option("--log-format", metavar="auto|text|json", help="How to write events (default: auto)."),
    ] = LogFormat.AUTO,
    output: Annotated[
        Output,
        typer.Option(
            "--output", metavar="fail|all|none", help="Show the last lines of which runs (default: fail)."
        ),
    ] = Output.FAIL,
) -> int:
    """Fire the jobs when they are due, and keep the ledger, until told to stop.

    Only one scheduler runs for a database. The first Ctrl-C, or SIGTERM, starts nothing more and waits for
    what runs; the second stops it.

    With --file the jobs are those of the file, and of no file before it: jobs that an earlier one defined and
    this one does not name are removed, with their history kept. Jobs that were added by hand stay. If
    anything in the file is wrong, nothing is changed and nothing starts.
    """
    session = Session.of(ctx)
    from cronq.render.live import make_display
    from cronq.schedule.duration import parse_duration
    from cronq.scheduler import Options

    if not 1 <= workers <= MAX_WORKERS:
        raise UsageError(f"--workers must be 1 to {MAX_WORKERS}, not {workers}")
    options = Options(
        slots=workers,
        for_s=None if for_ is None else parse_duration(for_),
        until_idle=until_idle,
        drain_s=parse_duration(drain),
        log_dir=shared_dir(session, log_dir),
    )
    if file is not None and dry_run:
        raise UsageError(
            "--dry-run looks at the jobs that there are, not at those of --file",
            hint=f"what the file would change: cronq apply {shlex.quote(file)} --plan --prune",
        )
    if dry_run:
        from cronq.cli._forecast import answer_forecast

        return answer_forecast(session)
    from cronq.service import run_scheduler

    log_format = LogFormat.JSON if session.options.json else log_format
    prepare = None
    if file is not None:
        from cronq.cli._files import applier

        prepare = applier(session, file, as_json=log_format is LogFormat.JSON)
    display = make_display(log_format, output, session.terminal)
    try:
        return run_scheduler(
            session.place,
            options,
            tell=display.event,
            redraw=display.redraw if display.animated else None,
            flush=display.flush,
            wants_tail=lambda outcome: (
                output is Output.ALL or (output is Output.FAIL and outcome is not Outcome.SUCCESS)
            ),
            environ=session.environment.environ,
            prepare=prepare,
        )
    finally:
        display.close()
