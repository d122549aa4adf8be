"""The stores that must behave as `cronq.store.base.Store` says; a further one is one more parameter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cronq.store import Place, Store, open_store

OpenStore = Callable[[], Store]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "cronq.db", tmp_path / "logs", "test")


def _sqlite(tmp_path: Path) -> OpenStore:
    place = Place(tmp_path / "cronq.db", tmp_path / "logs", "test")
    return lambda: open_store(place, create=True, environ={})


_KINDS: dict[str, Callable[[Path], OpenStore]] = {"sqlite": _sqlite}


@pytest.fixture(params=list(_KINDS))
def another(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenStore]:
    """Opens further stores on the same ledger, as other processes would; all are closed at the end."""
    opened: list[Store] = []
    open_one = _KINDS[request.param](tmp_path)

    def make() -> Store:
        opened.append(open_one())
        return opened[-1]

    yield make
    for store in opened:
        store.close()


@pytest.fixture
def store(another: OpenStore) -> Store:
    """An empty store."""
    return another()
