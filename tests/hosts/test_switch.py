"""The server is gone, and its copy takes its place: nodes go on there, at the second host of the address."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.hosts.ledger import Ledger, PostgresServer, eventually, notices
from tests.hosts.network import Host, Network

LEASE_S = 30.0


@pytest.fixture
def copy(network: Network, server: PostgresServer) -> PostgresServer:
    """A second server, that follows the first."""
    host = network.host("gamma")
    copy = PostgresServer(host, server.password)
    copy.follow(server)
    return copy


def crash(_network: Network, server: PostgresServer) -> None:
    """Let the server die; its host says so to whoever asks."""
    server.stop("immediate")


def vanish(network: Network, server: PostgresServer) -> None:
    """Let its host say nothing any more."""
    network.cut(server.host)


@pytest.mark.parametrize("end", [pytest.param(end, marks=pytest.mark.slow) for end in (crash, vanish)])
def test_node_goes_on_at_the_copy(
    network: Network,
    beta: Host,
    server: PostgresServer,
    copy: PostgresServer,
    ledger: Ledger,
    end: Callable[[Network, PostgresServer], None],
) -> None:
    hosts = f"{server.host.address},{copy.host.address}"
    ledger.url = f"postgresql://cronq:{server.password}@{hosts}/cronq?target_session_attrs=read-write"
    ledger.lease_s = LEASE_S
    ledger.add(beta, "steady", "every 2s", 0, "--catch-up", "all")
    ledger.add(beta, "long", "0 0 1 1 *", 35)
    node = ledger.node(beta)
    run_id = ledger.trigger(beta, "long")
    eventually(lambda: ledger.lines(run_id), "it has started")
    eventually(lambda: len(ledger.fire_times("steady")) > 1, "the other one fires")

    begin = time.time()
    end(network, server)
    time.sleep(1)
    copy.promote()
    ledger.server = copy
    before = len(ledger.fire_times("steady"))
    eventually(lambda: len(ledger.fire_times("steady")) > before, "it goes on", 60)
    print(f"\n{end.__name__}: goes on {time.time() - begin:.1f} s later; {notices(node)}")
    eventually(lambda: ledger.run(run_id).state == "done", "the long one ends", 60)
    assert (ledger.run(run_id).outcome, ledger.run(run_id).attempt) == ("success", 1)
    assert [line.word for line in ledger.lines(run_id) if line.word in {"start", "end"}] == ["start", "end"]
    assert len(ledger.nodes(beta)) == 1, "it never lost its lease"
    done = len(ledger.succeeded("steady"))
    took = eventually(lambda: len(ledger.succeeded("steady")) > done + 1, "runs are executed again", 60)
    print(f"and executes {took:.1f} s after that")
    assert node.stop() == 0
    assert ledger.check_fire_times("steady", 2) >= (time.time() - begin) / 2
    ledger.audit(beta)
