"""Several schedulers at once: each fire time is launched once, and none before its time."""

from __future__ import annotations

import os
import random
import signal
import time
import zlib
from typing import Any

import psycopg
import pytest

from cronq.model import Overlap
from tests.crash.program import Running, wait_until
from tests.crash.test_clock import Watch, watch
from tests.crash.test_torture import dice_seed
from tests.crash.torture_worlds import _SLEEP
from tests.nodes.program import ROOT, Nodes

__all__ = ["watch"]

TURN = zlib.crc32(b"cronq cronq")


def stop_all(nodes: Nodes, running: list[Running]) -> None:
    """Let all of them leave, as people do it, and execute what is left."""
    for node in running:
        node.signal(signal.SIGTERM)
    nodes.wait(0.5)
    # Nothing becomes due any more, or a machine that is slower than its jobs would never come to an end.
    nodes.end_schedules()
    for node in running:
        assert node.ended() == 0, node.errors()
    with nodes.run("z", "--until-idle", "--for", "60s") as last:
        assert last.ended() == 0
    nodes.settle(1.0)


def assert_exact(nodes: Nodes) -> int:
    """Return how many fire times there were, each launched once, and not early."""
    assert nodes.gaps(1) == []
    assert nodes.early() == []
    assert nodes.one("SELECT count(*) FROM run WHERE started_at < fire_at") == 0
    assert nodes.contradictions() == []
    nodes.cronq("audit")
    return nodes.fire_times()


def race(nodes: Nodes, jobs: int, seconds: float, **fields: Any) -> None:
    nodes.add_jobs([f"job{n}" for n in range(jobs)], nodes.witnessed(0.0), **fields)
    running = [nodes.start(host) for host in "aabb"]
    for node in running:
        node.wait_for("scheduler_started")
    nodes.wait(seconds)
    stop_all(nodes, running)
    times = assert_exact(nodes)
    launched = [sum(event["event"] == "run_queued" for event in node.events) for node in running]
    print(f"{times} fire times, {launched} of them launched by each node, {nodes.outcomes()}")
    assert times >= jobs * (seconds - 1)
    assert sum(count > 0 for count in launched) >= 2, "there was no race"


def test_row_two_schedulers_on_many_hosts(nodes: Nodes) -> None:
    race(nodes, jobs=50, seconds=8.0)


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_row_two_schedulers_on_many_hosts_at_length(nodes: Nodes) -> None:
    """Far more than a small machine can execute: what overlaps is skipped, and accounted for all the same."""
    race(nodes, jobs=1000, seconds=1200.0, overlap=Overlap.SKIP, max_running=1)


def test_row_two_schedulers_one_clock_ahead(nodes: Nodes, watch: Watch) -> None:
    watch.set("+5")
    nodes.add_jobs([f"job{n}" for n in range(5)], nodes.witnessed(0.0))
    (nodes.folder / "sitecustomize.py").write_text(_SLEEP)
    path = os.pathsep.join([str(nodes.folder), str(ROOT)])
    ahead = nodes.start("a", **{**watch.environ, "PYTHONPATH": path})
    exact = nodes.start("b")
    for node in (ahead, exact):
        node.wait_for("scheduler_started")
    nodes.wait(8)
    stop_all(nodes, [ahead, exact])
    times = assert_exact(nodes)
    assert times >= 5 * 7
    assert any(event["event"] == "run_queued" for event in ahead.events), "the fast one launched nothing"
    assert any(event["event"] == "attempt_started" for event in ahead.events), "it executed nothing"
    # What the fast one executed is told in the server's time, too.
    assert nodes.one("SELECT count(*) FROM run WHERE finished_at > cronq_now()") == 0
    assert nodes.one("SELECT max(started_at - fire_at) FROM run") < 4_000_000


def freeze_some(nodes: Nodes, rounds: int, frozen_s: float) -> None:
    rng = random.Random(dice_seed())
    nodes.add_jobs([f"job{n}" for n in range(10)], nodes.witnessed(0.0))
    running = [nodes.start(host) for host in "abc"]
    for node in running:
        node.wait_for("scheduler_started")
    for _ in range(rounds):
        victim = rng.choice(running)
        nodes.wait(rng.uniform(0.5, 1.5))
        before = nodes.fire_times()
        victim.signal(signal.SIGSTOP)
        nodes.wait(frozen_s)
        assert nodes.fire_times() - before >= 10, "the others did not go on"
        victim.signal(signal.SIGCONT)
    nodes.wait(1)
    stop_all(nodes, running)
    print(assert_exact(nodes), "fire times")


@pytest.mark.slow
def test_row_suspend_resume_of_one_of_several(nodes: Nodes) -> None:
    """One is frozen at random moments for longer than a transaction may rest; the others go on."""
    freeze_some(nodes, 1, 7.0)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_row_suspend_resume_of_one_of_several_at_length(nodes: Nodes) -> None:
    """Also for longer than the lease."""
    freeze_some(nodes, 20, 15.0)


@pytest.mark.slow
def test_row_suspend_resume_in_a_transaction(nodes: Nodes) -> None:
    """One is frozen while it has the turn to write: it loses it, and what it writes later is refused."""
    nodes.add_jobs([f"job{n}" for n in range(10)], nodes.witnessed(0.0))
    running = [nodes.start(host) for host in "ab"]
    for node in running:
        node.wait_for("scheduler_started")
    locks = (
        "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)"
        " WHERE locktype = 'advisory' AND datname = current_database() AND "
    )
    with psycopg.connect(nodes.url) as other:
        other.execute(f"SELECT pg_advisory_xact_lock({TURN})".encode())
        wait_until(lambda: nodes.one(f"{locks} NOT granted") >= 2, "both wait for their turn")
        running[0].signal(signal.SIGSTOP)
    wait_until(lambda: nodes.one(f"{locks} granted AND state = 'idle in transaction'"), "its turn")
    began = time.monotonic()
    before = nodes.fire_times()
    wait_until(lambda: nodes.fire_times() > before, "the turn of the other")
    held_s = time.monotonic() - began
    assert 3 < held_s < 7
    nodes.wait(1)
    running[0].signal(signal.SIGCONT)
    nodes.wait(1.5)
    stop_all(nodes, running)
    print(assert_exact(nodes), f"fire times; the turn was held for {held_s:.1f} s")
