"""`cronq pause`: stop jobs from firing."""

from __future__ import annotations

from typing import Annotated

import typer

from cronq.cli._change import change_jobs
from cronq.cli._said import answer_changes
from cronq.cli._session import Session
from cronq.model import Micros
from cronq.plan import Launch
from cronq.store import DueJob, JobChange

USAGE = "pause NAME..."
EXAMPLES = ("cronq pause backup", "cronq list -q | xargs cronq pause")


def command(
    ctx: typer.Context,
    names: Annotated[list[str], typer.Argument(metavar="NAME", show_default=False)],
) -> int:
    """Stop jobs from firing, until `cronq resume`.

    Runs that are queued wait, too; those that are running go on. Fire times meanwhile are recorded as
    skipped.
    """
    session = Session.of(ctx)
    with session.store() as store:
        changed = change_jobs(session, store, names, _pause)
        jobs = store.named_jobs(names)
    answer_changes(session, "paused", changed, jobs, already="is paused already")
    if changed:
        session.tell(f"undo: cronq resume {' '.join(after.name for _, after in changed)}")
    return 0


def _pause(due: DueJob, launch: Launch, now: Micros) -> JobChange | None:
    return None if due.job.paused_at is not None else JobChange(launch, paused_at=now)
