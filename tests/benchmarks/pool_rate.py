"""How fast the pool is: attempts per second, and how long a claim takes to become a process.

Run as `python -m tests.benchmarks.pool_rate [--workers 2 4] [--seconds 3]`. Nothing is stored: the ends are
acknowledged at once, so these are the rates of this floor alone.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from cronq import clock
from cronq.model import AttemptEnd, AttemptStart, Claim, Command, CommandKind, Definition, Run, State, Trigger
from cronq.store.location import Place
from cronq.waiting import SystemClock
from cronq.worker import kernel
from cronq.worker.pool import Pool

NOOP = Command(CommandKind.ARGV, ("/bin/true",))
FUNCTION = Command(CommandKind.PYTHON, ("noop:noop",))


class Bench:
    """One pool, kept full."""

    def __init__(self, folder: Path, workers: int) -> None:
        (folder / "noop.py").write_text("def noop():\n    pass\n")
        self._folder = folder
        self._clock = SystemClock()
        place = Place(folder / "cronq.db", folder / "logs", "benchmark")
        self._pool = Pool(self._clock, place, size=workers, boot_id=kernel.boot_id(), idle_s=60)
        self._number = 0
        self._assigned_at: dict[tuple[int, int], float] = {}
        self._latencies: list[float] = []
        self._pool.start()
        while len(self._pool.idle()) < workers:
            self._pool.want(workers)
            self._turn()

    def close(self) -> None:
        """Send the workers home."""
        self._pool.close()
        self._clock.close()

    def rate(self, command: Command, seconds: float) -> tuple[float, float, float]:
        """Return attempts per second with all workers busy, and microseconds of processor for each.

        Those of this process and those of the workers; rates move with the machine's load, these hardly.
        """
        begun = clock.monotonic()
        own_s, workers_s = time.process_time(), self._workers_time()
        before = self._number
        while clock.monotonic() < begun + seconds:
            self._assign(command)
            self._turn()
        while self._pool.busy:
            self._turn()
        count = self._number - before
        own_us = (time.process_time() - own_s) / count * 1e6
        workers_us = (self._workers_time() - workers_s) / count * 1e6
        return count / (clock.monotonic() - begun), own_us, workers_us

    def _workers_time(self) -> float:
        ticks = 0
        for pid in self._pool.pids():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def latency(self, command: Command, times: int) -> tuple[float, float]:
        """Return median and 99th percentile of assign → start, in seconds, one attempt at a time."""
        self._latencies.clear()
        for _ in range(times):
            self._assign(command, limit=1)
            while self._pool.busy:
                self._turn()
        cuts = statistics.quantiles(self._latencies, n=100)
        return cuts[49], cuts[98]

    def _assign(self, command: Command, limit: int | None = None) -> None:
        now = clock.now_us()
        for worker in self._pool.idle()[:limit]:
            self._number += 1
            run = Run(
                self._number, 1, "bench", 1, Trigger.MANUAL, State.RUNNING, now, now, now,
                attempt=1, worker=worker,
            )  # fmt: skip
            claim = Claim(run, Definition(command, "every 1h", cwd=str(self._folder)), worker, now)
            self._assigned_at[claim.key] = clock.monotonic()
            self._pool.assign(claim)

    def _turn(self) -> None:
        ends = []
        for report in self._pool.poll():
            if isinstance(report, AttemptEnd):
                ends.append(report.key)
                assert report.exit_code == 0, report
            elif isinstance(report, AttemptStart):
                self._latencies.append(clock.monotonic() - self._assigned_at.pop(report.key))
        self._pool.acknowledge(ends)
        if not ends:
            self._clock.wait(clock.now_us() + 100_000)


def raw_rate(seconds: float, in_flight: int) -> float:
    """Return how often per second a bare loop starts and waits for the same command."""
    begun = clock.monotonic()
    running: list[subprocess.Popen[bytes]] = []
    count = 0
    while clock.monotonic() < begun + seconds:
        if len(running) == in_flight:
            running.pop(0).wait()
        running.append(subprocess.Popen(["/bin/true"], start_new_session=True, stdin=subprocess.DEVNULL))
        count += 1
    for process in running:
        process.wait()
    return count / (clock.monotonic() - begun)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--workers", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args()
    for workers in options.workers:
        with tempfile.TemporaryDirectory() as folder:
            bench = Bench(Path(folder), workers)
            for name, command in (("commands", NOOP), ("callables", FUNCTION)):
                report(bench, name, command, workers, options.seconds)
            bench.close()


def report(bench: Bench, name: str, command: Command, workers: int, seconds: float) -> None:
    """Print one line; rounds of the bare loop stand between the pool's, for a machine that is shared."""
    bench.rate(command, 0.2)
    rounds = [(raw_rate(seconds / 10, workers), bench.rate(command, seconds / 5)) for _ in range(5)]
    raw = statistics.median(raw for raw, _ in rounds)
    rate, own_us, workers_us = (
        statistics.median(values) for values in zip(*(r for _, r in rounds), strict=True)
    )
    median, tail = bench.latency(command, 300)
    print(
        f"{workers} workers, {name}: {rate:,.0f}/s = {rate / raw:.2f} of a bare loop ({raw:,.0f}/s);"
        f" processor {own_us:.0f} µs here, {workers_us:.0f} µs in the worker;"
        f" assign to started p50 {median * 1000:.2f} ms, p99 {tail * 1000:.2f} ms"
    )


if __name__ == "__main__":
    main()
