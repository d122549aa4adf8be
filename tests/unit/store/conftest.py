"""The stores that must behave as `cronq.store.base.Store` says; a further one is one more parameter."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cronq.store import Place, Store, open_store
from cronq.store.postgres.address import parse_address
from tests.postgres.conftest import postgres as postgres
from tests.postgres.server import Server

OpenStore = Callable[[], Store]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "cronq.db", tmp_path / "logs", "test")


def _sqlite(tmp_path: Path) -> OpenStore:
    place = Place(tmp_path / "cronq.db", tmp_path / "logs", "test")
    return lambda: open_store(place, create=True, environ={})


def _postgres(tmp_path: Path, server: Server) -> tuple[OpenStore, str]:
    # A schema of its own is as good as a database, and ten times as fast to make.
    schema = f"t{next(_numbers)}"
    address = parse_address(f"{server.url}&schema={schema}", "test")
    place = Place(tmp_path / "node", tmp_path / "logs", "test", address=address)
    return lambda: open_store(place, create=True, environ={}), schema


_numbers = itertools.count(1)


@pytest.fixture(params=["sqlite", "postgres"])
def another(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenStore]:
    """Opens further stores on the same ledger, as other processes would; all are closed at the end."""
    opened: list[Store] = []
    schema = None
    if request.param == "postgres":
        open_one, schema = _postgres(tmp_path, request.getfixturevalue("postgres"))
    else:
        open_one = _sqlite(tmp_path)

    def make() -> Store:
        opened.append(open_one())
        return opened[-1]

    yield make
    for store in opened:
        store.close()
    if schema is not None:
        server: Server = request.getfixturevalue("postgres")
        server.drop_schema(schema)


@pytest.fixture
def store(another: OpenStore) -> Store:
    """An empty store."""
    return another()
