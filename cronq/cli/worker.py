"""`cronq worker`: a node that executes runs, and leaves it to others to launch them."""

from __future__ import annotations

from typing import Annotated

import typer

from cronq.cli._fields import queue_name
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
    for_: ForOption = None,
    drain: DrainOption = "30s",
    log_dir: LogDirOption = None,
    log_format: LogFormatOption = LogFormat.AUTO,
    output: OutputOption = Output.FAIL,
) -> int:
    """Execute runs on this host, from the queues of a ledger in PostgreSQL, until told to stop.

    Any number of them may live, on any hosts; `cronq run` is a scheduler and such a worker in one. What runs
    is killed if the database cannot be reached for 28 seconds, because then others may start it again.
    """
    session = Session.of(ctx)
    from cronq.schedule.duration import parse_duration
    from cronq.scheduler import Options

    address = session.place.address
    if address is None:
        raise UsageError(
            "a database file belongs to one machine, where `cronq run` executes all there is",
            hint="more than one machine: cronq help postgres",
        )
    check_slots("--slots", slots)
    queues = None if not queue else tuple(dict.fromkeys(queue_name(text) or DEFAULT_QUEUE for text in queue))
    options = Options(
        slots=slots,
        for_s=None if for_ is None else parse_duration(for_),
        drain_s=parse_duration(drain),
        log_dir=shared_dir(session, log_dir),
        fires=False,
    )
    from cronq.node_service import run_node

    with shown(session, asked_format(session, log_format), output) as audience:
        return run_node(address, session.place, options, queues=queues, **audience)
