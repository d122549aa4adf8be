"""The tests' own server does what the tests build upon."""

from __future__ import annotations

import psycopg
import pytest

from cronq.store.postgres.cluster import answers, is_alive
from tests.postgres.server import Server, programs, running_server


def test_databases_are_new_and_empty(postgres: Server) -> None:
    first, second = postgres.fresh_database(), postgres.fresh_database()
    postgres.execute(first, "CREATE TABLE t (x int)")
    assert first != second
    assert postgres.execute(second, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]
    postgres.drop(first)
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        postgres.execute(first, "SELECT 1")
    postgres.drop(second)


def test_what_is_committed_is_there_after_a_crash(own_postgres: Server) -> None:
    url, before = own_postgres.fresh_database(), own_postgres.pid
    own_postgres.execute(url, "CREATE TABLE t AS SELECT 7 AS x")
    own_postgres.restart(immediate=True)
    assert own_postgres.pid != before
    assert own_postgres.execute(url, "SELECT x FROM t") == [(7,)]
    own_postgres.stop()
    with pytest.raises(psycopg.OperationalError):
        own_postgres.execute(url, "SELECT 1")


def test_a_version_that_is_not_installed_is_said() -> None:
    with pytest.raises(AssertionError, match=r"PostgreSQL 3 is not installed .* unset CRONQ_TEST_POSTGRES"):
        programs("3")


def test_nothing_is_left_of_a_server() -> None:
    with running_server() as server:
        found, data = server.cluster.start(server.cluster.data.parent / "s"), server.cluster.data
    assert not data.parent.exists()
    assert not answers(found)
    assert not is_alive(found, data)
