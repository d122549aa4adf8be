"""Retention of a million runs beside a scheduler's work: `python -m tests.benchmarks.retention [RUNS]`.

A store is filled with done runs of twenty jobs. One process prunes it, as `cronq prune --keep 1000` does,
while this one launches, claims and finishes runs of another job, and notes how long each of these
transactions had to wait and take.
"""

from __future__ import annotations

import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from cronq import pruning
from cronq.errors import StoreBusy
from cronq.model import (
    SECOND,
    AttemptEnd,
    AttemptStart,
    Command,
    CommandKind,
    Definition,
    Outcome,
    Trigger,
    Usage,
)
from cronq.plan import Fire, Launch
from cronq.retention import Keep
from cronq.store import NewJob, Place, Store
from cronq.store.sqlite import SqliteStore, open_store

JOBS = 20
NOW = 1_800_000_000 * SECOND
LOGS_EVERY = 10
MOST_PATIENCE_S = 0.05
"""As `cronq prune` waits between two batches, while a scheduler runs."""
T = TypeVar("T")
_TRUE = Definition(Command(CommandKind.ARGV, ("true",)), "* * * * *")


def fill(store: SqliteStore, place: Place, runs: int) -> None:
    """Add done runs with one attempt each, and a log to every tenth."""
    for number in range(JOBS):
        store.add_job(NewJob(f"old{number}", _TRUE, None), now=NOW)
    store.add_job(NewJob("live", _TRUE, NOW), now=NOW)
    db = store._db
    db.execute("BEGIN")
    first = NOW - runs * SECOND
    db.executemany(
        "INSERT INTO run (id, job_id, revision, trigger, logical_at, fire_at, last_fire_at, state, outcome,"
        " queued_at, available_at, attempt, started_at, finished_at)"
        " VALUES (?1, ?2, 1, 'schedule', ?3, ?3, ?3, 'done', 'success', ?3, ?3, 1, ?3, ?3)",
        ((n, n % JOBS + 1, first + n * SECOND) for n in range(1, runs + 1)),
    )
    db.executemany(
        "INSERT INTO attempt (run_id, attempt, worker, boot_id, claimed_at, started_at, finished_at, pid,"
        " outcome, exit_code, duration_s) VALUES (?1, 1, 'w1', 'b', ?2, ?2, ?2, 1, 'success', 0, 1.0)",
        ((n, first + n * SECOND) for n in range(1, runs + 1)),
    )
    db.execute("COMMIT")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    for run_id in range(LOGS_EVERY, runs + 1, LOGS_EVERY):
        path = place.log_file(run_id, 1)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_bytes(b"hello\n")


def prune_all(
    place: Place, results: multiprocessing.SimpleQueue[tuple[float, int, int, list[float]]]
) -> None:
    """Prune every old job to a thousand runs; report the time, what went, and how long the steps took."""
    store = open_store(place)
    began = time.perf_counter()
    total = pruning.Pruned()
    took: list[float] = []
    for history in store.jobs_ever(limit=JOBS):
        steps = pruning.prune(store, place, history, Keep(runs=1000), NOW)
        step_began = time.perf_counter()
        for step in steps:
            total += step
            took.append(time.perf_counter() - step_began)
            if step.runs:
                time.sleep(min(took[-1], MOST_PATIENCE_S))
            step_began = time.perf_counter()
    results.put((time.perf_counter() - began, *total, took))
    store.close()


def live(store: Store, at: int) -> list[float]:
    """Launch, claim and finish one run; return how long each transaction took."""
    times = []

    def timed(step: Callable[[], T]) -> T:
        began = time.perf_counter()
        while True:
            try:
                result = step()
            except StoreBusy:  # longer than a scheduler waits: it counts, and he comes again
                continue
            times.append(time.perf_counter() - began)
            return result

    job = store.job("live")
    timed(lambda: store.launch([Launch(job, (Fire(at, Trigger.SCHEDULE),), at + SECOND)], now=at))
    (claim,) = timed(lambda: store.claim(["w"], "b", now=at))
    start = AttemptStart(claim.key, 1, at)
    end = AttemptEnd(claim.key, Outcome.SUCCESS, at, started_at=at, usage=Usage(1.0))
    timed(lambda: store.record([start], [end]))
    return times


def main() -> None:
    """Measure, and print."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder) / "cronq.db", Path(folder) / "logs", "benchmark")
        store = open_store(place, create=True)
        fill(store, place, runs)
        store.close()
        store = open_store(place, for_scheduler=True)
        results: multiprocessing.SimpleQueue[tuple[float, int, int, list[float]]]
        context = multiprocessing.get_context("spawn")
        results = context.SimpleQueue()
        process = context.Process(target=prune_all, args=(place, results))
        waits: list[float] = []
        alone = [took for n in range(200) for took in live(store, NOW + n * SECOND)]
        process.start()
        at = NOW + 1000 * SECOND
        wal = 0
        while results.empty():
            waits += live(store, at)
            at += SECOND
            wal = max(wal, place.database.with_name("cronq.db-wal").stat().st_size)
            time.sleep(0.005)
        took_s, removed, size, steps = results.get()
        process.join()
        store.close()
    print(f"removed {removed:,} of {runs:,} runs and {size / 2**20:.0f} MiB of logs in {took_s:.1f} s")
    middle, longest = 1000 * statistics.median(steps), 1000 * max(steps)
    print(f"steps: {len(steps):,}, median {middle:.1f} ms, longest {longest:.1f} ms")
    for what, times in (("alone", alone), ("beside", waits)):
        high = statistics.quantiles(times, n=1000)[-1]
        print(
            f"{what}: {len(times):,} transactions, median {1000 * statistics.median(times):.2f} ms,"
            f" p99.9 {1000 * high:.1f} ms, longest {1000 * max(times):.1f} ms"
        )
    print(f"write-ahead log: at most {wal / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
