"""What cronq costs while it has little or nothing to do: wake-ups, memory, and how soon it is ready."""

from __future__ import annotations

import time
from collections.abc import Iterator

from tests.benchmarks.figures import Row, mb, median, ms, spread
from tests.benchmarks.filling import Planned, argv, fill, fill_idle, fill_queue
from tests.benchmarks.lab import Lab, Skipped
from tests.benchmarks.program import (
    BOUND_S,
    Program,
    Running,
    memory,
    processor_s,
    switches,
    wait_until,
)
from tests.crash.program import descendants

RESIDENT = {10: 40e6, 1_000: 40e6, 100_000: 60e6, 1_000_000: 60e6}
READY_S = {1_000: 0.4, 1_000_000: 1.0}
LONG_PRIVATE = 2.5e6


def measure_idle(lab: Lab) -> Iterator[Row]:
    """Scheduler, fork server and worker, with the next job due in an hour or later."""
    for jobs in (10, 1_000, 100_000, 1_000_000)[: lab.pick(3, 4)]:
        program = Program(lab.new_folder("idle"))
        fill_idle(program.place, jobs)
        ready = []
        for _ in range(lab.rounds):
            with program.run() as running:
                ready.append(running.ready_s)
        yield _ready(jobs, ready)
        with program.run(ready=False) as running:
            wait_until(lambda running=running: running.workers(), BOUND_S)  # type: ignore[misc]
            time.sleep(1.5)
            yield from _idle(lab, jobs, running)


def _ready(jobs: int, ready: list[float]) -> Row:
    bound = READY_S.get(jobs)
    target, ok = ("", None) if bound is None else (f"≤ {bound} s", median(ready) <= bound)
    return Row(f"ready, {jobs:,} jobs", "cronq", f"{ms(median(ready))}{spread(ready)}", None, target, ok)


def _idle(lab: Lab, jobs: int, running: Running) -> Iterator[Row]:
    pids = [running.pid, *running.helpers()]
    seconds = lab.pick(5, 20)
    before = sum(switches(pid) for pid in pids)
    time.sleep(seconds)
    rate = (sum(switches(pid) for pid in pids) - before) / seconds
    yield Row(f"idle, {jobs:,} jobs", "cronq: wake-ups", f"{rate:.2f}/s", None, "0/s", rate < 0.1)
    resident, private = memory(running.pid)
    value = f"{mb(resident)} resident, {mb(private)} own"
    limit = RESIDENT[jobs]
    yield Row(f"idle, {jobs:,} jobs", "cronq: scheduler", value, None, f"≤ {mb(limit)}", resident <= limit)
    others = sum(memory(pid)[1] for pid in pids[1:])
    yield Row(f"idle, {jobs:,} jobs", "cronq: its helpers", f"{len(pids) - 1} processes, {mb(others)} own")


def measure_long_jobs(lab: Lab) -> Iterator[Row]:
    """Many jobs that run for long, all at once."""
    count = lab.pick(60, 500)
    program = Program(lab.new_folder("long"))
    fill(program.place, [Planned(argv("/bin/sleep", "1000"))])
    fill_queue(program.place, count)
    with program.run("--workers", str(count), "--drain", "0s") as running:
        began = time.monotonic()
        wait_until(lambda: _sleeping(running) >= count, BOUND_S)
        took = time.monotonic() - began
        time.sleep(2)
        workers = running.workers()
        each = sum(memory(pid)[1] for pid in workers) / len(workers)
        pids = [running.pid, *running.helpers()]
        before_s, before = sum(map(processor_s, pids)), sum(map(switches, pids))
        time.sleep(5)
        used = (sum(map(processor_s, pids)) - before_s) / 5
        rate = (sum(map(switches, pids)) - before) / 5
        measure = f"{count} long jobs"
        yield Row(measure, "cronq: all started", f"after {took:.1f} s")
        yield Row(measure, "cronq: each worker", f"{mb(each)} own", None, "≤ 2.5 MB", each <= LONG_PRIVATE)
        value = f"{used:.1%} of a processor, {rate:.1f} wake-ups/s"
        yield Row(measure, "cronq: at rest", value, None, "≤ 1 % of a processor", used < 0.01)


def _sleeping(running: Running) -> int:
    """Return how many commands are there: what lies below the workers."""
    if running.process.poll() is not None:
        raise Skipped("cronq run ended")
    return len(descendants(running.pid)) - len(running.workers()) - 2
