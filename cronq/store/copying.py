"""All rows of one ledger into another, table by table and page by page, whatever databases they are in.

The statements are of SQLite's dialect, which both connections take. What an end does in its own way is to say
which columns it has, to take many rows, and to give numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from cronq.store.connection import Connection, mapped_errors

PAGE = 2000
"""Rows in memory at a time."""
OUTPUT_PAGE = 32
"""Likewise, of pieces of output."""


class Table(NamedTuple):
    """A table that both databases have, or one of them.

    Attributes:
        key: Its primary key, the order in which it is read.
        is_numbered: The database gives out its ids, and none of them twice.
    """

    name: str
    key: tuple[str, ...]
    is_numbered: bool = False


OUTPUT = Table("output", ("run_id", "attempt", "position"))
"""What attempts printed; beside a database file they are files."""
TABLES = (
    Table("job", ("id",), is_numbered=True),
    Table("definition", ("job_id", "revision")),
    Table("node", ("id",), is_numbered=True),
    Table("run", ("id",), is_numbered=True),
    Table("attempt", ("run_id", "attempt")),
    OUTPUT,
    Table("fact", ("name",)),
    Table("calendar", ("name",)),
    Table("calendar_text", ("name", "since")),
    Table("lock", ("name",)),
    Table("scheduler", ("id",), is_numbered=True),
)
"""In an order in which each finds what it refers to."""
HOLD = Table("hold", ("id",), is_numbered=True)
"""Not copied: who holds something while nobody is at work is dead. Its numbers are not given again."""
CONTENTS = ("job", "run", "calendar", "lock")
"""What there must not be in a ledger that another one is to be copied into."""

_NO_OWN_FACTS = "WHERE name NOT IN ('format', 'moved_to', 'copied_at', 'ledger')"
"""Without what is true of one place alone, and does not go with the ledger."""
_OWN_COLUMNS = frozenset({"wire"})

Row = Sequence[Any]


class End(Protocol):
    """A ledger that is copied from or to, inside one writing transaction."""

    def begin(self) -> None:
        """Begin the transaction: no other writes until its end."""

    def commit(self) -> None:
        """Make it durable."""

    def rollback(self) -> None:
        """Leave all as it was; nothing if it has ended."""

    def columns(self, table: str) -> list[str]:
        """Return the names of a table's columns; empty: there is no such table."""

    def execute(self, statement: str, values: Sequence[Any] = ()) -> list[Row]:
        """Execute a statement of SQLite's dialect; return its rows, if it has any."""

    def insert(self, table: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
        """Add rows."""

    def given(self, table: str) -> int:
        """Return the highest number that was ever given in a table; 0: none."""

    def give_above(self, table: str, number: int) -> None:
        """Let the next number be higher than this."""

    def nodes(self) -> list[str]:
        """Return who is at work, in words; a file knows nobody, but it has a lock beside it."""

    def settle(self) -> None:
        """Do what is good after very many rows."""


class SqliteEnd:
    """A database file."""

    def __init__(self, connection: Connection, path: Path) -> None:
        self._db = connection
        self._path = path

    def begin(self) -> None:
        """Begin the transaction. Raises: StoreError."""
        with mapped_errors(self._path):
            self._db.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Make it durable. Raises: StoreError."""
        with mapped_errors(self._path):
            self._db.execute("COMMIT")

    def rollback(self) -> None:
        """Leave all as it was."""
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def columns(self, table: str) -> list[str]:
        """Return the names of a table's columns."""
        return [str(name) for (name,) in self.execute("SELECT name FROM pragma_table_info(?)", (table,))]

    def execute(self, statement: str, values: Sequence[Any] = ()) -> list[Row]:
        """Execute a statement; return its rows. Raises: StoreError."""
        with mapped_errors(self._path):
            return self._db.execute(statement, values).fetchall()

    def insert(self, table: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
        """Add rows. Raises: StoreError."""
        marks = ", ".join("?" * len(columns))
        statement = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"
        with mapped_errors(self._path):
            self._db.executemany(statement, rows)

    def given(self, table: str) -> int:
        """Return the highest number that was ever given in a table."""
        found = self.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,))
        return int(found[0][0]) if found else 0

    def give_above(self, table: str, number: int) -> None:
        """Let the next number be higher than this."""
        if number > self.given(table):
            self.execute("DELETE FROM sqlite_sequence WHERE name = ?", (table,))
            self.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (table, number))

    def nodes(self) -> list[str]:
        """Return nobody."""
        return []

    def settle(self) -> None:
        """Move what was written into the database file. Raises: StoreError."""
        self.execute("PRAGMA wal_checkpoint(PASSIVE)")


def count(end: End, table: str) -> int:
    """Return how many rows of a table belong to the ledger, wherever it is."""
    if not end.columns(table):
        return 0
    condition = _NO_OWN_FACTS if table == "fact" else ""
    ((number,),) = end.execute(f"SELECT count(*) FROM {table} {condition}")
    return int(number)


def clear(target: End) -> None:
    """Remove what a ledger without jobs and runs may hold all the same: lives of schedulers, and facts."""
    for table in ("hold", "scheduler", "node"):
        if target.columns(table):
            target.execute(f"DELETE FROM {table}")
    target.execute(f"DELETE FROM fact {_NO_OWN_FACTS}")


def copy(source: End, target: End, table: Table) -> None:
    """Copy the rows of a table, in the columns that both have. Raises: StoreError."""
    theirs = {*target.columns(table.name)} - _OWN_COLUMNS
    columns = [name for name in source.columns(table.name) if name in theirs]
    target.insert(table.name, columns, (row for page in pages(source, table, columns) for row in page))


def pages(
    source: End, table: Table, columns: Sequence[str], *, size: int | None = None
) -> Iterator[list[Row]]:
    """Yield the rows of a table in the order of its key, so many at a time."""
    limit = size or (OUTPUT_PAGE if table is OUTPUT else PAGE)
    places = [columns.index(name) for name in table.key]
    key, marks = ", ".join(table.key), ", ".join("?" * len(table.key))
    first = f"SELECT {', '.join(columns)} FROM {table.name} {{}} ORDER BY {key} LIMIT {limit}"
    own = _NO_OWN_FACTS if table.name == "fact" else ""
    page = source.execute(first.format(own))
    while page:
        yield page
        if len(page) < limit:
            return
        after = f"{own} AND" if own else "WHERE"
        values = tuple(page[-1][place] for place in places)
        page = source.execute(first.format(f"{after} ({key}) > ({marks})"), values)


def copy_numbers(source: End, target: End) -> None:
    """Let the target give no number a second time, not that of a run which retention removed either."""
    for table in (*TABLES, HOLD):
        if table.is_numbered and source.columns(table.name) and target.columns(table.name):
            target.give_above(table.name, source.given(table.name))
