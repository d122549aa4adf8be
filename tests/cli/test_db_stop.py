"""`cronq db stop`: the private server ends when it is told to, and never starts for it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cronq.errors import ExitCode
from cronq.store.postgres.address import parse_address
from cronq.store.postgres.cluster import look, url_of
from cronq.store.postgres.embedded import default_folder, stop
from tests.cli.test_db import _server_store, put_node
from tests.cli.world import World


@pytest.fixture
def embedded(world: World) -> Iterator[World]:
    """A machine with a server of its own."""
    # Not in pytest's folder: it is closed to the user that root's server runs as.
    folder = Path(tempfile.mkdtemp(prefix="cronq-db-"))
    folder.chmod(0o711)
    world.variables |= {"XDG_DATA_HOME": str(folder), "CRONQ_DB": "postgresql+embedded"}
    yield world
    stop(default_folder(world.environ))
    shutil.rmtree(folder)


def test_nothing_is_started_to_be_stopped(world: World) -> None:
    world.variables["XDG_DATA_HOME"] = str(world.root / "home" / "data")
    answer = world.run("db", "stop", "--db", "postgresql+embedded")
    assert answer.out == "no server runs in ~/data/cronq/postgres\n"
    assert not (world.root / "home" / "data").exists()


def test_only_the_private_server_is_stopped(world: World, url: str) -> None:
    for named in (url, "some.db"):
        answer = world.run("db", "stop", "--db", named)
        assert (answer.code, "postgresql+embedded only" in answer.err) == (ExitCode.USAGE, True)


def test_it_is_stopped_unless_nodes_are_at_work(embedded: World) -> None:
    assert embedded.run("db", "migrate").code == 0
    data = default_folder(embedded.environ) / "data"
    found = look(data)
    assert found is not None
    store = _server_store(embedded, "postgresql+embedded")
    put_node(store)
    store.close()
    assert parse_address(url_of(found), "test").schema == "cronq"
    refused = embedded.run("db", "stop")
    assert refused.code == ExitCode.CONFLICT
    assert "1 node of this server at work\n  pid 4711 on web1\n" in refused.err
    assert look(data) is not None
    assert embedded.run("db", "stop", "--force").out.startswith("stopped the server in ")
    assert look(data) is None
    assert embedded.run("db", "stop").out.startswith("no server runs in ")
