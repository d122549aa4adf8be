"""Worlds for the tests: on SQLite, or on PostgreSQL where a test, or `CRONQ_SIMULATE_ON`, says so."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cronq.store.postgres.address import Address, parse_address
from tests.postgres.server import Server
from tests.simulation.world import World, utc

ON_BOTH = pytest.mark.parametrize("addresses", ["sqlite", "postgres"], indirect=True)

_numbers = itertools.count(1)


@pytest.fixture
def addresses(request: pytest.FixtureRequest) -> Iterator[Callable[[], Address | None]]:
    """Says where the next world's ledger is: a schema of its own on a server, or None."""
    made: list[Address] = []
    kind = getattr(request, "param", None) or os.environ.get("CRONQ_SIMULATE_ON", "sqlite")
    server: Server | None = request.getfixturevalue("postgres") if kind == "postgres" else None

    def address() -> Address | None:
        if server is None:
            return None
        made.append(parse_address(f"{server.url}&schema=world{next(_numbers)}", "test"))
        return made[-1]

    yield address
    for one in made:
        assert server is not None
        server.drop_schema(one.schema)


@pytest.fixture
def world(tmp_path: Path, addresses: Callable[[], Address | None]) -> Iterator[Callable[..., World]]:
    made: list[World] = []

    def make(start: str = "2026-03-02T00:00:00", **fields: object) -> World:
        place = tmp_path / f"world{len(made)}"
        place.mkdir(mode=0o700)
        made.append(World(place, utc(start), address=addresses(), **fields))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for one in made:
        one.store.close()
