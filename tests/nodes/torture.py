"""The torture of several nodes: kills, freezes and restarts of the server, at random, under load.

Run it as `python -m tests.nodes.torture --seconds 600 [--seed N]`. Rounds on fresh ledgers follow one
another; each is tormented for a while, then left in peace until all is done, and compared with what the
commands wrote down themselves (`tests.nodes.program.Nodes.contradictions`).
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from cronq.model import OnCrash, Overlap
from tests.crash.program import Running
from tests.nodes.program import SHORT_LEASE, Nodes, children, zombies
from tests.nodes.short_lease import LEASE_S
from tests.postgres.server import running_server

HOSTS = "aabc"
"""A node each; the first two share a host."""
ROUND_S = 60.0
SETTLED_S = 2 * LEASE_S + 20.0
"""In peace all is done after that: a lease, a sweep of the messages, and the work itself."""
_ZOMBIE_S = 3.0
_START_S = 6.0
"""So long it may take until a node has started: the machine is busy."""


@dataclass
class Result:
    """What was done and found."""

    rounds: int = 0
    deeds: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    fire_times: int = 0
    starts: int = 0
    second_starts: int = 0
    findings: list[str] = field(default_factory=list)

    def add(self, other: Result) -> None:
        for name, value in vars(other).items():
            if isinstance(value, Counter):
                getattr(self, name).update(value)
            else:
                setattr(self, name, getattr(self, name) + value)

    def __str__(self) -> str:
        return (
            f"{self.rounds} rounds, {self.deeds.total()} faults {dict(self.deeds)}, "
            f"{self.fire_times} fire times, {self.starts} starts, {self.second_starts} of them again, "
            f"runs {dict(self.outcomes)}, "
            f"{len(self.findings)} findings"
        )


@dataclass
class _Life:
    """A place for a node: it lives, or comes back at a time.

    Attributes:
        born_at: Later by the time for which it was frozen.
    """

    host: str
    node: Running | None = None
    back_at: float = 0.0
    born_at: float = 0.0
    frozen_at: float = 0.0
    frozen_until: float | None = None


class Torment:
    """One ledger that is tormented."""

    def __init__(self, nodes: Nodes, dice: random.Random) -> None:
        self.nodes = nodes
        self.dice = dice
        self.result = Result(rounds=1)
        self.diary: list[str] = []
        self.lives = [_Life(host) for host in HOSTS]
        self._seen: dict[int, float] = {}

    def add_jobs(self) -> None:
        add, witnessed = self.nodes.add_jobs, self.nodes.witnessed
        rerun = {"on_crash": OnCrash.RERUN}
        add(["quick1", "quick2"], witnessed(0.0))
        add(["skip"], witnessed(0.4), overlap=Overlap.SKIP, max_running=1)
        add(["queue"], witnessed(0.3), overlap=Overlap.QUEUE, max_running=1, retries=2)
        add(["rerun"], witnessed(0.8), every_s=2, **rerun)
        add(["long1", "long2", "long3"], witnessed(4.0), every_s=5, **rerun)
        add(["retry"], witnessed(2.0), every_s=3, retries=2, retry_delay_s=0.5)

    def live(self, seconds: float) -> None:
        ends_at = time.monotonic() + seconds
        while time.monotonic() < ends_at:
            self._revive()
            self.nodes.wait(self.dice.uniform(0.1, 1.2))
            name, deed = self.dice.choice(_DEEDS)
            if deed(self):
                self.result.deeds[name] += 1
                self._note(name)
            self._look_for_zombies()

    def settle(self) -> None:
        """Leave it in peace, and compare."""
        for life in self.lives:
            life.back_at = 0.0
            life.frozen_until = 0.0 if life.frozen_until is not None else None
        nodes = self.nodes
        for _ in range(4):
            self._revive()
            nodes.wait(1.0)
        for (name,) in nodes.rows("SELECT name FROM job"):
            nodes.cronq("set", name, "every 10000h from 2000-01-01")
        try:
            nodes.settle(SETTLED_S)
        except AssertionError as error:
            self.result.findings.append(f"stuck: {error}")
        self._end_all()
        found = self.result.findings
        found += nodes.contradictions()
        found += [f"early: {row}" for row in nodes.early()]
        try:
            nodes.cronq("audit")
        except AssertionError as error:
            found.append(f"audit: {error}")
        starts = [line.key for line in nodes.lines() if line.word == "start"]
        self.result.starts = len(starts)
        self.result.second_starts = len(starts) - len({run_id for run_id, _ in starts})
        self.result.fire_times = nodes.fire_times()
        self.result.outcomes = nodes.outcomes()

    def _end_all(self) -> None:
        for life in self.lives:
            if life.node is not None:
                life.node.signal(signal.SIGTERM)
        self.nodes.wait(0.5)
        for life in self.lives:
            if life.node is not None:
                code = life.node.ended()
                if code != 0:
                    self.result.findings.append(f"a node ended with {code}: {life.node.errors()}")
                self._bury(life)
        ends_at = time.monotonic() + 5.0
        while (left := self.nodes.processes()) and time.monotonic() < ends_at:
            time.sleep(0.05)
        if left:
            self.result.findings.append(f"left behind: {left}")

    def _revive(self) -> None:
        now = time.monotonic()
        for life in self.lives:
            if life.frozen_until is not None and now >= life.frozen_until and life.node is not None:
                life.node.signal(signal.SIGCONT)
                life.frozen_until = None
                life.born_at += now - life.frozen_at
            if life.node is not None and life.node.process.poll() is not None:
                age_s = now - life.born_at
                # One that does not find its server when it starts says so, and leaves it to who started it.
                if age_s > _START_S or life.node.process.returncode != 5:
                    self.result.findings.append(f"a node ended after {age_s:.1f} s: {life.node.errors()}")
                self._bury(life)
            if life.node is None and now >= life.back_at:
                life.node, life.born_at = self.nodes.start(life.host), now
                self._note(f"node on {life.host} is back: {life.node.process.pid}")

    def _bury(self, life: _Life) -> None:
        assert life.node is not None
        if life.node in self.nodes.running:
            self.nodes.running.remove(life.node)
        life.node.close()
        life.node = None
        life.frozen_until = None

    def _look_for_zombies(self) -> None:
        """A process that is dead, and that nobody waits for although its parent is not frozen."""
        if any(life.frozen_until is not None for life in self.lives):
            self._seen.clear()
            return
        now = time.monotonic()
        dead = zombies(self.nodes.offspring())
        self._seen = {pid: self._seen.get(pid, now) for pid in dead}
        old = [pid for pid, since in self._seen.items() if now - since > _ZOMBIE_S]
        if old:
            self.result.findings.append(f"zombies: {old}")

    def _note(self, text: str) -> None:
        self.diary.append(f"{time.monotonic():.2f} {text}")

    # Deeds; each returns whether it could be done

    def _some(self) -> _Life | None:
        living = [life for life in self.lives if life.node is not None and life.frozen_until is None]
        return self.dice.choice(living) if living else None

    def kill_node(self) -> bool:
        if (life := self._some()) is None or life.node is None:
            return False
        life.node.kill()
        self._bury(life)
        longest = self.dice.choice([0.0, 3.0, 3.0, LEASE_S + 6.0])
        life.back_at = time.monotonic() + self.dice.uniform(0.0, longest)
        return True

    def kill_worker(self) -> bool:
        life = self._some()
        workers = life.node.workers() if life is not None and life.node is not None else []
        if not workers or life is None:
            return False
        return _kill(self.dice.choice(workers))

    def kill_worker_and_node(self) -> bool:
        """Nobody is left of them who could kill the command: the caretaker does it."""
        life = self._some()
        if life is None or life.node is None:
            return False
        workers = life.node.workers()
        life.node.kill()
        self._bury(life)
        life.back_at = time.monotonic() + LEASE_S + 6.0
        return sum(_kill(pid) for pid in workers) > 0

    def kill_child(self) -> bool:
        life = self._some()
        found = children(life.node) if life is not None and life.node is not None else []
        return bool(found) and _kill(found[0])

    def kill_host(self) -> bool:
        """All that is there, as when the power fails."""
        host = self.dice.choice(sorted(set(HOSTS)))
        lives = [life for life in self.lives if life.host == host]
        for life in lives:
            if life.node is not None:
                life.node.kill()
        for _ in range(3):  # what was just being started, too
            for pid in self.nodes.processes(host):
                _kill(pid)
        pause_s = self.dice.choice([0.5, 4.0, LEASE_S + 6.0])
        for life in lives:
            if life.node is not None:
                self._bury(life)
            life.back_at = time.monotonic() + pause_s
        return True

    def freeze(self) -> bool:
        if (life := self._some()) is None or life.node is None:
            return False
        life.node.signal(signal.SIGSTOP)
        life.frozen_at = time.monotonic()
        life.frozen_until = life.frozen_at + self.dice.choice([1.0, 7.0, LEASE_S + 3.0])
        return True

    def restart_server(self) -> bool:
        self.nodes.server.restart()
        return True

    def crash_server(self) -> bool:
        self.nodes.server.restart(immediate=True)
        return True

    def end_sessions(self) -> bool:
        self.nodes.rows(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid() AND random() < 0.5"
        )
        return True

    def lose_messages(self) -> bool:
        self.nodes.rows("DELETE FROM procrastinate_jobs WHERE random() < 0.5")
        return True


def _kill(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
        return True
    return False


_DEEDS: Sequence[tuple[str, Callable[[Torment], bool]]] = (
    *[("kill -9 of a node", Torment.kill_node)] * 5,
    *[("kill -9 of a worker", Torment.kill_worker)] * 4,
    *[("kill -9 of a node and its workers", Torment.kill_worker_and_node)] * 2,
    *[("kill -9 of a wire child", Torment.kill_child)] * 3,
    ("kill -9 of all on a host", Torment.kill_host),
    *[("freeze of a node", Torment.freeze)] * 2,
    ("fast restart of the server", Torment.restart_server),
    ("crash of the server", Torment.crash_server),
    ("sessions ended", Torment.end_sessions),
    ("messages lost", Torment.lose_messages),
)


def torture_round(nodes: Nodes, dice: random.Random, seconds: float, servers: bool = True) -> Result:
    """Torment one ledger; leave nothing of it running."""
    t = Torment(nodes, dice)
    try:
        t.add_jobs()
        t.live(seconds)
        if servers:
            for immediate in (False, False, False, True):
                nodes.server.restart(immediate=immediate)
                t.result.deeds["crash of the server" if immediate else "fast restart of the server"] += 1
                nodes.wait(1.0)
        t.settle()
    except (AssertionError, OSError) as error:
        t.result.findings.append(f"the driver: {error!r}")
    finally:
        nodes.destroy()
    if t.result.findings:
        print(*t.result.findings, *t.diary, sep="\n  ", flush=True)
    return t.result


def torture(seed: int, seconds: float) -> Result:
    """Torment one ledger after the other."""
    total = Result()
    ends_at = time.monotonic() + seconds
    while time.monotonic() < ends_at:
        folder = Path(tempfile.mkdtemp(prefix="cronq-nodes-"))
        with running_server() as server:
            nodes = Nodes(server, server.fresh_database(), folder, SHORT_LEASE)
            nodes.make()
            dice = random.Random(f"{seed}:{total.rounds + 1}")
            one = torture_round(nodes, dice, min(ROUND_S, seconds))
        total.add(one)
        print(f"round {total.rounds}: {one}", flush=True)
        if one.findings:
            print(f"  what is left of it: {folder}", flush=True)
        else:
            shutil.rmtree(folder)
    return total


def main(arguments: Sequence[str] | None = None) -> int:
    """Be the command; return 1 if anything was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.nodes.torture", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="how long (default: 600)")
    parser.add_argument("--seed", type=int, help="of the dice (default: a new one)")
    options = parser.parse_args(arguments)
    seed = random.SystemRandom().randrange(2**32) if options.seed is None else options.seed
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    print(f"CRONQ_SEED={seed}", flush=True)
    result = torture(seed, options.seconds)
    print(f"\n{result}")
    return 1 if result.findings else 0


if __name__ == "__main__":
    sys.exit(main())
