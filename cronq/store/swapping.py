"""Files that come into being, or change places, whole: a reader finds the old one or the new one, never half.

None of this opens a database by hand: closing a descriptor of it would drop SQLite's locks in this process
(sqlite.org/howtocorrupt.html, 2.2).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

COMPANIONS = ("-wal", "-shm", "-journal")
"""What SQLite keeps beside a database; it belongs to that database alone, and is believed."""
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP})


@contextlib.contextmanager
def draft_for(target: Path) -> Iterator[Path]:
    """Give the name of a new private file beside the target; what is left of it at the end is removed.

    Dies: a stray temporary file.

    Raises:
        OSError: It cannot be made.
    """
    draft = target.with_name(f".{target.name}.{os.getpid()}.{os.urandom(4).hex()}")
    os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    try:
        yield draft
    finally:
        for suffix in ("", *COMPANIONS):
            with contextlib.suppress(OSError):
                beside(draft, suffix).unlink()


def beside(path: Path, suffix: str) -> Path:
    """Return the path with something behind its name."""
    return path.with_name(path.name + suffix)


def put_in_place(draft: Path, target: Path, *, instead_of_leftovers: bool = False) -> bool:
    """Give a finished file its name, unless something has it already; return whether it was done.

    Of twenty processes one wins. With `instead_of_leftovers`, companions of a database that is gone are
    renamed first.
    """
    with locked_folder(target.parent):
        if os.path.lexists(target):
            return False
        if instead_of_leftovers:
            set_aside(target, f".left-{os.urandom(4).hex()}")
        try:
            os.link(draft, target)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            draft.rename(target)  # no hard links (FAT, some FUSE): then the folder's lock is all there is
        sync_folder(target.parent)
    return True


@contextlib.contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Keep others who ask for the same from changing places of files in a folder."""
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    sync_file(folder)


def sync_file(path: Path) -> None:
    """Make durable what was written to a file; never to a database that this process has open."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def set_aside(database: Path, suffix: str) -> Path | None:
    """Rename a database and what SQLite keeps beside it; return its new name, None if there was none.

    The companions go first: one that stays would be believed by whatever is put in the database's place.
    The shared memory is rebuilt from the write-ahead log and goes for good.
    """
    aside = beside(database, suffix)
    for companion in ("-wal", "-journal"):
        with contextlib.suppress(FileNotFoundError):
            beside(database, companion).rename(beside(aside, companion))
    beside(database, "-shm").unlink(missing_ok=True)
    try:
        database.rename(aside)
    except FileNotFoundError:
        return None
    return aside
