"""`cronq run`: the scheduler, its queue and its workers, in the foreground."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer

from cronq.cli._running import (
    DrainOption,
    ForOption,
    LogDirOption,
    LogFormat,
    LogFormatOption,
    Output,
    OutputOption,
    asked_format,
    check_slots,
    shown,
)
from cronq.cli._session import Session
from cronq.cli._shipped import log_dir as shared_dir
from cronq.errors import UsageError

USAGE = "run [--file FILE] [--workers N] [--for DURATION] [--until-idle]"
EXAMPLES = ("cronq run", "cronq run --file cronq.toml --workers 4")


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
    for_: ForOption = None,
    until_idle: Annotated[
        bool, typer.Option("--until-idle", help="Stop when nothing is due, queued or running.")
    ] = False,
    drain: DrainOption = "30s",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the decisions of the next hour, and act on none.")
    ] = False,
    log_dir: LogDirOption = None,
    log_format: LogFormatOption = LogFormat.AUTO,
    output: OutputOption = Output.FAIL,
) -> int:
    """Fire the jobs when they are due, and keep the ledger, until told to stop.

    Only one scheduler runs for a database. The first Ctrl-C, or SIGTERM, starts nothing more and waits for
    what runs; the second stops it.

    With --file the jobs are those of the file, and of no file before it: jobs that an earlier one defined and
    this one does not name are removed, with their history kept. Jobs that were added by hand stay. If
    anything in the file is wrong, nothing is changed and nothing starts.
    """
    session = Session.of(ctx)
    from cronq.schedule.duration import parse_duration
    from cronq.scheduler import Options

    check_slots("--workers", workers)
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

    log_format = asked_format(session, log_format)
    prepare = None
    if file is not None:
        from cronq.cli._files import applier

        prepare = applier(session, file, as_json=log_format is LogFormat.JSON)
    with shown(session, log_format, output) as audience:
        return run_scheduler(session.place, options, prepare=prepare, **audience)
