"""What a fire costs with ever more jobs, and what a node costs that does nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from cronq.model import AttemptEnd, Outcome
from cronq.scheduler import Scheduler
from cronq.waiting import SystemClock
from tests.benchmarks.figures import Row, mb, median
from tests.benchmarks.filling import Planned, argv, instant
from tests.benchmarks.lab import Lab
from tests.benchmarks.postgres.ledger import Ledger, due_in
from tests.benchmarks.program import memory, processor_s, wait_until
from tests.postgres.server import Server

WARMING = 20
FLAT = 1.25


def measure_fires(lab: Lab, server: Server) -> Iterator[Row]:
    """One job of many falls due: it is launched, claimed and ended, each in a transaction of its own."""
    ledgers = {}
    turns = WARMING + lab.pick(40, 400)
    due = due_in(0)
    for jobs in (1_000, 100_000, 1_000_000)[: lab.pick(2, 3)]:
        ledger = ledgers[jobs] = Ledger(server, lab.new_folder("fires"))
        ledger.fill([Planned(argv("/bin/true", schedule=instant(due)))] * turns)
        ledger.fill_idle(jobs - turns)
    stores = {jobs: ledger.opened() for jobs, ledger in ledgers.items()}
    spent: dict[int, list[float]] = {jobs: [] for jobs in ledgers}
    for turn in range(turns):
        for jobs, ledger in ledgers.items():
            store = stores[jobs]
            ledger.connection.execute("UPDATE job SET next_fire_at = %s WHERE id = %s", (due, turn + 1))
            scheduler = Scheduler(store, cast("Any", None), SystemClock(), boot_id="none")
            now = due_in(0)
            began = time.perf_counter()
            with store.together():
                launched = scheduler._fire(now)
            [claim] = store.claim(["w"], "boot", now=now)
            store.record(
                [], [AttemptEnd(claim.key, Outcome.SUCCESS, now + 2, started_at=now, pid=1, exit_code=0)]
            )
            took = time.perf_counter() - began
            assert len(launched) == 1
            if turn >= WARMING:  # the first ones warm up
                spent[jobs].append(took)
    base = median(spent[1_000])
    for jobs, values in spent.items():
        ratio = median(values) / base
        target, ok = ("", None) if jobs == 1_000 else (f"≤ {FLAT} of 1,000 jobs", ratio <= FLAT)
        value = f"{1000 * median(values):.2f} ms"
        yield Row(f"fire, claim, end: {jobs:,} jobs", "cronq", value, ratio, target, ok)
    for jobs, ledger in ledgers.items():
        stores[jobs].close()
        ledger.close()


def measure_rest(lab: Lab, server: Server) -> Iterator[Row]:
    """A node with a thousand jobs that are not due: its connections, its questions, its memory."""
    ledger = Ledger(server, lab.new_folder("rest"))
    try:
        ledger.fill_idle(1_000)
        [job] = ledger.fill([Planned(argv("/bin/true"))])
        seconds = 60.0  # idle sessions tell the server's statistics every 10 s what they have done
        quiet = _rate(ledger, seconds)  # what the server does by itself, and we
        with ledger.node("run", "--workers", "4", "--output", "none") as node:
            ledger.fill_queue(job, 4)  # a worker has been started
            ledger.await_done()
            wait_until(
                lambda: not ledger.one("SELECT count(*) FROM procrastinate_jobs WHERE status = 'doing'"), 10
            )
            time.sleep(2)
            yield Row("a node at rest", "connections", f"{_connections(ledger) - 1}")
            before_s = {pid: processor_s(pid) for pid in (node.pid, *_below(node.pid))}
            rate = _rate(ledger, seconds) - quiet
            # A worker that has had nothing to do for long has left meanwhile.
            pids = [pid for pid in (node.pid, *_below(node.pid)) if pid in before_s]
            used = sum(processor_s(pid) - before_s[pid] for pid in pids) / seconds
            yield Row("a node at rest", "transactions", f"{rate:.1f}/s")
            yield Row("a node at rest", "processor", f"{used:.2%} of one")
            for pid in pids:
                resident, private = memory(pid)
                value = f"{mb(resident)} resident, {mb(_share(pid))} its share, {mb(private)} own"
                yield Row("a node at rest", _name(pid), value)
            total = sum(_share(pid) for pid in pids)
            yield Row("a node at rest", "all processes", f"{len(pids)}, {mb(total)} their share")
    finally:
        ledger.close()


def _connections(ledger: Ledger) -> int:
    return ledger.one("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")


def _rate(ledger: Ledger, seconds: float) -> float:
    asked = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
    before = ledger.one(asked)
    time.sleep(seconds)
    return (ledger.one(asked) - before) / seconds


def _below(pid: int) -> list[int]:
    from tests.crash.program import descendants

    return descendants(pid)


def _name(pid: int) -> str:
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().replace("\0", " ")
    if "forkserver" in words and os.getsid(pid) == pid:
        return "worker"
    if "forkserver" in words and os.getpgid(pid) == pid:
        return "caretaker"
    for part, name in (("wire.child", "wire"), ("forkserver", "fork server"), ("tracker", "tracker")):
        if part in words:
            return name
    return "scheduler"


def _share(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0
