"""`cronq worker`: a node that executes runs, and leaves it to others to launch them."""

from __future__ import annotations

from typing import Annotated

import typer

from cronq.cli._fields import queue_name
from cronq.cli._session import Session
from cronq.cli._shipped import log_dir as shared_dir
from cronq.cli.run import MAX_WORKERS, LogFormat, Output
from cronq.errors import UsageError
from cronq.model import Outcome
from cronq.names import DEFAULT_QUEUE

USAGE = "worker [--queue QUEUE]... [--slots N] [--for DURATION]"
EXAMPLES = ("cronq worker", "cronq worker --queue gpu --slots 2")


def command(
    ctx: typer.Context,
    queue: Annotated[
        list[str] | None,
        typer.Option("--queue", metavar="QUEUE", help="Only runs of this queue; repeatable (default: all)."),
    ] = None,
    slots: Annotated[int, typer.Option("--slots", metavar="N", help="Runs at a time (default: 32).")] = 32,
    for_: Annotated[
        str | None, typer.Option("--for", metavar="DURATION", help="Stop after this long.")
    ] = None,
    drain: Annotated[
        str,
        typer.Option(
            "--drain", metavar="DURATION", help="How long running jobs may finish at the end (default: 30s)."
        ),
    ] = "30s",
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
    """Execute runs on this host, from the queues of a ledger in PostgreSQL, until told to stop.

    Any number of them may live, on any hosts; `cronq run` is a scheduler and such a worker in one. What runs
    is killed if the database cannot be reached for 28 seconds, because then others may start it again.
    """
    session = Session.of(ctx)
    from cronq.render.live import make_display
    from cronq.schedule.duration import parse_duration
    from cronq.scheduler import Options

    address = session.place.address
    if address is None:
        raise UsageError(
            "a database file belongs to one machine, where `cronq run` executes all there is",
            hint="more than one machine: cronq help postgres",
        )
    if not 1 <= slots <= MAX_WORKERS:
        raise UsageError(f"--slots must be 1 to {MAX_WORKERS}, not {slots}")
    queues = None if not queue else tuple(dict.fromkeys(queue_name(text) or DEFAULT_QUEUE for text in queue))
    options = Options(
        slots=slots,
        for_s=None if for_ is None else parse_duration(for_),
        drain_s=parse_duration(drain),
        log_dir=shared_dir(session, log_dir),
        fires=False,
    )
    from cronq.node_service import run_node

    log_format = LogFormat.JSON if session.options.json else log_format
    display = make_display(log_format, output, session.terminal)
    try:
        return run_node(
            address,
            session.place,
            options,
            queues=queues,
            tell=display.event,
            redraw=display.redraw if display.animated else None,
            flush=display.flush,
            wants_tail=lambda outcome: (
                output is Output.ALL or (output is Output.FAIL and outcome is not Outcome.SUCCESS)
            ),
            environ=session.environment.environ,
        )
    finally:
        display.close()
