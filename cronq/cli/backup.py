"""`cronq backup`: copy the database while it is in use."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cronq.cli._session import Session
from cronq.errors import UsageError
from cronq.render.text import count_of, plain
from cronq.render.times import iso
from cronq.sizes import short_size

USAGE = "backup FILE [--force]"
EXAMPLES = ("cronq backup ~/cronq-backup.db", 'cronq backup "/mnt/backup/cronq-$(date +%F).db" -q')


def command(
    ctx: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE", show_default=False)],
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if there is one.")] = False,
) -> int:
    """Copy the database to FILE, at any time: the copy is the ledger at one instant, checked and synced.

    The scheduler goes on meanwhile. FILE is private to you, and can be read like a database: cronq --db FILE
    list. The logs are not part of it. Back to it: cronq restore FILE.
    """
    session = Session.of(ctx)
    target = path_of(session, file)
    with session.store(read_only=True) as store:
        copy = store.backup(target, now=session.environment.now(), replace=force)
    if session.options.json:
        document = {
            "path": str(copy.path),
            "bytes": copy.size,
            "jobs": copy.jobs,
            "runs": copy.runs,
            "copied_at": None if copy.copied_at is None else iso(copy.copied_at),
        }
        session.json({"backup": document})
    elif session.options.quiet:
        session.line(str(copy.path))
    else:
        counts = f"{count_of(copy.jobs, 'job')}, {count_of(copy.runs, 'run')}, {short_size(copy.size)}"
        session.line(f"copied to {plain(session.tilde(str(copy.path)))} · {counts}")
        session.tell(f"back to it: cronq restore {session.tilde(str(copy.path))}")
    return 0


def path_of(session: Session, text: str) -> Path:
    """Return the absolute path that was meant. Raises: UsageError."""
    if not text or "\0" in text:
        raise UsageError("FILE is empty" if not text else "FILE holds a NUL character", hint="name a file")
    home = session.environment.environ.get("HOME")
    path = Path(home, text[2:]) if home and text.startswith("~/") else Path(text)
    if not path.is_absolute():
        path = session.environment.cwd() / path
    # The folder, but not the file: a link in the place of the copy is replaced, or refused, itself.
    return path.parent.resolve() / path.name
