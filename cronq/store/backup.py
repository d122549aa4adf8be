"""Copies of the ledger: made while others write, checked, and put back in its place.

SQLite's own backup API reads inside one transaction, so a copy is the ledger at one instant; in WAL mode a
reader holds up no writer (sqlite.org/backup.html, sqlite.org/wal.html). A copy is a single file, in rollback
journal mode: nothing beside it belongs to it.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

from cronq.errors import (
    FileTaken,
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreMissing,
    StoreUntrusted,
    UsageError,
)
from cronq.model import Micros
from cronq.store.base import Copy
from cronq.store.connection import CORRUPT, check_application, family_of, mapped_errors, quoted
from cronq.store.location import Place
from cronq.store.swapping import (
    beside,
    draft_for,
    exchange,
    put_in_place,
    sync_file,
    sync_folder,
)

STEP_PAGES = 2048
"""Between two steps a Ctrl-C is heard; 8 MB take some ten milliseconds."""
COPIED_AT = "copied_at"
"""Fact in a copy: the instant whose ledger it is."""


def copy_database(source: sqlite3.Connection, path: Path, *, now: Micros, replace: bool = False) -> Copy:
    """Copy the open ledger to a file that is there in the end whole and durable, or not at all.

    Args:
        source: The ledger; a reading transaction is held on it meanwhile.
        path: The new file, absolute.
        now: Noted in the copy.
        replace: Replace a file of that name.

    Raises:
        FileTaken: There is one, and `replace` was not given.
        UsageError: The path cannot be that of a copy.
        StoreCorrupt: The ledger is damaged.
        StoreFull: There is no room, or no right to write.
    """
    _check_target(path, replace=replace)
    with _writing(path), draft_for(path) as draft:
        copy = _fill(source, draft, now, path)
        sync_file(draft)
        if replace:
            draft.replace(path)
            sync_folder(path.parent)
        elif not put_in_place(draft, path):
            raise _taken(path)
    return copy._replace(path=path)


def _check_target(path: Path, *, replace: bool) -> None:
    try:
        info = path.lstat()
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise UsageError(
                f"there is no folder {path.parent}", hint=f"make it first: mkdir -p {path.parent}"
            ) from None
        return
    except OSError as error:
        raise UsageError(f"{path} is not the path of a file: {error.strerror}") from error
    if path.is_dir():
        raise UsageError(f"{path} is a folder", hint=f"name a file in it: {path / 'cronq-backup.db'}")
    if not replace:
        raise _taken(path)
    if not stat.S_ISREG(info.st_mode):
        raise UsageError(f"{path} is not a plain file, and is not replaced")


def _taken(path: Path) -> FileTaken:
    return FileTaken(f"{path} exists already", hint="replace it with --force, or name another file")


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Name the copy, and not the ledger, in errors about writing it."""
    try:
        yield
    except OSError as error:
        raise StoreFull(
            f"{path} cannot be written: {error.strerror or error}", hint="nothing was changed"
        ) from error


def _fill(source: sqlite3.Connection, draft: Path, now: Micros, name: Path) -> Copy:
    with mapped_errors(name):
        target = sqlite3.connect(draft, isolation_level=None)
        try:
            # The whole is synced before it gets its name; what a power cut leaves of a draft is never used.
            target.execute("PRAGMA synchronous = OFF")
            _copy_pages(source, target)
            target.execute("PRAGMA journal_mode = DELETE")
            _check_integrity(target, "the database")
            target.execute("PRAGMA foreign_keys = OFF")
            target.execute("INSERT OR REPLACE INTO fact (name, value) VALUES (?, ?)", (COPIED_AT, str(now)))
            return _counted(target, draft)
        finally:
            target.close()


def _copy_pages(source: sqlite3.Connection, target: sqlite3.Connection) -> None:
    # One transaction around all steps: else every commit of others would make it begin again.
    source.execute("BEGIN")
    try:
        source.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        source.backup(target, pages=STEP_PAGES, progress=lambda *_: None)
    finally:
        if source.in_transaction:
            source.execute("COMMIT")


