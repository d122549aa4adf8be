"""One connection to PostgreSQL that behaves as that of SQLite does, so that the statements can be the same.

Each writing transaction takes one advisory lock of the schema, which makes writers follow each other as
SQLite's do: what is safe after `BEGIN IMMEDIATE` is safe here. The session ends by itself if its process is
frozen, or cut off, in the middle of a transaction, so nobody holds up the others for long.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict

from cronq.errors import StoreUnreachable, UsageError
from cronq.store.postgres.address import PATIENCE, Address
from cronq.store.postgres.dialect import translated
from cronq.store.postgres.errors import meaning_of

MIGRATIONS = Path(__file__).with_name("migrations")
SCHEMA_VERSION = 1
FROZEN_S = 5
"""After so long between two statements of a transaction the server ends it, and others go on."""
LOCK_PATIENCE_S = 10
"""How long a writer waits for its turn."""

_SETTINGS = {
    "synchronous_commit": "on",
    "idle_in_transaction_session_timeout": f"{FROZEN_S}s",
    "lock_timeout": f"{LOCK_PATIENCE_S}s",
    "DateStyle": "ISO",
}


Parameters = Sequence[Any] | Mapping[str, Any]


class Connection:
    """A connection; opened again, outside transactions, when it was lost.

    Attributes:
        is_grouping: See `cronq.store.connection.Connection`.
        has_failed: Likewise.
        node: Number of the node that writes, for the claims it makes; None: people.
    """

    def __init__(self, address: Address) -> None:
        """Connect. Raises: StoreError."""
        self.address = address
        self.is_grouping = False
        self.has_failed = False
        self.node: int | None = None
        self._turn = zlib.crc32(f"cronq {address.schema}".encode())
        self._is_inside = False
        self._connection = self._connect()

    def _connect(self) -> psycopg.Connection[Any]:
        return connect(self.address)

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open, or was until the connection was lost."""
        return self._is_inside

    def is_taken(self, error: Exception) -> bool:
        """Return whether an error says that a unique key exists already."""
        return isinstance(error, psycopg.errors.UniqueViolation)

    def execute(self, statement: str, values: Parameters = ()) -> psycopg.Cursor[Any]:
        """Execute one statement of SQLite's dialect. Raises: StoreError, psycopg.errors.UniqueViolation."""
        if statement in _WHOLE:
            return self._control(statement)
        return self._send(translated(statement), values or None)

    def cursor(self) -> Cursor:
        """Return what takes a statement of SQLite's dialect, and gives its answer piece by piece."""
        return Cursor(self)

    def plain(self, statement: str, values: Parameters | None = None) -> psycopg.Cursor[Any]:
        """Execute a statement of PostgreSQL's own dialect. Raises: StoreError."""
        return self._send(statement, values)

    def close(self) -> None:
        """Disconnect."""
        self._connection.close()

    @property
    def raw(self) -> psycopg.Connection[Any]:
        """The connection itself, for what takes part in its transactions."""
        return self._connection

    def fileno(self) -> int:
        """Return the socket, for news."""
        return self._connection.fileno()

    def news(self) -> Iterator[str]:
        """Yield what was notified since, without waiting."""
        try:
            for notice in self._connection.notifies(timeout=0):
                yield notice.payload
        except psycopg.Error as error:
            raise meaning_of(error, self.address.shown) from error

    def _control(self, statement: str) -> psycopg.Cursor[Any]:
        text = _WHOLE[statement]
        if statement.startswith("BEGIN") and not self.address.listens:
            # Before the turn is waited for: one of them says for how long.
            text += f"; {_settings(self.address, for_transaction=True)}"
        if statement == "BEGIN IMMEDIATE":
            # One message: the turn, and who writes, for the triggers.
            text += f"; SELECT pg_advisory_xact_lock({self._turn})"
            text += f", set_config('cronq.node', '{'' if self.node is None else self.node}', true)"
        if statement in {"COMMIT", "ROLLBACK"}:
            self._is_inside = False
            if self._connection.closed:
                if statement == "ROLLBACK":
                    return self._connection.cursor()
                raise StoreUnreachable(f"{self.address.shown} was lost before the end of a transaction")
        cursor = self._send(text, None, is_whole=True)
        if statement.startswith("BEGIN"):
            self._is_inside = True
        return cursor

    def _send(self, text: str, values: Parameters | None, *, is_whole: bool = False) -> psycopg.Cursor[Any]:
        try:
            if self._connection.closed and not self._is_inside:
                self._connection = self._connect()
            if self.address.listens or self._is_inside or is_whole:
                return self._connection.execute(text, values)
            # The session may be another one each time: PgBouncer gives one for a transaction.
            with self._connection.transaction():
                self._connection.execute(_settings(self.address, for_transaction=True))
                return self._connection.execute(text, values)
        except psycopg.errors.UniqueViolation:
            raise
        except psycopg.Error as error:
            self._give_up_broken()
            raise meaning_of(error, self.address.shown) from error

    def _give_up_broken(self) -> None:
        if self._connection.broken or self._connection.pgconn.status == pq.ConnStatus.BAD:
            self._connection.close()
        elif not self._is_inside and self._connection.info.transaction_status != pq.TransactionStatus.IDLE:
            # A BEGIN whose turn did not come is open all the same.
            self._connection.execute("ROLLBACK")


_WHOLE: Mapping[str, str] = {
    "BEGIN IMMEDIATE": "BEGIN",
    "BEGIN": "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
    "COMMIT": "COMMIT",
    "ROLLBACK": "ROLLBACK",
}


class Cursor:
    """One statement and its answer, which is here as a whole when it is executed."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._answer: psycopg.Cursor[Any] | None = None

    def execute(self, statement: str, values: Parameters = ()) -> None:
        """Execute it, as `Connection.execute` does. Raises: StoreError."""
        self._answer = self._connection.execute(statement, values)

    def fetchmany(self, size: int) -> list[Any]:
        """Return the next rows; none at the end."""
        assert self._answer is not None, "nothing was executed"
        return self._answer.fetchmany(size)

    def close(self) -> None:
        """Let go of the answer."""
        if self._answer is not None:
            self._answer.close()


def connect(address: Address) -> psycopg.Connection[Any]:
    """Return a connection in autocommit mode, with cronq's settings. Raises: StoreError, UsageError."""
    try:
        given = conninfo_to_dict(address.conninfo)
    except psycopg.ProgrammingError:
        # Its text quotes what it could not read, which may be the password.
        raise UsageError(
            f"{address.shown} cannot be read", hint="special characters are written as %XX"
        ) from None
    parameters: dict[str, Any] = {**PATIENCE, "application_name": "cronq", **given, "client_encoding": "UTF8"}
    try:
        # Behind PgBouncer in transaction mode the next statement may meet another session.
        threshold = 5 if address.listens else None
        connection = psycopg.connect(autocommit=True, prepare_threshold=threshold, **parameters)
    except psycopg.Error as error:
        raise meaning_of(error, address.shown) from error
    if not address.listens:
        return connection  # what it says to a session stays there, for others
    try:
        connection.execute(_settings(address, for_transaction=False))
    except psycopg.Error as error:
        connection.close()
        raise meaning_of(error, address.shown) from error
    return connection


def _settings(address: Address, *, for_transaction: bool) -> str:
    """Return a statement that makes the settings, for the transaction or for the session."""
    settings = {"search_path": address.schema, **_SETTINGS}
    return "SELECT " + ", ".join(
        f"set_config('{name}', '{value}', {str(for_transaction).lower()})" for name, value in settings.items()
    )
