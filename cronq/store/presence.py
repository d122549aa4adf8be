"""Is the open database still the one that its name leads to? And if not: what is in it is saved first.

In WAL mode SQLite goes on writing into files that no name leads to any more, and says nothing: neither of the
database nor of its write-ahead log. What this connection wrote, it can still read, so nothing of it is lost
as long as somebody notices before it is closed.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from cronq import clock
from cronq.errors import StoreBusy, StoreError, StoreMissing, UsageError
from cronq.store.connection import mapped_errors
from cronq.store.swapping import RESCUED, beside

Identity = tuple[int, int]


class Presence:
    """The files of one open connection, as they were."""

    def __init__(self, connection: sqlite3.Connection, database: Path) -> None:
        self._db = connection
        self._path = database
        self._log = beside(database, "-wal")
        self._database_was = _identity(database)
        self._log_was = _identity(self._log)

    def verify(self) -> None:
        """Return if all is as it was.

        Raises:
            StoreMissing: Files were removed or replaced; what was in them is saved, and where is said.
            StoreBusy: They were, and it cannot be saved as long as others read.
        """
        database = _identity(self._path)
        if database is None or database != self._database_was:
            self._rescue("has vanished" if database is None else "was replaced by another file")
        log = _identity(self._log)
        if self._log_was is None:
            self._log_was = log
        elif log != self._log_was:
            self._empty_log()

    def _rescue(self, what_happened: str) -> None:
        from cronq.store.backup import copy_database

        now = clock.now_us()
        moment = clock.datetime_from_us(now)
        rescued = beside(self._path, f"{RESCUED}{moment:%Y%m%dT%H%M%SZ}")
        try:
            copy_database(self._db, rescued, now=now, replace=True)
        except (StoreError, UsageError) as error:
            raise StoreMissing(
                f"{self._path} {what_happened}; it could not be saved: {error.message}"
            ) from error
        raise StoreMissing(f"{self._path} {what_happened}; what was in it is saved: cronq restore {rescued}")

    def _empty_log(self) -> None:
        with mapped_errors(self._path):
            busy, _, _ = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise StoreBusy(
                f"{self._log} was removed while in use, and others still read what is to be saved"
            )
        raise StoreMissing(
            f"{self._log} was removed while in use; what was in it is saved in the database, but not what"
            " other commands wrote since"
        )


def _identity(path: Path) -> Identity | None:
    try:
        info = path.stat()
    except OSError:
        return None
    return info.st_dev, info.st_ino