def _check_integrity(connection: sqlite3.Connection, what: str) -> None:
    try:
        (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        if family_of(error) not in CORRUPT:
            raise
        verdict = str(error)
    if verdict != "ok":
        raise StoreCorrupt(
            f"{what} is damaged: {verdict}", hint="an older copy may be sound: cronq restore FILE"
        )


def _counted(connection: sqlite3.Connection, path: Path) -> Copy:
    (jobs,) = connection.execute("SELECT count(*) FROM job WHERE removed_at IS NULL").fetchone()
    (runs,) = connection.execute("SELECT count(*) FROM run").fetchone()
    noted = connection.execute("SELECT value FROM fact WHERE name = ?", (COPIED_AT,)).fetchone()
    copied_at = int(noted[0]) if noted and str(noted[0]).isdecimal() else None
    return Copy(path, path.stat().st_size, jobs, runs, copied_at, _last_run(connection))


def _last_run(connection: sqlite3.Connection) -> int:
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'run'").fetchone()
    return 0 if row is None else int(row[0])


# The way back


def inspect_copy(path: Path) -> Copy:
    """Return what a copy holds; it is one of ours, of a format we know, and undamaged.

    Raises:
        StoreMissing: There is no such file.
        StoreUntrusted: Somebody else can have written it.
        StoreTooNew: By a newer cronq.
        StoreCorrupt: It is not a copy of a ledger, or damaged.
    """
    with _opened_copy(path) as connection:
        return _counted(connection, path)


@contextlib.contextmanager
def _opened_copy(path: Path) -> Iterator[sqlite3.Connection]:
    try:
        info = path.stat()
    except OSError as error:
        raise StoreMissing(f"{path} cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(info.st_mode):
        raise UsageError(f"{path} is not a plain file")
    # A database names the commands that are executed as this user.
    if info.st_uid not in {os.geteuid(), 0} or info.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise StoreUntrusted(
            f"{path} could have been written by others",
            hint=f"if you trust what is in it: sudo chown $USER {path}; chmod go-w {path}",
        )
    mode = "mode=ro" if beside(path, "-wal").exists() else "mode=ro&immutable=1"
    try:
        with mapped_errors(path):
            connection = sqlite3.connect(f"file:{quoted(path)}?{mode}", uri=True, isolation_level=None)
            with contextlib.closing(connection):
                if check_application(connection, path) is None:
                    raise StoreCorrupt(f"{path} is empty")
                _check_integrity(connection, str(path))
                yield connection
    except StoreCorrupt as error:
        raise StoreCorrupt(error.message, hint="name another copy; nothing was changed") from error


def put_back(copy: Path, place: Place, *, above_run: int, suffix: str) -> Path | None:
    """Put a copy into the ledger's place; the caller sees to it that nobody works with the one there.

    Args:
        copy: Stays as it is.
        place: Whose database is replaced.
        above_run: Run numbers up to this were given; they are not given again.
        suffix: What the replaced database gets behind its name.

    Returns:
        Where the replaced database is; None if there was none.

    Raises:
        StoreError: As `inspect_copy`; StoreFull if the place cannot be written.
    """
    database = place.database
    with _writing(database), draft_for(database) as draft:
        with _opened_copy(copy) as source, mapped_errors(database):
            target = sqlite3.connect(draft, isolation_level=None)
            try:
                target.execute("PRAGMA synchronous = OFF")
                source.backup(target, pages=STEP_PAGES, progress=lambda *_: None)
                if above_run > _last_run(target):
                    target.execute("DELETE FROM sqlite_sequence WHERE name = 'run'")
                    target.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('run', ?)", (above_run,))
                target.execute("DELETE FROM fact WHERE name = ?", (COPIED_AT,))
                target.execute("PRAGMA journal_mode = WAL")
                target.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            finally:
                target.close()
        sync_file(draft)
        empty_log(database)
        return exchange(draft, database, suffix)


def empty_log(database: Path) -> None:
    """Move what is in the write-ahead log into the database, if that can still be done."""
    with contextlib.suppress(sqlite3.Error):
        connection = _opened_there(database)
        try:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        finally:
            connection.close()


def last_run_of(database: Path) -> int:
    """Return the highest run number that a database gave, as far as it can be read."""
    with contextlib.suppress(sqlite3.Error, StoreError):
        connection = _opened_there(database)
        try:
            return _last_run(connection)
        finally:
            connection.close()
    return 0


def _opened_there(database: Path) -> sqlite3.Connection:
    # Without `mode`, SQLite would make an empty file where there is none (sqlite.org/uri.html).
    uri = f"file:{quoted(database)}?mode=rw"
    return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=1.0)
