"""How soon one process starts while nothing else is going on: by the clock, and by the doorbell."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from cronq.model import SECOND
from tests.benchmarks.figures import Row, ms, quantile
from tests.benchmarks.filling import Planned, argv, fill, fill_idle, instant, now_us
from tests.benchmarks.lab import Lab, Skipped, read_stamps
from tests.benchmarks.program import Program, wait_for

RECORD = 16
EVERY_US = 230_000
LAG_P50_S, LAG_P99_S, BELL_P50_S = 0.003, 0.010, 0.015


def measure_lag(lab: Lab) -> Iterator[Row]:
    """Jobs that fall due one after another, a quarter of a second apart."""
    for others in (10, 100_000):
        late = _lags(lab, others, lab.pick(40, 200))
        p50, p99 = quantile(late, 0.5), quantile(late, 0.99)
        value = f"p50 {ms(p50)}, p99 {ms(p99)}"
        ok = p50 <= LAG_P50_S and p99 <= LAG_P99_S
        yield Row(f"lag, idle, {others:,} other jobs", "cronq", value, None, "p50 ≤ 3 ms, p99 ≤ 10 ms", ok)


def _lags(lab: Lab, others: int, count: int) -> list[float]:
    folder = lab.new_folder("lag")
    program = Program(folder)
    stamps = folder / "stamps"
    fill_idle(program.place, others)
    first = now_us() + 4 * SECOND
    dues = [first + number * EVERY_US for number in range(count)]
    stamp = lab.program("stamp")
    fill(
        program.place,
        (
            Planned(argv(stamp, str(stamps), str(number), schedule=instant(due)), due)
            for number, due in enumerate(dues)
        ),
    )
    with program.run():
        if now_us() > first - SECOND // 2:
            raise Skipped("the machine is too busy: it was ready only when the first was due")
        wait_for(stamps, count * RECORD)
    return [stamp.at_s - dues[stamp.number] / SECOND for stamp in read_stamps(stamps)]


def measure_doorbell(lab: Lab) -> Iterator[Row]:
    """`cronq trigger`: how long after its end the process starts; before it is better still."""
    folder = lab.new_folder("bell")
    program = Program(folder)
    stamps = folder / "stamps"
    fill(program.place, [Planned(argv(lab.program("stamp"), str(stamps)))])
    returned = []
    with program.run():
        for number in range(1, lab.pick(15, 60) + 1):
            time.sleep(0.05)
            program("trigger", "job-1")
            returned.append(time.time())
            _wait_soon(stamps, number * RECORD)
    late = [stamp.at_s - at for stamp, at in zip(read_stamps(stamps), returned, strict=True)]
    p50, p99 = quantile(late, 0.5), quantile(late, 0.99)
    value = f"p50 {1000 * p50:.2f} ms, p99 {1000 * p99:.2f} ms"
    yield Row("doorbell: trigger's end to start", "cronq", value, None, "p50 ≤ 15 ms", p50 <= BELL_P50_S)


def _wait_soon(path: Path, size: int) -> None:
    deadline = time.monotonic() + 30
    while not path.exists() or path.stat().st_size < size:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{path.name} does not grow")
        time.sleep(0.002)
