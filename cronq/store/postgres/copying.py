"""A ledger in a server, as one end of a copy; see `cronq.store.copying`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from cronq.store.copying import Row
from cronq.store.postgres.connection import Connection
from cronq.store.postgres.living import Living

PATIENCE_S = 300
"""How long the other end may take between two statements; more than for others, who have little to write."""

# A number is given for ever, also by a transaction that failed.
_GIVEN = """
SELECT CASE WHEN is_called THEN last_value ELSE 0 END, (SELECT coalesce(max(id), 0) FROM {table})
FROM {table}_id_seq
"""


class PostgresEnd:
    """A ledger in a server."""

    def __init__(self, connection: Connection, nodes: Callable[[], Iterable[Living]]) -> None:
        """Name it; `nodes` returns who is at work."""
        self._db = connection
        self._nodes = nodes
        self._schema = connection.address.schema

    def begin(self) -> None:
        """Begin the transaction: it is our turn until its end. Raises: StoreError."""
        self._db.execute("BEGIN IMMEDIATE")
        self._db.plain(f"SET LOCAL idle_in_transaction_session_timeout = '{PATIENCE_S}s'")

    def commit(self) -> None:
        """Make it durable. Raises: StoreError."""
        self._db.execute("COMMIT")

    def rollback(self) -> None:
        """Leave all as it was."""
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def columns(self, table: str) -> list[str]:
        """Return the names of a table's columns. Raises: StoreError."""
        found = self._db.plain(
            "SELECT column_name FROM information_schema.columns WHERE table_schema = %s AND table_name = %s"
            " ORDER BY ordinal_position",
            (self._schema, table),
        )
        return [str(name) for (name,) in found.fetchall()]

    def execute(self, statement: str, values: Sequence[Any] = ()) -> list[Row]:
        """Execute a statement of SQLite's dialect; return its rows. Raises: StoreError."""
        cursor = self._db.execute(statement, values)
        return cursor.fetchall() if cursor.description else []

    def insert(self, table: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
        """Add rows. Raises: StoreError."""
        self._db.copy_in(f"COPY {table} ({', '.join(columns)}) FROM STDIN", rows)

    def given(self, table: str) -> int:
        """Return the highest number that was ever given in a table. Raises: StoreError."""
        (found,) = self._db.plain(_GIVEN.format(table=table)).fetchall()
        return max(int(number) for number in found)

    def give_above(self, table: str, number: int) -> None:
        """Let the next number be higher than this. Raises: StoreError."""
        above = max(number, self.given(table))
        if above:
            self._db.plain("SELECT setval(%s::regclass, %s)", (f'"{self._schema}".{table}_id_seq', above))

    def nodes(self) -> list[str]:
        """Return who is at work. Raises: StoreError."""
        return [one.words for one in self._nodes()]

    def settle(self) -> None:
        """Let the planner know what there is now. Raises: StoreError."""
        self._db.plain("ANALYZE job, definition, run, attempt")
