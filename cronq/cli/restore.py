"""`cronq restore`: put a copy of the database back in its place."""

from __future__ import annotations

from typing import Annotated

import typer

from cronq.cli._change import skip_due
from cronq.cli._said import confirm
from cronq.cli._schedules import calendars_for
from cronq.cli._session import Session
from cronq.cli.backup import path_of
from cronq.errors import StoreBusy
from cronq.model import SECOND, Micros, State
from cronq.plan import Passed
from cronq.render.text import count_of, plain
from cronq.render.times import iso, span
from cronq.store import Copy, JobChange, RunQuery, Store

USAGE = "restore FILE [--skip-gap]"
EXAMPLES = ("cronq restore ~/cronq-backup.db", "cronq restore ~/cronq-backup.db --skip-gap --yes")

_REASON = "restored"


def command(
    ctx: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE", show_default=False)],
    skip_gap: Annotated[
        bool,
        typer.Option("--skip-gap", help="Run nothing that became due, or was queued, before now."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> int:
    """Put the copy FILE in the place of the database, which is kept beside it under another name.

    No scheduler may run. What happened since the copy was made is not in the ledger afterwards: those fire
    times count as misfires and follow each job's catch-up policy, so something may run for a second time.
    With --skip-gap they are recorded as skipped instead, and runs that were queued are cancelled.
    """
    from cronq.restore import nobody_at_work, replace_database
    from cronq.store.backup import inspect_copy

    session = Session.of(ctx)
    session.refuse_server("`restore` puts a database file back", "pg_restore does it for a server")
    source = path_of(session, file)
    copy = inspect_copy(source)
    now = session.environment.now()
    database = session.tilde(str(session.place.database))
    with nobody_at_work(session.place):
        question = f"replace {plain(database)} by {_words(copy, now)}?"
        if not yes and not confirm(session, question):
            session.tell("nothing was changed")
            return 1
        replaced = replace_database(session.place, source, session.environment.environ, now=now)
        passed = 0
        if skip_gap:
            with session.store() as store:
                passed = _skip_gap(store, now)
    if session.options.json:
        document = {
            "path": str(session.place.database),
            "jobs": copy.jobs,
            "runs": copy.runs,
            "copied_at": None if copy.copied_at is None else iso(copy.copied_at),
            "replaced": None if replaced is None else str(replaced),
            "skipped": passed if skip_gap else None,
        }
        session.json({"restored": document})
        return 0
    if session.options.quiet:
        session.line(str(session.place.database))
        return 0
    session.line(f"restored {plain(database)} · {_words(copy, now)}")
    if replaced is not None:
        session.tell(f"the replaced database is kept: {session.tilde(str(replaced))}")
    if skip_gap:
        session.tell(
            f"{count_of(passed, 'fire time')} or queued run{'s' * (passed != 1)} until now will not run"
        )
    else:
        session.note("fire times since then follow each job's catch-up policy when a scheduler starts")
    return 0


def _words(copy: Copy, now: Micros) -> str:
    counts = f"{count_of(copy.jobs, 'job')}, {count_of(copy.runs, 'run')}"
    if copy.copied_at is None:
        return counts
    return f"the copy of {span(max(0, now - copy.copied_at) / SECOND, units=2)} ago ({counts})"


def _skip_gap(store: Store, now: Micros) -> int:
    """Account for what became due since the copy without running it; return how much that was."""
    passed = 0
    for job in store.scheduled_jobs(limit=1_000_000):
        (due,) = store.due([job.name])
        launch = skip_due(due, now, _REASON, calendars_for(store, [due.job.definition]))
        passed += sum(entry.fire_count for entry in launch.entries if isinstance(entry, Passed))
        if store.change_jobs([JobChange(launch, paused_at=due.job.paused_at)], now=now) is None:
            raise StoreBusy(f"{job.name} was changed by somebody else just now", hint="the copy is in place")
    for run, _ in store.runs(RunQuery(state=State.QUEUED, limit=1_000_000)):
        store.cancel(run.id, reason=_REASON, now=now)
        passed += 1
    return passed
