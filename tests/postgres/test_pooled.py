"""`?listen=no`: nothing is left in a session, and nothing expected of it, because the next is another one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cronq.store.postgres.address import parse_address
from cronq.store.postgres.connection import Connection
from cronq.store.postgres.migrating import require_schema, version_of


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    found = Connection(parse_address(f"{database_url}&schema=mine&listen=no", "test"))
    require_schema(found, create=True)
    yield found
    found.close()


def test_each_statement_finds_the_schema_by_itself(connection: Connection) -> None:
    assert version_of(connection) == 1
    for _ in range(10):
        assert connection.plain("SELECT count(*) FROM job").fetchone() == (0,)
        assert connection.execute("SELECT count(*) FROM job WHERE id = ?", (1,)).fetchone() == (0,)
    cursor = connection.cursor()
    cursor.execute("SELECT count(*) FROM job WHERE id = :id", {"id": 1})
    assert cursor.fetchmany(5) == [(0,)]
    assert cursor.fetchmany(5) == []
    cursor.close()


def test_transactions_wait_for_their_turn_as_long_as_ever(connection: Connection) -> None:
    connection.node = 7
    for begin in ("BEGIN", "BEGIN IMMEDIATE"):
        connection.execute(begin)
        asked = "SELECT current_setting('lock_timeout'), current_setting('search_path')"
        assert connection.plain(asked).fetchone() == ("10s", "mine")
        assert connection.plain("SELECT count(*) FROM job").fetchone() == (0,)
        connection.execute("COMMIT")


def test_session_is_left_as_it_was(connection: Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("COMMIT")
    for _ in range(10):
        connection.plain("SELECT %s::bigint", (1,))
    raw = connection.raw
    asked = "current_setting('lock_timeout'), current_setting('cronq.node'), current_setting('search_path')"
    assert raw.execute(f"SELECT {asked}".encode()).fetchone() == ("0", "", '"$user", public')
    assert raw.execute("SELECT count(*) FROM pg_prepared_statements").fetchone() == (0,)
