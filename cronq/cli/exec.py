"""`cronq exec`: a job's command here and now, in the scheduler's own environment."""

from __future__ import annotations

from typing import Annotated

import typer

from cronq.cli._session import Session

USAGE = "exec NAME"
EXAMPLES = ("cronq exec backup", "cronq exec backup; echo $?")


def command(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", show_default=False)],
) -> int:
    """Run a job's command in the foreground, with the working directory, PATH and variables of its runs.

    Nothing is recorded. The exit code is the command's own; 125, 126 and 127 mean that it could not be
    started.
    """
    from cronq.worker.foreground import run_foreground

    session = Session.of(ctx)
    with session.store(read_only=True) as store:
        job = store.job(name)
    session.terminal.out.flush()
    environment = session.environment
    return run_foreground(job.definition, job=name, now=environment.now(), environ=environment.environ)
