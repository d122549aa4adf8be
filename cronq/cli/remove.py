"""`cronq remove`: remove jobs; their history stays."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from cronq.cli._change import change_jobs, skip_due
from cronq.cli._said import confirm
from cronq.cli._schedules import calendars_for
from cronq.cli._session import Session
from cronq.errors import DefinitionUnreadable, UsageError
from cronq.model import Micros
from cronq.plan import Launch
from cronq.render.text import count_of, joined
from cronq.store import DueJob, JobChange, Store

USAGE = "remove NAME..."
EXAMPLES = ("cronq remove hello", "cronq remove --all --yes")


def command(
    ctx: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME", show_default=False)] = None,
    all_jobs: Annotated[bool, typer.Option("--all", help="Remove all jobs.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")
    ] = False,
) -> int:
    """Remove jobs. Their runs stay in the history.

    Runs that are queued are skipped; those that are running go on. One idle job is removed without a
    question; several, or one that is running, only after a yes.
    """
    session = Session.of(ctx)
    if bool(names) == all_jobs:
        raise UsageError("name the jobs to remove, or give --all", hint=f"usage: cronq {USAGE}")
    with session.store(read_only=dry_run) as store:
        chosen = [overview.job.name for overview in store.overviews(recent=0)] if all_jobs else names or []
        chosen = list(dict.fromkeys(chosen))
        if not chosen:
            session.tell("there is nothing to remove")
            _answer(session, [], "removed")
            return 0
        unreadable = _unreadable(store, chosen)
        readable = [name for name in chosen if name not in unreadable]
        question = _question(store, readable, all_jobs=all_jobs)
        if dry_run:
            _answer(session, chosen, "would remove")
            return 0
        if question and not yes and not confirm(session, question):
            session.tell("nothing was changed")
            return 1
        changed = change_jobs(session, store, readable, partial(_remove, store))
        for job_id in unreadable.values():
            store.remove_unreadable(job_id, now=session.environment.now())
    _answer(session, [*(before.name for before, _ in changed), *unreadable], "removed")
    return 0


def _answer(session: Session, names: list[str], verb: str) -> None:
    if session.options.json:
        session.json({"removed" if verb == "removed" else "would_remove": names})
        return
    stays = " · its history stays" if verb == "removed" else ""
    session.lines(name if session.options.quiet else f"{verb} {name}{stays}" for name in names)


def _unreadable(store: Store, names: list[str]) -> dict[str, int]:
    """Return the ids of those whose definitions cannot be read: just what one wants to be rid of."""
    found: dict[str, int] = {}
    while True:
        try:
            store.due([name for name in names if name not in found])
        except DefinitionUnreadable as error:
            found[error.job] = error.job_id
        else:
            return found


def _question(store: Store, names: list[str], *, all_jobs: bool) -> str:
    due = store.due(names)
    running = [one.job.name for one in due if one.active.running]
    if running:
        return f"{joined(running)} {'is' if len(running) == 1 else 'are'} running; remove {_them(names)}?"
    if len(names) > 1 or all_jobs:
        return f"remove {_them(names)}?"
    return ""


def _them(names: list[str]) -> str:
    return joined(names) if len(names) <= 5 else count_of(len(names), "job")


def _remove(store: Store, due: DueJob, launch: Launch, now: Micros) -> JobChange:
    reason = "paused" if due.job.paused_at is not None else "removed"
    launch = skip_due(due, now, reason, calendars_for(store, [due.job.definition]))
    return JobChange(launch._replace(next_fire_at=None), removed=True)
