"""Procrastinate's own tables and functions, in a PostgreSQL schema of our choice.

Its files name no schema, so they follow the `search_path`. All of it can run in one transaction:

* `sql/schema.sql` contains nothing that cannot;
* of the migrations (`sql/migrations`, 3.10.0), all since 3.0 together. That is more than is ever needed
  here: 3.9, the oldest that we install, contains them all. Two add values to an enum (02.06.00_01 and
  03.04.00_01_pre), which may stand in a transaction since PostgreSQL 12, if the new value is not used in it:
  02.14.01_01 uses one of 02.06.00_01, and no other does. None creates an index CONCURRENTLY, or commits.

What is there is noted as the comment of a table: the name of the last migration that it contains. Versions
would not do: 3.5 to 3.10 have brought no migration, and a migration need not bear the number of its release.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

_NOTED_ON = "procrastinate_jobs"


class Rows(Protocol):
    """What a statement gives back."""

    def fetchone(self) -> Sequence[Any] | None:
        """Return the next row."""


class Connection(Protocol):
    """As `psycopg.Connection`: `%s` stands for a parameter; without any, several statements are allowed."""

    def execute(self, query: str, params: Sequence[object] | None = None, /) -> Rows:
        """Execute a statement."""


def procrastinate_schema() -> str:
    """Return the statements that make everything, in the first schema of the `search_path`.

    Raises:
        ImportError: Procrastinate is not installed.
    """
    from procrastinate.schema import SchemaManager

    return str(SchemaManager.get_schema())


def shipped_migrations() -> dict[str, str]:
    """Return the migrations of the installed Procrastinate, name → statements, in their order.

    Raises:
        ImportError: Procrastinate is not installed.
    """
    from pathlib import Path

    from procrastinate.schema import SchemaManager

    files = sorted(Path(SchemaManager.get_migrations_path()).glob("*.sql"))
    return {file.stem: file.read_text(encoding="utf-8") for file in files}


def install(connection: Connection, schema: str) -> None:
    """Make Procrastinate's tables, and the schema if there is none, in the caller's transaction.

    Raises:
        psycopg.Error: They are there already, or may not be made.
    """
    connection.execute(making(schema))
    with _inside(connection, schema):
        connection.execute(procrastinate_schema())
    _note(connection, schema, max(shipped_migrations()))


def making(schema: str) -> str:
    """Return the statement that makes a schema, if there is none.

    IF NOT EXISTS alone asks for the right to make one even if somebody else has done so.
    """
    name = quoted(schema)
    literal = name.replace("'", "''")
    return f"DO $$ BEGIN IF to_regnamespace('{literal}') IS NULL THEN CREATE SCHEMA {name}; END IF; END $$"


def installed_migration(connection: Connection, schema: str) -> str | None:
    """Return the last migration that a schema contains; None if `install` was never run there."""
    row = connection.execute(
        "SELECT obj_description(to_regclass(%s), 'pg_class')", (f"{quoted(schema)}.{_NOTED_ON}",)
    ).fetchone()
    return None if row is None or row[0] is None else str(row[0])


def upgrade(connection: Connection, schema: str, since: str | None = None) -> list[str]:
    """Apply the migrations that are newer than a schema, in the caller's transaction; return their names.

    A schema that is newer than the installed Procrastinate stays as it is.

    Args:
        connection: In a transaction.
        schema: Where `install` was run.
        since: The last migration that it contains, if that is not noted there.

    Raises:
        LookupError: Nothing is noted, and nothing was said.
        psycopg.Error: It may not be done.
    """
    since = since or installed_migration(connection, schema)
    if since is None:
        raise LookupError(f"schema {schema} does not say which of Procrastinate's migrations it contains")
    newer = {name: text for name, text in shipped_migrations().items() if name > since}
    with _inside(connection, schema):
        for text in newer.values():
            connection.execute(text)
    if newer:
        _note(connection, schema, max(newer))
    return list(newer)


def quoted(name: str) -> str:
    """Return a name as an SQL identifier."""
    doubled = name.replace('"', '""')
    return f'"{doubled}"'


def search_path_option(schema: str) -> str:
    """Return what goes into the connection parameter `options` so that names are found in a schema.

    In it, spaces and backslashes are escaped by a backslash. Source: PostgreSQL, libpq, `options`.
    """
    value = quoted(schema).replace("\\", "\\\\").replace(" ", "\\ ")
    return f"-c search_path={value}"


def _note(connection: Connection, schema: str, migration: str) -> None:
    # COMMENT takes no parameters.
    literal = migration.replace("'", "''")
    connection.execute(f"COMMENT ON TABLE {quoted(schema)}.{_NOTED_ON} IS '{literal}'")


@contextmanager
def _inside(connection: Connection, schema: str) -> Iterator[None]:
    """Let names be made, and found, in a schema; only within this transaction."""
    row = connection.execute("SELECT current_setting('search_path')").fetchone()
    before = "" if row is None else str(row[0])
    connection.execute("SELECT set_config('search_path', %s, true)", (quoted(schema),))
    yield
    # After an error the transaction is rolled back, and the setting with it.
    connection.execute("SELECT set_config('search_path', %s, true)", (before,))
