"""The lease cannot be renewed: what a node had in hand is dead before it ends, whoever of the node lives."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cronq import clock
from cronq.model import AttemptEnd, Definition, Outcome, State
from cronq.store import open_store
from cronq.worker.trust import LOST, TrustFile
from tests.crash.test_worker_orphans import Scheduler, is_done, queue, run_of, wait_until
from tests.crash.worker_scheduler import place_of
from tests.unit.worker.rig import definition, function, is_running

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs a sub-reaper and /proc")

LEASE_AFTER_TRUST_S = 2.0
"""The lease ends so long after the trust."""

STUBBORN = """
import os, signal, sys, time

def tell(path, who):
    with open(path, "a") as file:
        file.write(f"{who} {os.getpid()}\\n")

def family(path):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            tell(path, "daemon")
            time.sleep(300)
        os._exit(0)
    if os.fork() == 0:
        tell(path, "child")
        time.sleep(300)
    tell(path, "self")

def call(path):
    # Its handler is not heard: it sees to that itself.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    family(path)
    while True:
        try:
            time.sleep(300)
        except BaseException:
            pass

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    family(sys.argv[1])
    time.sleep(300)
"""


class Node:
    """A scheduler with a trust file that the test writes."""

    def __init__(self, tmp_path: Path) -> None:
        self.database = tmp_path / "cronq.db"
        open_store(place_of(str(self.database)), create=True).close()
        self.trust = TrustFile(tmp_path / "trust")
        self._said = tmp_path / "said"
        self._folder = tmp_path
        (tmp_path / "stubborn.py").write_text(STUBBORN)
        self.ends_at = 0
        self.extend(60)
        self.scheduler = Scheduler(self.database, f"--trust={tmp_path / 'trust'}")
        self.scheduler.wait_for("up")

    def extend(self, seconds: float) -> None:
        self.ends_at = clock.boottime_ns() + round(seconds * 1e9)
        self.trust.extend(self.ends_at)

    def begin(self, kind: str) -> tuple[int, list[int]]:
        """Start a family that ignores TERM; return its run and its pids."""
        run_id = queue(self.database, self._what(kind))
        self.scheduler.wait_for("started")
        wait_until(lambda: self._said.exists() and len(self._said.read_text().splitlines()) == 3)
        pids = [int(line.split()[1]) for line in self._said.read_text().splitlines()]
        assert all(is_running(pid) for pid in pids)
        return run_id, pids

    def _what(self, kind: str) -> Definition:
        script = self._folder / "stubborn.py"
        if kind == "command":
            return definition(sys.executable, str(script), str(self._said), cwd=str(self._folder))
        return function("stubborn:call", f'["{self._said}"]', cwd=str(self._folder))

    def assert_dies_in_time(self, pids: list[int]) -> None:
        wait_until(lambda: not any(is_running(pid) for pid in pids))
        late_s = (clock.boottime_ns() - self.ends_at) / 1e9
        assert late_s < LEASE_AFTER_TRUST_S

    def close(self) -> None:
        self.trust.end()
        if self.scheduler.process.poll() is None:
            os.kill(self.scheduler.process.pid, signal.SIGCONT)
            self.scheduler.kill()
        self.trust.close()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node(tmp_path)
    yield made
    made.close()


def nothing(_: Scheduler) -> None:
    pass


def freeze(scheduler: Scheduler) -> None:
    os.kill(scheduler.process.pid, signal.SIGSTOP)


Fault = Callable[[Scheduler], None]
KINDS = pytest.mark.parametrize("kind", ["command", "callable"])


@KINDS
@pytest.mark.parametrize("fault", [nothing, Scheduler.kill, freeze])
def test_tree_is_dead_before_the_lease_ends(node: Node, kind: str, fault: Fault) -> None:
    run_id, pids = node.begin(kind)
    fault(node.scheduler)
    assert all(is_running(pid) for pid in pids)
    node.extend(2)
    node.assert_dies_in_time(pids)
    if fault is freeze:
        os.kill(node.scheduler.process.pid, signal.SIGCONT)
    if kind == "callable" and fault is Scheduler.kill:
        # Its worker is dead, too, and has left a word for the next scheduler.
        successor = Scheduler(node.database, f"--trust={node.database.with_name('trust')}")
        successor.wait_for("up")
        successor.order("adopt")
        assert successor.wait_for("ended")["reason"] == LOST
        successor.kill()
    wait_until(lambda: is_done(node.database, run_id))
    run = run_of(node.database, run_id).run
    assert (run.outcome, run.reason) == (Outcome.ABANDONED, LOST)


@KINDS
@pytest.mark.parametrize("fault", [nothing, Scheduler.kill, freeze])
def test_tree_lives_as_long_as_trust_is_extended(node: Node, kind: str, fault: Fault) -> None:
    run_id, pids = node.begin(kind)
    fault(node.scheduler)
    # Past the instant at which it was to end at first, and more than once.
    node.extend(4)
    first = node.ends_at
    while clock.boottime_ns() < first + 500_000_000:
        node.extend(4)
        clock.sleep(0.1)
    assert all(is_running(pid) for pid in pids)
    assert run_of(node.database, run_id).run.state is State.RUNNING
    node.extend(0)
    node.assert_dies_in_time(pids)


@KINDS
def test_end_that_comes_too_late_changes_nothing(node: Node, kind: str) -> None:
    run_id, pids = node.begin(kind)
    freeze(node.scheduler)
    # Another node has ended the attempt meanwhile.
    store = open_store(node.scheduler.place)
    (held,) = store.held()
    store.record([], [AttemptEnd(held.claim.key, Outcome.ABANDONED, clock.now_us(), "elsewhere")])
    store.close()
    node.extend(0)
    node.assert_dies_in_time(pids)
    os.kill(node.scheduler.process.pid, signal.SIGCONT)
    assert node.scheduler.wait_for("ended")["recorded"] == 0
    assert run_of(node.database, run_id).run.reason == "elsewhere"
