"""`cronq cancel`: stop runs."""

from __future__ import annotations

from typing import Annotated

import typer

from cronq.cli._documents import run_document
from cronq.cli._errors import raise_all
from cronq.cli._runs import run_number
from cronq.cli._session import Session
from cronq.errors import CronqError, IllegalTransition
from cronq.model import Run, State
from cronq.store import Store

USAGE = "cancel RUN..."
EXAMPLES = ("cronq cancel 812", "cronq runs backup --state queued -q | xargs cronq cancel")
REASON = "cancelled by hand"


def command(
    ctx: typer.Context,
    numbers: Annotated[list[str], typer.Argument(metavar="RUN", show_default=False)],
) -> int:
    """Stop runs: a queued one is done at once, a running one gets TERM, and KILL after its --kill-after."""
    session = Session.of(ctx)
    run_ids = list(dict.fromkeys(run_number(number) for number in numbers))
    with session.store() as store:
        _check(store, run_ids)
        now = session.environment.now()
        runs = [store.cancel(run_id, reason=REASON, now=now) for run_id in run_ids]
    session.ring()
    if session.options.json:
        session.json({"runs": [run_document(run, None) for run in runs]})
        return 0
    for run in runs:
        session.line(str(run.id) if session.options.quiet else _said(run))
        if not session.options.quiet:
            session.tell(f"undo: cronq retry {run.id}")
    return 0


def _check(store: Store, run_ids: list[int]) -> None:
    """Find all that is wrong before the first run is touched."""
    problems: list[CronqError] = []
    for run_id in run_ids:
        try:
            run = store.run(run_id).run
        except CronqError as error:
            problems.append(error)
            continue
        if run.state is State.DONE:
            problems.append(
                IllegalTransition(
                    f"run {run_id} of {run.job} is done already ({run.outcome})",
                    hint=f"run it again: cronq retry {run_id}",
                )
            )
    raise_all(problems)


def _said(run: Run) -> str:
    if run.state is State.DONE:
        return f"cancelled {run.job} #{run.id}"
    return f"stopping {run.job} #{run.id}"
