"""Crowds in the real program: thousands of jobs due at one instant, hundreds that run for long at once."""

from __future__ import annotations

import heapq
import os
import signal
import sqlite3
import sys
import time
from itertools import groupby
from statistics import median

import pytest

from cronq.clock import now_us
from cronq.model import SECOND
from tests.crash.measure import MIB, cost_of, descendants_cpu_s
from tests.crash.program import Cronq, Running
from tests.crash.stock import argv, due_at, stock_store

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")

IDLE_S = 3.0
"""How long processes that wait are watched for what they use meanwhile."""


def fill(cronq: Cronq, jobs: int) -> None:
    """Define jobs with various priorities that are all due at one instant, which will be here soon."""
    store = stock_store(cronq)
    at = (now_us() // SECOND + 2 + jobs // 500) * SECOND
    for number in range(jobs):
        # Some were due a little earlier: of those with the same priority they come first.
        earlier = SECOND if number % 10 == 0 else 0
        due_at(store, f"job{number}", argv("true"), at - earlier, priority=number % 3)
    store.close()


def wait_for_ends(running: Running, count: int) -> int:
    """Wait for so many ends; return the most memory that the scheduler had in between."""
    most = 0
    for number in range(count):
        running.wait_for("attempt_finished")
        if number % 50 == 0:
            most = max(most, cost_of(running.process.pid).private)
    return most


def assert_claimed_in_order(database: sqlite3.Connection) -> None:
    """Each claim took the best of what was queued: by priority, then by fire time, then by number."""
    rows = database.execute(
        "SELECT a.claimed_at, r.queued_at, r.priority, r.fire_at, r.id FROM run r"
        " JOIN attempt a ON a.run_id = r.id ORDER BY a.claimed_at"
    ).fetchall()
    waiting = sorted((row[1], -row[2], *row[3:]) for row in rows)
    waiting.reverse()
    heap: list[tuple[int, int, int]] = []
    for claimed_at, claimed in groupby(rows, key=lambda row: row[0]):
        while waiting and waiting[-1][0] <= claimed_at:
            heapq.heappush(heap, waiting.pop()[1:])
        got = {row[4] for row in claimed}
        assert got == {heapq.heappop(heap)[2] for _ in got}
    assert not heap


def herd(cronq: Cronq, jobs: int) -> None:
    fill(cronq, jobs)
    with cronq.run() as running:
        running.wait_for("run_queued")
        began = time.monotonic()
        most = wait_for_ends(running, jobs)
        took_s = time.monotonic() - began
        running.signal(signal.SIGTERM)
        assert running.ended() == 0
    database = sqlite3.connect(cronq.database)
    assert database.execute("SELECT outcome, count(*), sum(attempt) FROM run GROUP BY 1").fetchall() == [
        ("success", jobs, jobs)
    ]
    assert database.execute("SELECT count(*) FROM job WHERE next_fire_at IS NOT NULL").fetchone() == (0,)
    assert_claimed_in_order(database)
    lags = sorted(
        (started_at - fire_at) / SECOND
        for started_at, fire_at in database.execute("SELECT started_at, fire_at FROM run")
    )
    database.close()
    print(
        f"{jobs} jobs due at once: {took_s:.1f} s, {jobs / took_s:.0f} a second;"
        f" lag {lags[0]:.2f} s to {lags[-1]:.2f} s, median {median(lags):.2f} s;"
        f" scheduler {most / MIB:.1f} MiB private"
    )


def test_five_hundred_due_at_once_all_run_in_order(quick: Cronq) -> None:
    herd(quick, 500)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_five_thousand_due_at_once_all_run_in_order(quick: Cronq) -> None:
    herd(quick, 5_000)


def long_ones(cronq: Cronq, jobs: int) -> None:
    """Let so many commands wait in front of a gate, all of them at the same time; then open it."""
    gate = cronq.home / "gate"
    os.mkfifo(gate)
    store = stock_store(cronq)
    for number in range(jobs):
        due_at(store, f"job{number}", argv("sh", "-c", f": < {gate}"), now_us() // SECOND * SECOND)
    store.close()
    with cronq.run("--workers", str(jobs)) as running:
        began = time.monotonic()
        commands = {running.wait_for("attempt_started")["pid"] for _ in range(jobs)}
        started_s = time.monotonic() - began
        assert len(commands) == jobs
        workers = running.workers()
        each = [cost_of(pid).private for pid in workers]
        scheduler = cost_of(running.process.pid)
        before_s, began = descendants_cpu_s(running.process.pid), time.monotonic()
        time.sleep(IDLE_S)  # not to wait for something, but to see what waiting costs
        used_s, passed_s = descendants_cpu_s(running.process.pid) - before_s, time.monotonic() - began
        print(
            f"{jobs} long jobs at once: all started after {started_s:.1f} s; {len(workers)} workers with"
            f" {median(each) / MIB:.1f} MiB private each, {sum(each) / MIB:.0f} MiB in all; scheduler"
            f" {scheduler.private / MIB:.1f} MiB, {scheduler.descriptors} descriptors;"
            f" {100 * used_s / passed_s:.1f} % of a processor while all wait"
        )
        assert len(workers) >= jobs
        assert used_s / passed_s < 0.25
        assert not [event for event in running.events if event["event"] == "attempt_finished"]
        keeper = os.open(gate, os.O_RDWR)
        try:
            for _ in range(jobs):
                assert running.wait_for("attempt_finished")["outcome"] == "success"
        finally:
            os.close(keeper)
        running.signal(signal.SIGTERM)
        assert running.ended() == 0
    database = sqlite3.connect(cronq.database)
    assert database.execute("SELECT outcome, count(*), sum(attempt) FROM run GROUP BY 1").fetchall() == [
        ("success", jobs, jobs)
    ]
    database.close()


def test_fifty_long_jobs_run_at_the_same_time(quick: Cronq) -> None:
    long_ones(quick, 50)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_five_hundred_long_jobs_run_at_the_same_time(quick: Cronq) -> None:
    long_ones(quick, 500)
