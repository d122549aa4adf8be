"""`cronq retry`: run again what is done."""

from __future__ import annotations

from typing import Annotated

import typer

from cronq.cli._runs import run_number
from cronq.cli._session import Session
from cronq.cli._waiting import answer_queued, check_wait

USAGE = "retry RUN... [--wait [--timeout DURATION]]"
EXAMPLES = ("cronq retry 812", "cronq retry 812 813 --wait")


def command(
    ctx: typer.Context,
    numbers: Annotated[list[str], typer.Argument(metavar="RUN", show_default=False)],
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it is done: exit code 0 or 1.")] = False,
    timeout: Annotated[
        str | None, typer.Option("--timeout", metavar="DURATION", help="Wait no longer: exit code 124.")
    ] = None,
) -> int:
    """Queue a new run about the same instant as each that is done.

    It sees the same CRONQ_FIRE_TIME as the run that it repeats, and uses the job's present definition.
    """
    session = Session.of(ctx)
    check_wait(wait, timeout)
    run_ids = list(dict.fromkeys(run_number(number) for number in numbers))
    with session.store() as store:
        runs = store.retry(run_ids, now=session.environment.now())
    session.ring()
    return answer_queued(session, runs, wait=wait, timeout=timeout)
