"""Whether the store holds what a file of jobs says, without reading the file as TOML, nor all jobs.

A tick is mostly one in which nothing is due and nothing has changed; it has to end as soon as it has begun.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from cronq import __version__
from cronq.errors import UsageError

if TYPE_CHECKING:
    from cronq.cli._session import Session
    from cronq.store.sqlite_tick import TickStore

FACT = "tick file"


def is_brought_in(session: Session, store: TickStore, path: Path) -> bool:
    """Return whether file and jobs are what they were when the file was brought in the last time."""
    known = store.fact(FACT)
    return known is not None and known == _seal(session, store, path)


def note_brought_in(session: Session, store: TickStore, path: Path) -> None:
    """Remember what file and jobs are; nothing is written if that is known."""
    seal = _seal(session, store, path)
    if seal is not None and store.fact(FACT) != seal:
        store.set_fact(FACT, seal)


def _seal(session: Session, store: TickStore, path: Path) -> str | None:
    """Return a text that another one takes the place of with each change; None: there are further files."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    if b"calendars" in content:
        return None  # their files, or the package of holidays, may have changed
    own = (__version__, str(path.absolute().parent), session.tz(), session.environment.environ.get("PATH"))
    digest = hashlib.sha256(repr(own).encode("utf-8", "backslashreplace") + b"\0" + content)
    return f"{digest.hexdigest()} {store.stamp()}"
