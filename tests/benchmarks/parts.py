"""Single floors, without the others: the pool of workers without a ledger; schedules beside their peers."""

from __future__ import annotations

from collections.abc import Iterator

from tests.benchmarks.figures import Row, median, ms, per_second
from tests.benchmarks.lab import Lab, Skipped
from tests.benchmarks.pool_rate import FUNCTION, NOOP, Bench, raw_rate

WORKERS = 4
TIMES_CRONITER = 10.0


def measure_pool(lab: Lab) -> Iterator[Row]:
    """Claims straight to the pool, whose ends are acknowledged at once."""
    bench = Bench(lab.new_folder("pool"), WORKERS)
    seconds = lab.pick(1, 3) / 3
    for name, command in (("commands", NOOP), ("callables", FUNCTION)):
        bench.rate(command, 0.2)
        rounds = [(raw_rate(seconds, WORKERS), bench.rate(command, seconds)) for _ in range(lab.rounds)]
        raw = median([found for found, _ in rounds])
        rates = [rate for _, (rate, _, _) in rounds]
        own_us, workers_us = (median([found[place] for _, found in rounds]) for place in (1, 2))
        measure = f"pool alone, {name}"
        yield Row(measure, "cronq", per_second(rates), median(rates) / raw, "(of Popen in a loop)")
        yield Row(measure, "cronq: processor", f"{own_us:.0f} µs here, {workers_us:.0f} µs in the worker")
        p50, p99 = bench.latency(command, 200)
        yield Row(measure, "cronq: assign to start", f"p50 {ms(p50)}, p99 {ms(p99)}")
    bench.close()


def measure_schedules(lab: Lab) -> Iterator[Row]:
    """The next fire time from random instants; `tests.benchmarks.schedule.peers` asks more."""
    try:
        from tests.benchmarks.schedule.peers import EXPRESSIONS, next_row
    except ModuleNotFoundError as error:
        raise Skipped(f"{error.name} is not installed") from error
    for expression in EXPRESSIONS:
        row = next_row(expression, "America/New_York", rounds=lab.pick(5, 15))
        ratio = row.croniter / row.cronq
        value = f"{row.cronq:.1f} µs; croniter {row.croniter:.1f}, cronsim {row.cronsim:.1f}"
        target = f"≥ {TIMES_CRONITER:.0f} × croniter"
        yield Row("next fire time", f"cronq: {expression}", value, ratio, target, ratio >= TIMES_CRONITER)
