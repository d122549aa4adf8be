from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.nodes.program import SHORT_LEASE, Nodes
from tests.postgres.server import Server


@pytest.fixture
def nodes(postgres: Server, tmp_path: Path) -> Iterator[Nodes]:
    """An empty ledger on the server that the tests share, and hosts with a short lease."""
    url = postgres.fresh_database()
    nodes = Nodes(postgres, url, tmp_path, SHORT_LEASE)
    nodes.make()
    yield nodes
    nodes.destroy()
    postgres.drop(url)


@pytest.fixture
def own_nodes(own_postgres: Server, tmp_path: Path) -> Iterator[Nodes]:
    """The same on a server of the test's own, which it may crash."""
    nodes = Nodes(own_postgres, own_postgres.fresh_database(), tmp_path, SHORT_LEASE)
    nodes.make()
    yield nodes
    nodes.destroy()
