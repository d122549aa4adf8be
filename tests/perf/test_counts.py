"""What a run costs, in counts that no machine changes: statements, commits, wake-ups, system calls, modules.

Each bound is the present count and a little more. A change that needs more raises the bound, and says why;
one that needs less lowers it, so that nobody gives away again what was won.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cronq.model import Command, CommandKind, Micros
from tests.benchmarks.filling import Planned, argv, fill, fill_queue, place_in
from tests.perf.test_start_up import modules_after, run
from tests.simulation.world import Played, World, utc

RUNS = 100


class Counted:
    """What one scheduler did in a world: statements by their first word, and how often it woke up."""

    def __init__(self, world: World) -> None:
        self.statements = 0
        self.commits = 0
        self.wake_ups = 0
        self._world = world
        self._wait = world.clock.wait

    def note(self, statement: str) -> None:
        self.statements += 1
        self.commits += statement == "COMMIT"

    def wait(self, until: Micros | None) -> set[int]:
        self.wake_ups += 1
        return self._wait(until)


@contextmanager
def counted(world: World) -> Iterator[Counted]:
    found = Counted(world)
    world.clock.wait = found.wait  # type: ignore[method-assign]
    world.database.set_trace_callback(found.note)
    yield found
    world.database.set_trace_callback(None)


def world_at(folder: Path, text: str) -> World:
    return World(folder, utc(text), slots=32, play=lambda _claim: Played(0.01))


def test_statements_and_commits_of_a_run_that_is_alone(tmp_path: Path) -> None:
    world = world_at(tmp_path, "2026-05-03T11:59:59")
    for number in range(RUNS):
        world.add(f"job-{number}", f"at 2026-05-03T12:{number // 60:02d}:{number % 60:02d}Z")
    with counted(world) as found:
        world.run_until(utc("2026-05-03T12:10:00"))
    assert len(world.workers.starts) == RUNS
    # Launch and claim, then the result: two transactions, of 23 statements with the looks before and after.
    assert found.commits <= 2.1 * RUNS
    assert found.statements <= 24 * RUNS
    # It falls due; it ends.
    assert found.wake_ups <= 2.2 * RUNS


def test_statements_and_commits_of_a_run_in_a_herd(tmp_path: Path) -> None:
    world = world_at(tmp_path, "2026-05-03T11:59:30")
    for number in range(RUNS):
        world.add(f"job-{number}", "at 2026-05-03T12:00Z")
    with counted(world) as found:
        world.run_until(utc("2026-05-03T12:01:00"))
    assert len(world.workers.starts) == RUNS
    # One launch for all; here each ends at an instant of its own, together with the next claim.
    assert found.commits <= 1.1 * RUNS
    assert found.statements <= 18.5 * RUNS
    assert found.wake_ups <= 1.1 * RUNS


def test_wake_ups_of_an_idle_hour(tmp_path: Path) -> None:
    world = world_at(tmp_path, "2026-05-03T12:00:00")
    for number in range(RUNS):
        world.add(f"job-{number}", "at 2026-05-03T15:00Z")
    with counted(world) as found:
        world.run_until(utc("2026-05-03T13:00:00"))
    # One look a minute, for changes that nobody rang the bell for; 5 statements each, and none writes.
    assert found.wake_ups <= 62
    assert found.statements <= 6 * 62
    assert found.commits <= 4


# What each command imports of cronq itself: the count, and room for two or three more.
MODULES = {
    ("--version",): 2,
    ("__complete", "jobs", "job"): 4,
    ("list",): 44,
    ("show", "job-1"): 70,
    ("add", "x", "@daily", "-q", "--", "true"): 78,
    ("next", "0 9 * * *"): 58,
    ("--help",): 20,
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    tmp_path.chmod(0o700)
    code = "from cronq.cli.app import main; main(['add', 'job-1', '*/5 * * * *', '-q', '--', 'true'])"
    run([sys.executable, "-c", code], tmp_path)
    return tmp_path


@pytest.mark.parametrize("arguments", MODULES, ids=lambda arguments: arguments[0].strip("_-"))
def test_modules_that_a_command_imports(home: Path, arguments: tuple[str, ...]) -> None:
    found = sorted(name for name in modules_after(home, *arguments) if name.split(".")[0] == "cronq")
    assert len(found) <= MODULES[arguments], found


TICK_MODULES = 56
"""Of `cronq tick` with nothing due: no schedule, no scheduler, no worker."""


@pytest.mark.parametrize("jobs", [1, 200])
def test_modules_that_a_tick_with_nothing_due_imports(home: Path, jobs: int) -> None:
    text = "".join(f'[jobs.job-{n}]\nschedule = "0 0 1 1 *"\nshell = "true"\n' for n in range(jobs))
    (home / "cronq.toml").write_text(text)
    modules_after(home, "tick")
    found = sorted(name for name in modules_after(home, "tick") if name.split(".")[0] == "cronq")
    assert len(found) <= TICK_MODULES, found


# System calls: a short run and a longer one of the real program, so that what starting costs falls out.
FEW, MANY = 10, 70


def can_trace() -> bool:
    strace = shutil.which("strace")
    return strace is not None and subprocess.run([strace, "-qq", "true"], capture_output=True).returncode == 0


# Signals are libc's matter (posix_spawn asks for each of them in the child: 120), and memory the allocator's.
NOT_OURS = re.compile(r"rt_sig\w+|brk|mmap|munmap|mprotect|mremap|madvise|futex")


def system_calls(folder: Path, count: int, *, python: bool) -> tuple[int, int]:
    """Return how many system calls it takes to start, execute so many runs, and end; those of the job too.

    And how many of them wait for the disk: the commits.

    Without those that depend on the C library and on how full a page happens to be.
    """
    folder.mkdir(mode=0o700)
    place = place_in(folder)
    definition = argv("/bin/true", cwd=str(folder))
    if python:
        definition = definition._replace(command=Command(CommandKind.PYTHON, ("os:getpid",)))
    fill(place, [Planned(definition)])
    fill_queue(place, count)
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(Path(__file__).parents[2])}
    calls = folder / "calls"
    command = [sys.executable, "-m", "cronq", "run", "--workers", "1", "--until-idle"]
    subprocess.run(
        ["strace", "-f", "-c", "-o", str(calls), *command],
        env={**environ, "CRONQ_DB": str(place.database)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
        timeout=120,
    )
    rows = [line.split() for line in calls.read_text().splitlines()]
    counts = {
        row[-1]: int(row[3]) for row in rows if len(row) >= 5 and row[3].isdigit() and row[-1] != "total"
    }
    assert {"read", "write", "pwrite64", "fdatasync"} <= set(counts), counts
    ours = sum(number for name, number in counts.items() if not NOT_OURS.fullmatch(name))
    return ours, counts["fdatasync"]


@pytest.mark.skipif(not can_trace(), reason="strace is not installed, or may not trace here")
@pytest.mark.parametrize(("python", "bound"), [(False, 140), (True, 86)], ids=["command", "callable"])
def test_system_calls_of_a_run(tmp_path: Path, python: bool, bound: int) -> None:
    few, few_commits = system_calls(tmp_path / "few", FEW, python=python)
    many, many_commits = system_calls(tmp_path / "many", MANY, python=python)
    calls = (many - few) / (MANY - FEW)
    commits = (many_commits - few_commits) / (MANY - FEW)
    # One worker, so that nothing depends on which of two was faster: 131 for `/bin/true`, of which about 20
    # are its own and its loader's; 78 for a function. That is with one commit a run; where the worker is through
    # before the next claim is, as on a busy machine, there are up to two, each of which takes some 27 calls.
    assert commits <= 2.1
    assert calls - 27 * (commits - 1) <= bound
