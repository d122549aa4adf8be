"""`cronq resume`: let paused jobs fire again."""

from __future__ import annotations

from typing import Annotated

import typer

from cronq.cli._change import change_jobs
from cronq.cli._said import answer_changes, hint_about_scheduler
from cronq.cli._session import Session
from cronq.model import Micros
from cronq.plan import Launch
from cronq.store import DueJob, JobChange

USAGE = "resume NAME..."
EXAMPLES = ("cronq resume backup", "cronq resume backup report")


def command(
    ctx: typer.Context,
    names: Annotated[list[str], typer.Argument(metavar="NAME", show_default=False)],
) -> int:
    """Let paused jobs fire again, from their next fire time on.

    Fire times that passed while a job was paused are recorded as skipped, in one row.
    """
    session = Session.of(ctx)
    with session.store() as store:
        changed = change_jobs(session, store, names, _resume)
        jobs = store.named_jobs(names)
    answer_changes(session, "resumed", changed, jobs, already="is not paused")
    if changed:
        session.tell(f"undo: cronq pause {' '.join(after.name for _, after in changed)}")
        hint_about_scheduler(session)
    return 0


def _resume(due: DueJob, launch: Launch, now: Micros) -> JobChange | None:
    del now  # settling has recorded as skipped what passed while the job was paused
    return None if due.job.paused_at is None else JobChange(launch, paused_at=None)
