"""Hosts with a server, for all tests of this folder."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from tests.hosts.ledger import Ledger, PostgresServer
from tests.hosts.network import Host, Network, a_network, why_not


@pytest.fixture(scope="session")
def possible() -> None:
    """Skip where there can be no hosts."""
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)


@pytest.fixture
def network(possible: None) -> Iterator[Network]:
    with a_network() as network:
        yield network


@pytest.fixture
def alpha(network: Network) -> Host:
    """The host of the server."""
    return network.host("alpha")


@pytest.fixture
def beta(network: Network, alpha: Host) -> Host:
    """Another one."""
    return network.host("beta")


@pytest.fixture
def server(alpha: Host) -> PostgresServer:
    server = PostgresServer(alpha, secrets.token_hex(8))
    server.make()
    server.start()
    server.set_password()
    return server


@pytest.fixture
def ledger(server: PostgresServer, alpha: Host) -> Iterator[Ledger]:
    url = f"postgresql://cronq:{server.password}@{alpha.address}/cronq"
    ledger = Ledger(server, url, alpha.folder)
    yield ledger
    for log in sorted(alpha.folder.glob("*.log")):
        print(f"--- {log.name}\n{log.read_text()[-5000:]}")
