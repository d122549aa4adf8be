"""Start-up: what must not be imported (exact, always), and how long it takes (measured, slow)."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = (
    "rich",
    "urllib3",
    "croniter",
    "dateutil",
    "filelock",
    "asyncio",
    "multiprocessing",
    "pydantic",
    "importlib.metadata",
    "concurrent.futures",
)
SCHEDULES = ("cronq.schedule", "cronq.worker", "cronq.scheduler")
ROUNDS = 20


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with twenty jobs."""
    tmp_path.chmod(0o700)
    code = (
        "from cronq.cli.app import main\n"
        "for number in range(20):\n"
        "    assert main(['add', f'job-{number}', '*/5 * * * *', '-q', '--', 'true']) == 0"
    )
    run([sys.executable, "-c", code], tmp_path)
    return tmp_path


def run(command: list[str], home: Path) -> subprocess.CompletedProcess[str]:
    environ = {"HOME": str(home), "PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, env=environ, cwd=home, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done.stderr
    return done


def modules_after(home: Path, *arguments: str) -> set[str]:
    """Return the modules that a command had imported when it was done."""
    code = (
        "import os, sys\n"
        f"sys.argv = ['cronq', *{list(arguments)!r}]\n"
        "os._exit = lambda code: None\n"
        "import cronq.__main__ as door\n"
        "door.main()\n"
        "sys.stderr.write('\\n'.join(sys.modules))"
    )
    return set(run([sys.executable, "-c", code], home).stderr.splitlines())


@pytest.mark.parametrize(
    "arguments",
    [("list",), ("list", "--json"), ("ls", "-q"), ("runs",), ("--help",), ("status",), ("pause", "job-1")],
)
def test_command_imports_nothing_heavy(home: Path, arguments: tuple[str, ...]) -> None:
    modules = modules_after(home, *arguments)
    assert modules.isdisjoint(HEAVY)


@pytest.mark.parametrize("arguments", [("list",), ("list", "--json"), ("runs",), ("pause", "job-1")])
def test_command_does_not_import_schedules(home: Path, arguments: tuple[str, ...]) -> None:
    assert modules_after(home, *arguments).isdisjoint(SCHEDULES)


@pytest.mark.parametrize("arguments", [("add", "x", "@daily", "--", "true"), ("next", "0 9 * * *")])
def test_schedules_are_read_without_heavy_modules(home: Path, arguments: tuple[str, ...]) -> None:
    assert modules_after(home, *arguments).isdisjoint(HEAVY)


@pytest.mark.parametrize("arguments", [("--version",), ("__complete", "jobs", "job")])
def test_front_door_answers_without_typer_and_dataclasses(home: Path, arguments: tuple[str, ...]) -> None:
    modules = modules_after(home, *arguments)
    assert modules.isdisjoint({"typer", "dataclasses", "inspect", "pathlib", "cronq.model", *HEAVY})


def test_front_door_imports_only_sys_at_its_top() -> None:
    code = "import sys\nbefore = set(sys.modules)\nimport cronq.__main__\nprint(*(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {"cronq", "cronq.__main__"}


def test_tick_with_nothing_due_imports_nothing_heavy(home: Path) -> None:
    (home / "cronq.toml").write_text('[jobs.rare]\nschedule = "0 0 1 1 *"\nshell = "true"\n')
    modules_after(home, "tick")
    assert modules_after(home, "tick").isdisjoint({*HEAVY, *SCHEDULES, "tomllib"})


def test_help_imports_no_command(home: Path) -> None:
    modules = modules_after(home, "--help")
    commands = {
        f"cronq.cli.{name}" for name in ("add", "list", "next", "run", "set", "show", "runs", "status")
    }
    assert modules.isdisjoint(commands)


LIMITS = {
    ("--version",): 1.5,
    ("__complete", "jobs", "job"): 2.2,
    ("list",): 7.5,
    ("--help",): 6.5,
    ("show", "job-1"): 9.0,
    ("next", "0 9 * * *"): 8.5,
    ("tick",): 8.0,
}
"""Ratios to `python -c pass`: the budgets, and a margin for machines that do other things as well."""


@pytest.mark.slow
def test_start_up_keeps_within_its_budget(home: Path) -> None:
    door = home / "door.py"
    door.write_text("import sys\nfrom cronq.__main__ import main\nsys.exit(main())\n")
    commands: dict[tuple[str, ...], list[str]] = {(): [sys.executable, "-c", "pass"]}
    commands |= {arguments: [sys.executable, str(door), *arguments] for arguments in LIMITS}
    run([sys.executable, str(door), "tick"], home)  # the first one looks at the zone data
    taken: dict[tuple[str, ...], list[float]] = {arguments: [] for arguments in commands}
    for _ in range(ROUNDS):  # interleaved, so that a noisy minute hits all alike
        for arguments, command in commands.items():
            start = time.perf_counter()
            run(command, home)
            taken[arguments].append(time.perf_counter() - start)
    base = statistics.median(taken[()])
    ratios = {arguments: statistics.median(taken[arguments]) / base for arguments in LIMITS}
    too_slow = {
        arguments: round(ratio, 2) for arguments, ratio in ratios.items() if ratio > LIMITS[arguments]
    }
    assert not too_slow
