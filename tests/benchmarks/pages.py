"""Commands that people type, on large stores: ratios to a Python that does nothing."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence

from tests.benchmarks.figures import Row, median, ms, spread
from tests.benchmarks.filling import Planned, argv, fill, fill_history, fill_idle
from tests.benchmarks.lab import ROOT, Lab, Skipped
from tests.benchmarks.program import Program

TIMES_PASS = 8.0
BUDGETS = {
    ("--version",): 1.3,
    ("__complete", "jobs", "job"): 2.0,
    ("list",): 6.5,
    ("show", "job-1"): 6.5,
    ("pause", "job-1"): 6.5,
    ("next", "0 9 * * *"): 8.0,
    ("--help",): 6.5,
}
"""Ratios to `python -c pass`."""
APPLY_S, BLOCKED_MS = 10.0, 100.0


def measure_start_up(lab: Lab) -> Iterator[Row]:
    """Short commands on twenty jobs."""
    program = Program(lab.new_folder("start-up"))
    fill(program.place, (Planned(argv("/bin/true")) for _ in range(20)))
    yield from _ratios(lab, "start-up", program, list(BUDGETS), list(BUDGETS.values()))


def measure_pages(lab: Lab) -> Iterator[Row]:
    """First pages of a long list and of a long history."""
    jobs, runs = lab.pick(100_000, 1_000_000), lab.pick(200_000, 10_000_000)
    program = Program(lab.new_folder("pages"))
    fill_idle(program.place, jobs)
    yield from _ratios(lab, f"{jobs:,} jobs", program, [("list", "-n", "20")], [TIMES_PASS])
    program = Program(lab.new_folder("history"))
    fill(program.place, (Planned(argv("/bin/true")) for _ in range(100)))
    fill_history(program.place, runs, 100)
    asked = [("runs", "-n", "20"), ("runs", "job-7", "-n", "20"), ("list",), ("show", "job-7")]
    yield from _ratios(lab, f"{runs:,} runs", program, asked, [TIMES_PASS] * 4)


def measure_apply(lab: Lab) -> Iterator[Row]:
    """Many jobs from one file."""
    jobs = lab.pick(5_000, 100_000)
    program = Program(lab.new_folder("apply"))
    file = program.folder / "cronq.toml"
    file.write_text(
        "".join(
            f"[jobs.job-{number}]\nschedule = '{number % 60} * * * *'\ncommand = ['/bin/true']\n\n"
            for number in range(jobs)
        )
    )
    began = time.monotonic()
    try:
        program("apply", str(file))
    except subprocess.CalledProcessError as error:
        raise Skipped(error.stderr.strip().splitlines()[0]) from error
    took, bound = time.monotonic() - began, APPLY_S * jobs / 100_000
    yield Row(f"apply, {jobs:,} new jobs", "cronq", f"{took:.1f} s", None, f"≤ {bound:.1f} s", took <= bound)


def measure_prune(lab: Lab) -> Iterator[Row]:
    """Removing many runs while a scheduler works: how long one of its transactions waits."""
    runs = lab.pick(50_000, 1_000_000)
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.retention", str(runs)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    longest = {kind: float(found) for kind, found in re.findall(r"(\w+): .*longest ([\d.]+) ms", done.stdout)}
    ok = longest["beside"] <= BLOCKED_MS
    value = f"waits {longest['beside']:.0f} ms at most; alone {longest['alone']:.0f} ms"
    yield Row(f"prune, {runs:,} runs", "cronq: scheduler", value, None, "≤ 100 ms", ok)


def _ratios(
    lab: Lab, measure: str, program: Program, asked: Sequence[tuple[str, ...]], bounds: Sequence[float]
) -> Iterator[Row]:
    commands: dict[str, Callable[[], None]] = {"": lambda: _run(program, [sys.executable, "-c", "pass"])}
    for arguments in asked:
        argv_ = [
            sys.executable,
            "-c",
            "import sys; from cronq.__main__ import main; sys.exit(main())",
            *arguments,
        ]
        commands[" ".join(arguments)] = lambda argv_=argv_: _run(program, argv_)  # type: ignore[misc]
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(lab.pick(7, 21)):
        for name, command in commands.items():
            began = time.perf_counter()
            command()
            taken[name].append(time.perf_counter() - began)
    base = median(taken.pop(""))
    for (name, values), bound in zip(taken.items(), bounds, strict=True):
        ratio = median(values) / base
        value = f"{ms(median(values))}{spread(values)}"
        yield Row(measure, name, value, ratio, f"≤ {bound} × python -c pass", ratio <= bound)


def _run(program: Program, command: list[str]) -> None:
    done = subprocess.run(command, env=program.environ(), capture_output=True, cwd=program.folder)
    if done.returncode:
        raise Skipped(done.stderr.decode().strip())
