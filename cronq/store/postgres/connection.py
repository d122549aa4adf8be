"""One connection to PostgreSQL that behaves as that of SQLite does, so that the statements can be the same.

Each writing transaction takes one advisory lock of the schema, which makes writers follow each other as
SQLite's do: what is safe after `BEGIN IMMEDIATE` is safe here. The session ends by itself if its process is
frozen, or cut off, in the middle of a transaction, so nobody holds up the others for long.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict

from cronq import clock
from cronq.errors import InvariantError, StoreError, StoreUnreachable, UsageError
from cronq.store.postgres.address import PATIENCE, Address
from cronq.store.postgres.dialect import translated
from cronq.store.postgres.errors import KeyTaken, meaning_of

MIGRATIONS = Path(__file__).with_name("migrations")
SCHEMA_VERSION = 1
FROZEN_S = 5
"""After so long between two statements of a transaction the server ends it, and others go on."""
LEAST_PAUSE_S = 0.1
"""Between two tries to connect; or as long as the last one took, if that is longer."""
LOCK_PATIENCE_S = 10
"""How long a writer waits for its turn."""

Parameters = Sequence[Any] | Mapping[str, Any]


class Connection:
    """A connection; opened again, outside transactions, when it was lost.

    Attributes:
        is_grouping: See `cronq.store.connection.Connection`.
        has_failed: Likewise.
        node: Number of the node that writes, for the claims it makes; None: people.
    """

    def __init__(
        self, address: Address, *, patience_s: float = LOCK_PATIENCE_S, frozen_s: float = FROZEN_S
    ) -> None:
        """Connect; see the constants for what the times, seconds, mean. Raises: StoreError, UsageError."""
        self.address = address
        self.is_grouping = False
        self.has_failed = False
        self.node: int | None = None
        self._turn = zlib.crc32(f"cronq {address.schema}".encode())
        self._refusal: StoreError | None = None
        self._again_at = 0.0
        self._is_inside = False
        self._times = (patience_s, frozen_s)
        self._connection = self._connect()

    def _connect(self) -> psycopg.Connection[Any]:
        return connect(self.address, *self._times)

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open, or was until the connection was lost."""
        return self._is_inside

    def is_taken(self, error: Exception) -> bool:
        """Return whether an error says that a unique key exists already."""
        return isinstance(error, KeyTaken)

    def execute(self, statement: str, values: Parameters = ()) -> psycopg.Cursor[Any]:
        """Execute one statement of SQLite's dialect. Raises: StoreError, KeyTaken."""
        if statement in _WHOLE:
            return self._control(statement)
        return self._send(translated(statement), values or None)

    def cursor(self) -> Cursor:
        """Return a cursor for a long answer, which takes a statement of SQLite's dialect."""
        return Cursor(self)

    def plain(self, statement: str, values: Parameters | None = None) -> psycopg.Cursor[Any]:
        """Execute a statement of PostgreSQL's own dialect. Raises: StoreError."""
        return self._send(statement, values)

    def copy_in(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        """Send rows by COPY, the way for very many. Raises: StoreError."""
        try:
            with self._connection.cursor() as cursor, cursor.copy(statement.encode()) as copy:
                for row in rows:
                    copy.write_row(row)
        except psycopg.Error as error:
            self._tidy_up()
            raise meaning_of(error, self.address.shown) from error

    def close(self) -> None:
        """Disconnect."""
        self._connection.close()

    @property
    def raw(self) -> psycopg.Connection[Any]:
        """The connection itself, for what takes part in its transactions."""
        return self._connection

    def fileno(self) -> int:
        """Return the socket, for news. Raises: StoreUnreachable."""
        try:
            return self._connection.fileno()
        except psycopg.Error as error:
            raise meaning_of(error, self.address.shown) from error

    def news(self) -> Iterator[str]:
        """Yield what was notified since, without waiting. Raises: StoreUnreachable."""
        try:
            for notice in self._connection.notifies(timeout=0):
                yield notice.payload
        except psycopg.Error as error:
            self._tidy_up()
            raise meaning_of(error, self.address.shown) from error

    def _control(self, statement: str) -> psycopg.Cursor[Any]:
        if statement == "ROLLBACK":
            return self._roll_back()
        text = _WHOLE[statement]
        if statement.startswith("BEGIN") and not self.address.listens:
            # Before the turn is waited for: one of them says for how long.
            # And in it, because the session may be another one each time: a pooler gives one for each.
            text += f"; {self._settings_here()}"
        if statement == "BEGIN IMMEDIATE":
            # One message: the turn, and who writes, for the triggers.
            text += f"; SELECT pg_advisory_xact_lock({self._turn})"
            text += f", set_config('cronq.node', '{'' if self.node is None else self.node}', true)"
        if statement == "COMMIT":
            self._is_inside = False
            if self._connection.closed:
                raise StoreUnreachable(f"{self.address.shown} was lost before the end of a transaction")
        cursor = self._execute(text, None)
        if statement.startswith("BEGIN"):
            self._is_inside = True
        elif cursor.statusmessage != "COMMIT":
            # One of its statements had failed, and somebody went on.
            raise InvariantError("a transaction was rolled back instead of committed")
        return cursor

    def _roll_back(self) -> psycopg.Cursor[Any]:
        """Undo the transaction; what is lost was undone by the server."""
        self._is_inside = False
        try:
            return self._connection.execute(_WHOLE["ROLLBACK"])
        except psycopg.Error:
            self._connection.close()
            return psycopg.Cursor(self._connection)

    def _send(self, text: str, values: Parameters | None) -> psycopg.Cursor[Any]:
        if self.address.listens or self._is_inside:
            return self._execute(text, values)
        self._execute(f"BEGIN; {self._settings_here()}", None)
        try:
            cursor = self._execute(text, values)
            self._execute("COMMIT", None)
        except BaseException:
            self._roll_back()
            raise
        return cursor

    def _execute(self, text: str, values: Parameters | None) -> psycopg.Cursor[Any]:
        try:
            if self._connection.closed and not self._is_inside:
                self._connect_again()
            return self._connection.execute(text, values)
        except psycopg.Error as error:
            self._tidy_up()
            raise meaning_of(error, self.address.shown) from error
        except BaseException:
            self._tidy_up()
            raise

    def _connect_again(self) -> None:
        """Connect, unless that has just failed: many ask in a row, and a silent server would hold up each."""
        began = clock.monotonic()
        if self._refusal is not None and began < self._again_at:
            raise StoreUnreachable(self._refusal.message, hint=self._refusal.hint)
        try:
            self._connection = self._connect()
        except StoreError as error:
            took_s = clock.monotonic() - began
            self._refusal = error
            self._again_at = clock.monotonic() + max(LEAST_PAUSE_S, took_s)
            raise
        self._refusal = None

    def _tidy_up(self) -> None:
        """Close what is broken; end what a BEGIN has begun whose turn did not come."""
        if self._connection.pgconn.status == pq.ConnStatus.BAD:
            self._connection.close()
        elif not self._is_inside and self._connection.info.transaction_status != pq.TransactionStatus.IDLE:
            self._roll_back()

    def _settings_here(self) -> str:
        return f"SELECT {_settings(self.address, *self._times, for_transaction=True)}"


_WHOLE: Mapping[str, str] = {
    # Read after the turn has come, whatever the server's default is: with a snapshot from before it,
    # the last writer's rows would not be seen.
    "BEGIN IMMEDIATE": "BEGIN ISOLATION LEVEL READ COMMITTED",
    "BEGIN": "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
    "COMMIT": "COMMIT",
    "ROLLBACK": "ROLLBACK",
}


class Cursor:
    """The answer to one statement; nothing is held in the server meanwhile."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._found: psycopg.Cursor[Any] | None = None

    def execute(self, statement: str, values: Parameters = ()) -> Cursor:
        """Execute a statement of SQLite's dialect. Raises: StoreError."""
        self._found = self._connection.execute(statement, values)
        return self

    def fetchmany(self, size: int) -> list[tuple[Any, ...]]:
        """Return the next rows."""
        return [] if self._found is None else self._found.fetchmany(size)

    def close(self) -> None:
        """Forget it."""
        self._found = None


def connect(
    address: Address, patience_s: float = LOCK_PATIENCE_S, frozen_s: float = FROZEN_S
) -> psycopg.Connection[Any]:
    """Return a connection in autocommit mode, with cronq's settings.

    Args:
        address: Of the server.
        patience_s: See LOCK_PATIENCE_S.
        frozen_s: See FROZEN_S.

    Raises:
        StoreError: It cannot be reached.
        UsageError: The address has a parameter that libpq does not know.
    """
    try:
        given = conninfo_to_dict(address.conninfo)
    except psycopg.ProgrammingError:
        # libpq's own words may hold a piece of a password.
        message = f"{address.shown} is not an address that libpq understands"
        raise UsageError(message, hint="are all its parameters spelled right?") from None
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
        connection.execute(f"SELECT {_settings(address, patience_s, frozen_s, for_transaction=False)}")
    except psycopg.Error as error:
        connection.close()
        raise meaning_of(error, address.shown) from error
    return connection


def _settings(address: Address, patience_s: float, frozen_s: float, *, for_transaction: bool) -> str:
    """Return calls that make the settings, for the transaction or for the session."""
    settings = {
        "search_path": address.schema,
        "synchronous_commit": "on",
        "idle_in_transaction_session_timeout": f"{round(frozen_s * 1000)}ms",
        "lock_timeout": f"{round(patience_s * 1000)}ms",
        "client_encoding": "UTF8",
        "DateStyle": "ISO",
    }
    return ", ".join(
        f"set_config('{name}', '{value}', {str(for_transaction).lower()})" for name, value in settings.items()
    )
