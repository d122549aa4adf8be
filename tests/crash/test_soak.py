"""A great many runs through the real program: at the end it needs what it needed at the beginning.

Three jobs have all their fire times in the past and catch up with every one of them, some calling a function
and some starting a process. The long form takes as many runs as CRONQ_SOAK_RUNS says, a million by default.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import NamedTuple

import pytest

from cronq.model import Command, CommandKind
from tests.crash.measure import MIB, Cost, cost_of
from tests.crash.program import Cronq, Running
from tests.crash.stock import argv, overdue, stock_store

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")

MODULE = """
calls = 0

def work():
    global calls
    calls += 1
    if calls % 100 == 0:
        print("call", calls)

def fail():
    raise ValueError("as always")
"""
SAMPLES = 40
SLACK = MIB
WORKERS = 16


class Sample(NamedTuple):
    """What the processes needed when so many attempts had ended; of the workers, the one that needs most."""

    ended: int
    at_s: float
    scheduler: Cost
    worker: Cost


def samples_of(running: Running, every: int) -> Iterator[Sample]:
    """Read a scheduler's events to their end; yield a sample each so many ends."""
    stdout = running.process.stdout
    assert stdout is not None
    ended, began, rest = 0, time.monotonic(), b""
    while chunk := os.read(stdout.fileno(), 1 << 20):
        *lines, rest = (rest + chunk).split(b"\n")
        before, ended = ended, ended + sum(b'"attempt_finished"' in line for line in lines)
        if before // every < ended // every:
            costs = []
            for pid in running.workers():
                with contextlib.suppress(OSError):  # it has just left
                    costs.append(cost_of(pid))
            if not costs:
                continue  # these are told last, when all have left
            most = Cost(*(max(column) for column in zip(*costs, strict=True)))
            yield Sample(ended, time.monotonic() - began, cost_of(running.process.pid), most)


def assert_flat(samples: list[Sample], what: str, value: Callable[[Sample], int], slack: int) -> None:
    """The last quarter is not above the second one: the first is for warming up."""
    values = [value(sample) for sample in samples]
    quarter = len(values) // 4
    early, late = median(values[quarter : 2 * quarter]), median(values[-quarter:])
    print(f"{what}: {early:,.0f} in the second quarter, {late:,.0f} in the last, {max(values):,} at most")
    assert late <= early * 1.05 + slack, f"{what} grows: {values}"


def soak(cronq: Cronq, runs: int) -> None:
    (cronq.home / "soaked.py").write_text(MODULE)
    processes, failures = runs // 200, runs // 50
    calls = runs - processes - failures
    work, fail = (Command(CommandKind.PYTHON, (f"soaked:{name}",)) for name in ("work", "fail"))
    store = stock_store(cronq)
    overdue(store, "calls", work, cwd=cronq.home, every_s=1, count=calls)
    overdue(store, "failures", fail, cwd=cronq.home, every_s=50, count=failures)
    overdue(store, "processes", argv("true"), cwd=cronq.home, every_s=200, count=processes)
    store.close()
    with cronq.run("--until-idle", "--workers", str(WORKERS)) as running:
        samples = list(samples_of(running, runs // SAMPLES))
        assert running.process.wait(60) == 0, running.errors()
    for sample in samples[:: max(1, len(samples) // 10)]:
        print(
            f"{sample.ended:>9,} ended after {sample.at_s:6.1f} s:"
            f" scheduler {sample.scheduler.rss / MIB:.1f} MiB, {sample.scheduler.private / MIB:.1f} private,"
            f" {sample.scheduler.descriptors} descriptors; worker {sample.worker.rss / MIB:.1f} MiB,"
            f" {sample.worker.private / MIB:.1f} private, {sample.worker.descriptors} descriptors"
        )
    assert len(samples) >= SAMPLES // 2
    assert_flat(samples, "memory of the scheduler", lambda sample: sample.scheduler.private, SLACK)
    assert_flat(samples, "memory of a worker", lambda sample: sample.worker.private, SLACK)
    assert_flat(samples, "descriptors of the scheduler", lambda sample: sample.scheduler.descriptors, 2)
    assert_flat(samples, "descriptors of a worker", lambda sample: sample.worker.descriptors, 2)
    with sqlite3.connect(cronq.database) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        counted = database.execute(
            "SELECT j.name, r.outcome, count(*), count(DISTINCT r.fire_at), sum(r.attempt) FROM run r"
            " JOIN job j ON j.id = r.job_id GROUP BY 1, 2 ORDER BY 1"
        ).fetchall()
        attempts = database.execute("SELECT count(*) FROM attempt").fetchone()
    database.close()
    assert counted == [
        ("calls", "success", calls, calls, calls),
        ("failures", "failure", failures, failures, failures),
        ("processes", "success", processes, processes, processes),
    ]
    assert attempts == (runs,)


def test_soak_of_twenty_thousand_runs_needs_no_more_at_its_end(quick: Cronq) -> None:
    soak(quick, 20_000)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_soak_of_a_million_runs_needs_no_more_at_its_end(quick: Cronq) -> None:
    soak(quick, int(os.environ.get("CRONQ_SOAK_RUNS", "1000000")))
