"""`cronq trigger`: queue a run of a job now."""

from __future__ import annotations

from typing import Annotated

import typer

from cronq.cli._session import Session
from cronq.cli._waiting import answer_queued, check_wait

USAGE = "trigger NAME... [--wait [--timeout DURATION]]"
EXAMPLES = ("cronq trigger backup", "cronq trigger backup --wait --timeout 10m && echo done")


def command(
    ctx: typer.Context,
    names: Annotated[list[str], typer.Argument(metavar="NAME", show_default=False)],
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it is done: exit code 0 or 1.")] = False,
    timeout: Annotated[
        str | None, typer.Option("--timeout", metavar="DURATION", help="Wait no longer: exit code 124.")
    ] = None,
) -> int:
    """Queue one run of each job now, besides its schedule; a paused job's run waits.

    With --wait the exit code tells whether the runs succeeded (0) or not (1), not what the command returned.
    """
    session = Session.of(ctx)
    check_wait(wait, timeout)
    with session.store() as store:
        runs = store.trigger(list(dict.fromkeys(names)), now=session.environment.now())
    session.ring()
    return answer_queued(session, runs, wait=wait, timeout=timeout)
