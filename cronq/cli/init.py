"""`cronq init`: a database for a project, in its own folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cronq.cli._session import Session
from cronq.errors import StoreFull, UsageError
from cronq.store import open_store
from cronq.store.location import DATABASE_NAME, PROJECT_DIRECTORY, Place, trust_project

USAGE = "init [DIR]"
EXAMPLES = ("cronq init", "cronq init ~/projects/site")


def command(
    ctx: typer.Context,
    directory: Annotated[str | None, typer.Argument(metavar="DIR", show_default=False)] = None,
) -> int:
    """Make a database for the project in DIR (default: here), or accept the one that is there.

    cronq uses it from then on, in DIR and everything below. A database can run commands as you, so one that
    came with somebody else's files is used only after you have accepted it this way.
    """
    session = Session.of(ctx)
    if session.options.db is not None:
        session.refuse_server("`init` makes a database file", "the tables in a server: cronq db migrate")
    environment = session.environment
    root = (environment.cwd() / Path(directory or ".").expanduser()).resolve()
    if not root.is_dir():
        raise UsageError(f"there is no directory {root}")
    project = root / PROJECT_DIRECTORY
    database = project / DATABASE_NAME
    is_new = not database.exists()
    try:
        _make(project)
        # Not marked as found: this command is how a project comes to be trusted.
        open_store(
            Place(database, project / "logs", f"nearest {PROJECT_DIRECTORY}"),
            create=True,
            environ=environment.environ,
        ).close()
        trust_project(project.resolve(), environment.environ)
    except OSError as error:
        raise StoreFull(
            f"{error.filename or project}: {error.strerror}", hint="nothing was accepted"
        ) from error
    if session.options.json:
        session.json({"database": str(database), "created": is_new})
    elif session.options.quiet:
        session.line(str(database))
    else:
        session.line(f"{'created' if is_new else 'accepted'} {session.tilde(str(database))}")
    return 0


def _make(project: Path) -> None:
    if not project.exists():
        project.mkdir(mode=0o700)
    try:
        # Exclusively: whoever made the folder may have put a link there, to a file of ours elsewhere.
        with (project / ".gitignore").open("x", encoding="ascii") as file:
            file.write("*\n")
    except FileExistsError:
        pass
