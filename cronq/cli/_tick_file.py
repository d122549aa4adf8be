"""Whether the store holds what a file of jobs says, without reading the file as TOML, nor all jobs.

A tick is mostly one in which nothing is due and nothing has changed; it has to end as soon as it has begun.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from cronq import __version__
from cronq.errors import UsageError

if TYPE_CHECKING:
    from cronq.cli._session import Session
    from cronq.store.sqlite_tick import TickStore

FACT = "tick file"
ZONES_FACT = "tick zones"
_ZONES = ("/usr/share/zoneinfo", "/usr/lib/zoneinfo", "/usr/share/lib/zoneinfo", "/etc/zoneinfo")
"""Where systems keep their zone data (PEP 615)."""


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
    import hashlib

    environ = session.environment.environ
    zone = (
        session.options.tz,
        environ.get("TZ"),
        os.path.realpath("/etc/localtime"),
        _trace("/etc/timezone"),
    )
    own = (__version__, str(path.absolute().parent), zone, environ.get("PATH"))
    digest = hashlib.sha256(repr(own).encode("utf-8", "backslashreplace") + b"\0" + content)
    return f"{digest.hexdigest()} {store.stamp()}"


def has_same_zones(store: TickStore) -> bool:
    """Return whether the zone data are those with which the last tick looked at all jobs.

    If they are not, what was due may be so no more, and the other way round.
    """
    return store.fact(ZONES_FACT) == _zones()


def note_zones(store: TickStore) -> None:
    """Remember which zone data all jobs were looked at with; nothing is written if that is known."""
    found = _zones()
    if store.fact(ZONES_FACT) != found:
        store.set_fact(ZONES_FACT, found)


def _zones() -> str:
    """Return what tells zone data apart without reading them: modules that do are slow to come."""
    from importlib.util import find_spec

    spec = find_spec("tzdata")
    package = [] if spec is None or spec.origin is None else [f"{Path(spec.origin).parent}/zoneinfo"]
    folders = [*os.environ.get("PYTHONTZPATH", "").split(os.pathsep), *_ZONES, *package]
    return repr(
        [_trace(f"{folder}/{name}") for folder in folders for name in ("tzdata.zi", "+VERSION", "UTC")]
    )


def _trace(path: str) -> tuple[int, int, int] | None:
    try:
        info = os.stat(path)  # noqa: PTH116 - a dozen of them in each tick
    except OSError:
        return None
    return (info.st_ino, info.st_size, info.st_mtime_ns)
