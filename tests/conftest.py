"""The PostgreSQL server of the tests, one for all of them, and its databases."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.postgres.server import Server, running_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A server that all tests share."""
    with running_server() as server:
        yield server


@pytest.fixture
def database_url(postgres: Server) -> Iterator[str]:
    """An empty database of the test's own."""
    url = postgres.fresh_database()
    yield url
    postgres.drop(url)


@pytest.fixture
def own_postgres() -> Iterator[Server]:
    """A server of the test's own, for tests that crash it."""
    with running_server() as server:
        yield server
