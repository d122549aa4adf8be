"""A connection that is lost, wherever in a transaction, is an error of the store, and is opened again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from cronq.errors import StoreUnreachable
from cronq.store.connection import group, transaction
from cronq.store.postgres.address import parse_address
from cronq.store.postgres.connection import Connection
from cronq.store.postgres.migrating import require_schema

PATH = Path("unused")


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    found = Connection(parse_address(database_url, "test"))
    require_schema(found, create=True)
    yield found
    found.close()


def lose(connection: Connection) -> None:
    with psycopg.connect(connection.address.conninfo, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s)", (connection.raw.info.backend_pid,))


@pytest.mark.parametrize("when", ["before", "inside", "at the end"])
def test_transaction_that_is_lost_is_an_error_of_the_store(connection: Connection, when: str) -> None:
    def write(*, may_be_lost: bool) -> None:
        if when == "before" and may_be_lost:
            lose(connection)
        with group(connection, PATH):  # type: ignore[arg-type]
            with transaction(connection, PATH):  # type: ignore[arg-type]
                connection.plain("INSERT INTO fact VALUES ('x', '1')")
            if when == "inside" and may_be_lost:
                lose(connection)
                connection.plain("SELECT 1")
            if when == "at the end" and may_be_lost:
                lose(connection)

    with pytest.raises(StoreUnreachable):
        write(may_be_lost=True)
    assert not connection.in_transaction
    assert connection.plain("SELECT count(*) FROM fact WHERE name = 'x'").fetchone() == (0,)
    write(may_be_lost=False)
    assert connection.plain("SELECT value FROM fact WHERE name = 'x'").fetchone() == ("1",)
