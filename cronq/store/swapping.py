"""Files that come into being, or change places, whole: a reader finds the old one or the new one, never half.

None of this opens a database by hand: closing a descriptor of it would drop SQLite's locks in this process
(sqlite.org/howtocorrupt.html, 2.2).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import stat
from collections.abc import Iterator
from glob import escape
from pathlib import Path

COMPANIONS = ("-wal", "-shm", "-journal")
"""What SQLite keeps beside a database; it belongs to that database alone, and is believed."""
REPLACED = ".replaced-"
"""Stands between the name of a database and the time when a restore replaced it."""
RESCUED = ".rescued-"
"""Stands between the name of a lost database and the time when what it held was saved."""
_DRAFT_END = re.compile(r"[0-9]+\.[0-9a-f]{8}")
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP})


@contextlib.contextmanager
def draft_for(target: Path) -> Iterator[Path]:
    """Give the name of a new private file beside the target; what is left of it at the end is removed.

    Dies: a stray file, whose lock is free; the next draft for the same target removes it.

    Raises:
        OSError: It cannot be made.
    """
    for stray in stray_drafts(target):
        with _locked_draft(stray) as is_stray:
            if is_stray:
                _remove_draft(stray)
    draft, fd = _new_draft(target)
    try:
        yield draft
    finally:
        _remove_draft(draft)
        # Not earlier: closing it drops the locks that SQLite has on the file.
        os.close(fd)


def stray_drafts(target: Path) -> list[Path]:
    """Return the drafts for a target whose makers were killed."""
    prefix = f".{target.name}."
    named = target.parent.glob(f"{escape(prefix)}*")
    return sorted(path for path in named if _DRAFT_END.fullmatch(path.name, len(prefix)) and _is_stray(path))


def _is_stray(draft: Path) -> bool:
    with _locked_draft(draft) as is_stray:
        return is_stray


@contextlib.contextmanager
def _locked_draft(draft: Path) -> Iterator[bool]:
    """Hold the lock of somebody's draft inside the block, if its maker is dead and it is ours to remove."""
    try:
        fd = os.open(draft, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        yield False
        return
    try:
        info = os.fstat(fd)
        is_ours = stat.S_ISREG(info.st_mode) and info.st_uid == os.geteuid()
        yield is_ours and _lock_at_once(fd)
    finally:
        os.close(fd)


def _lock_at_once(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _new_draft(target: Path) -> tuple[Path, int]:
    """Return a new file and the descriptor that holds its lock."""
    while True:
        draft = target.with_name(f".{target.name}.{os.getpid()}.{os.urandom(4).hex()}")
        fd = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            with contextlib.suppress(OSError):  # no locks there: then nobody takes it for a stray one
                fcntl.flock(fd, fcntl.LOCK_EX)
            if draft.exists():
                return draft, fd
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)  # somebody saw it before it was locked, and removed it


def _remove_draft(draft: Path) -> None:
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


def exchange(draft: Path, database: Path, suffix: str) -> Path | None:
    """Put a finished database in the place of another; return the other's new name, None if there was none.

    Dies: there is the old one, which then has two names, or the new one; but never none (unless the file
    system knows no hard links), since the next command would begin with an empty one.
    """
    aside: Path | None = beside(database, suffix)
    with locked_folder(database.parent):
        try:
            os.link(database, beside(database, suffix))
        except FileNotFoundError:
            aside = None
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            aside = set_aside(database, suffix)
        sync_folder(database.parent)
        _set_companions_aside(database, suffix)
        draft.rename(database)
        sync_folder(database.parent)
    return aside


def is_same_file(one: Path, other: Path) -> bool:
    """Return whether two paths lead to one file; False if one of them leads nowhere."""
    try:
        return one.samefile(other)
    except OSError:
        return False


def kept_beside(database: Path) -> list[Path]:
    """Return the older databases that were kept under the name of this one, the newest last."""
    found = [
        path
        for mark in (REPLACED, RESCUED)
        for path in database.parent.glob(f"{escape(database.name)}{mark}*")
        if not path.name.endswith(COMPANIONS)
    ]
    return sorted(found, key=lambda path: path.name.rpartition("-")[2])


def _set_companions_aside(database: Path, suffix: str) -> None:
    # The shared memory is rebuilt from the write-ahead log and goes for good.
    for companion in ("-wal", "-journal"):
        with contextlib.suppress(FileNotFoundError):
            beside(database, companion).rename(beside(beside(database, suffix), companion))
    beside(database, "-shm").unlink(missing_ok=True)


def set_aside(database: Path, suffix: str) -> Path | None:
    """Rename a database and what SQLite keeps beside it; return its new name, None if there was none.

    The companions go first: one that stays would be believed by whatever is put in the database's place.
    """
    aside = beside(database, suffix)
    _set_companions_aside(database, suffix)
    try:
        database.rename(aside)
    except FileNotFoundError:
        return None
    return aside
