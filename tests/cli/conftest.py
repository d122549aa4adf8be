"""Fixtures of the command line's tests."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.world import World
from tests.postgres.server import Server


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that writes transcripts anew instead of comparing them."""
    parser.addoption("--update-snapshots", action="store_true", help="write expected transcripts anew")


@pytest.fixture
def world(tmp_path: Path) -> World:
    """An empty machine."""
    tmp_path.chmod(0o700)
    return World(tmp_path)


PASSWORD = "pa55-w0rd"
"""In the addresses of the tests' ledgers; the tests' server lets everybody in."""
_numbers = itertools.count(1)


@pytest.fixture
def url(postgres: Server) -> Iterator[str]:
    """The address of a ledger that is not there yet."""
    schema = f"cli{next(_numbers)}"
    yield f"{postgres.url}&schema={schema}".replace("cronq@", f"cronq:{PASSWORD}@", 1)
    postgres.drop_schema(schema)


@pytest.fixture
def server_world(world: World, url: str) -> World:
    """An empty machine whose ledger is in a server."""
    world.variables["CRONQ_DB"] = url
    return world
