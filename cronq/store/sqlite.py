"""The ledger in one SQLite file.

Guarantees kept here, by statements and not by care: G1 (JOB_ADVANCE and the unique key), G3 (RUN_CLAIM, and
the attempt number in RUN_FINISH), G9 (`connection._check_version`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from cronq.errors import UsageError
from cronq.model import Micros
from cronq.store.base import Copy
from cronq.store.connection import Connection, connect, mapped_errors, serve_scheduler
from cronq.store.location import Place
from cronq.store.sqlite_history import HistorySide
from cronq.store.sqlite_retention import RetentionSide
from cronq.store.sqlite_scheduler import SchedulerSide
from cronq.store.swapping import COMPANIONS, beside, is_same_file


def open_store(
    place: Place,
    *,
    create: bool = False,
    read_only: bool = False,
    for_scheduler: bool = False,
    durable: bool = True,
    environ: Mapping[str, str] = os.environ,
) -> SqliteStore:
    """Open the ledger at a place; see `open_connection`.

    Args:
        place: See there, as for the others.
        create: See there.
        read_only: See there.
        for_scheduler: See there.
        durable: False: a power cut may take it all, as it may of a world that is only played.
        environ: See there.
    """
    connection = open_connection(
        place, create=create, read_only=read_only, for_scheduler=for_scheduler, environ=environ
    )
    if not durable:
        connection.execute("PRAGMA synchronous = OFF")
    return SqliteStore(connection, place)


def open_connection(
    place: Place, *, create: bool, read_only: bool, for_scheduler: bool, environ: Mapping[str, str]
) -> Connection:
    """Return a connection to the ledger at a place.

    Args:
        place: Found by `cronq.store.location.find_place`.
        create: Make it if there is none.
        read_only: Change nothing, and work where nothing can be written.
        for_scheduler: It moves the write-ahead log into the database, and never waits long for its turn.
        environ: For the list of trusted projects.

    Raises:
        StoreError: Its leaves say what is wrong.
    """
    connection = connect(place, create=create, read_only=read_only, environ=environ)
    if for_scheduler:
        try:
            with mapped_errors(place.database):
                serve_scheduler(connection)
        except BaseException:
            connection.close()
            raise
    return connection


class SqliteStore(HistorySide, SchedulerSide, RetentionSide):
    """`cronq.store.base.Store` on one SQLite connection; the interface says what the methods promise."""

    def backup(self, path: Path, *, now: Micros, replace: bool = False) -> Copy:
        """Copy the ledger, as it is at one instant, to a file."""
        from cronq.store.backup import copy_database

        own = (self._path, *(beside(self._path, suffix) for suffix in COMPANIONS))
        if path in own or is_same_file(path, self._path):
            raise UsageError(f"{path} is the database itself", hint="name another file for the copy")
        return copy_database(self._db, path, now=now, replace=replace)

    def close(self) -> None:
        """Release the database; the last connection to close empties the write-ahead log."""
        self._db.close()
