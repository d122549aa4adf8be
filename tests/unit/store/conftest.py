"""The stores that must behave as `cronq.store.base.Store` says; a further one is one more parameter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cronq.store import Place, Store, open_store
from cronq.store.postgres.address import parse_address
from tests.postgres.server import Server

OpenStore = Callable[[], Store]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "cronq.db", tmp_path / "logs", "test")


def _sqlite(tmp_path: Path) -> OpenStore:
    place = Place(tmp_path / "cronq.db", tmp_path / "logs", "test")
    return lambda: open_store(place, create=True, environ={})


_SCHEMA = "contract"
"""One for all tests, emptied after each: making one takes ten times as long."""


def _postgres(tmp_path: Path, server: Server) -> OpenStore:
    address = parse_address(f"{server.url}&schema={_SCHEMA}", "test")
    place = Place(tmp_path / "node", tmp_path / "logs", "test", address=address)
    return lambda: open_store(place, create=True, environ={})


@pytest.fixture(params=["sqlite", "postgres"])
def another(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenStore]:
    """Opens further stores on the same ledger, as other processes would; all are closed at the end."""
    opened: list[Store] = []
    server: Server | None = None
    if request.param == "postgres":
        server = request.getfixturevalue("postgres")
        open_one = _postgres(tmp_path, server)
    else:
        open_one = _sqlite(tmp_path)

    def make() -> Store:
        opened.append(open_one())
        return opened[-1]

    yield make
    for store in opened:
        store.close()
    if server is not None:
        server.empty_schema(_SCHEMA)


@pytest.fixture
def store(another: OpenStore) -> Store:
    """An empty store."""
    return another()
