"""`cronq apply`: make the store hold what a file of jobs says."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Annotated

import typer

from cronq.cli._applying import Plan, apply_file
from cronq.cli._consequences import changing, consequences, document_of_plan, summary
from cronq.cli._files import path_of_file, planned, read_file, warn_of
from cronq.cli._said import hint_about_scheduler
from cronq.cli._session import Session

if TYPE_CHECKING:
    from cronq.cli._job_file import JobFile

USAGE = "apply [FILE] [--plan] [--prune]"
EXAMPLES = ("cronq apply cronq.toml --plan", "cronq apply cronq.toml --prune")
DEFAULT_FILE = "cronq.toml"
_OBJECTS = 100_000


def command(
    ctx: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE", show_default=False)] = DEFAULT_FILE,
    plan: Annotated[bool, typer.Option("--plan", help="Say what would be done, and do nothing.")] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove jobs of a file that this one does not name.")
    ] = False,
    days: Annotated[
        int,
        typer.Option(
            "--days", metavar="N", min=1, max=366, help="Show fire times so far ahead (default: 7)."
        ),
    ] = 7,
    no_check: Annotated[
        bool, typer.Option("--no-check", help="Do not look whether the programs exist.")
    ] = False,
) -> int:
    """Make the store hold what FILE says (default: cronq.toml), all of it or, if anything is wrong, nothing.

    Shown are old and new definitions, and which fire times appear, vanish or move. A scheduler that is
    running takes it up at once; running jobs and unchanged ones are left alone. Jobs that were added by hand
    are never removed.
    """
    session = Session.of(ctx)
    # A file may hold a hundred thousand jobs, and none of them is garbage before the end.
    gc.set_threshold(_OBJECTS)
    session.fields = {"no_check": no_check}
    path = path_of_file(session, file)
    if plan:
        read = read_file(session, path)
        done = planned(session, read, prune=prune)
    else:
        read = read_file(session, path)
        with session.made_store() as store:
            done = apply_file(session, store, read, prune=prune)
    _answer(session, read, done, days, is_plan=plan)
    if not plan:
        hint_about_scheduler(session)
    return 0


def _answer(session: Session, read: JobFile, done: Plan, days: int, *, is_plan: bool) -> None:
    if session.options.json:
        session.json(document_of_plan(session, done, days, is_plan=is_plan))
        return
    if session.options.quiet:
        session.lines(step.name for step in changing(done))
        return
    for words in consequences(session, done, days):
        session.words(*words)
    warn_of(session, read)
    session.line(summary(done, is_plan=is_plan))
