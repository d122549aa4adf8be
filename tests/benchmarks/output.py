"""A job that writes as fast as it can, beside the same command redirected by a shell."""

from __future__ import annotations

import sqlite3
import subprocess
import time
from collections.abc import Iterator

from tests.benchmarks.figures import Row, median, spread
from tests.benchmarks.filling import Planned, argv, fill, fill_queue
from tests.benchmarks.lab import Lab
from tests.benchmarks.program import Program

SHARE_OF_SHELL = 0.9


def measure_output(lab: Lab) -> Iterator[Row]:
    """With all of the output kept, and with its head and tail alone, which is the default."""
    size = lab.pick(200, 2_000) * 1_000_000
    found: dict[str, list[float]] = {"shell redirection": [], "cronq, all kept": [], "cronq, cut": []}
    for _ in range(lab.rounds):
        found["shell redirection"].append(_shell(lab, size))
        found["cronq, all kept"].append(_cronq(lab, size, None))
        found["cronq, cut"].append(_cronq(lab, size, 64 * 1024 * 1024))
    base = median(found["shell redirection"])
    for name, values in found.items():
        ratio = median(values) / base
        value = f"{median(values) / 1e6:,.0f} MB/s{spread(values)}"
        target, ok = ("≥ 0.9 of the shell", ratio >= SHARE_OF_SHELL) if "cronq" in name else ("", None)
        yield Row(f"output, {size // 1_000_000:,} MB", name, value, ratio, target, ok)


def _shell(lab: Lab, size: int) -> float:
    path = lab.new_folder("shell") / "output"
    began = time.monotonic()
    subprocess.run(["sh", "-c", f"head -c {size} /dev/zero > {path}"], check=True)
    took = time.monotonic() - began
    path.unlink()
    return size / took


def _cronq(lab: Lab, size: int, kept: int | None) -> float:
    program = Program(lab.new_folder("output"))
    fill(program.place, [Planned(argv("head", "-c", str(size), "/dev/zero", max_output=kept))])
    fill_queue(program.place, 1)
    with program.run("--workers", "1", "--until-idle") as running:
        running.wait()
    database = sqlite3.connect(program.place.database)
    (took,) = database.execute("SELECT duration_s FROM attempt WHERE outcome = 'success'").fetchone()
    database.close()
    program.place.log_file(1, 1).unlink()
    return size / float(took)
