"""The front door in real processes: streams that are closed, full or gone, and what machines ask for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cronq import __version__
from cronq.cli._complete import database, words
from cronq.store.location import find_place, trust_project
from tests.cli.world import World

FULL = Path("/dev/full")


def shell(world: World, line: str) -> subprocess.CompletedProcess[str]:
    """Run a shell line in which `cronq` is the command under test."""
    script = f'cronq() {{ "{sys.executable}" -m cronq "$@"; }}\n{line}'
    environ = {**world.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "CRONQ_DEBUG": ""}
    return subprocess.run(
        ["/bin/bash", "-c", script],
        cwd=world.root / "work",
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )


@pytest.fixture
def jobs(world: World) -> World:
    for name in ("alpha", "beta"):
        world.run("add", name, "@daily", "--", "true")
    return world


def test_version_is_printed_without_typer(world: World) -> None:
    done = shell(world, "cronq --version")
    assert done.stdout == f"cronq {__version__}\n"


def test_version_into_full_device_fails_quietly(world: World) -> None:
    if not FULL.exists():
        pytest.skip("no /dev/full")
    done = shell(world, "cronq --version >/dev/full")
    assert (done.returncode, done.stderr) == (1, "")


def test_reader_that_leaves_ends_command_quietly(jobs: World) -> None:
    done = shell(jobs, "set -o pipefail; cronq next 'every 1s' -n 50000 | head -1 | wc -l")
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "1", "")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_stream_does_no_harm(jobs: World, closed: str) -> None:
    for command in ("list", "show alpha", "next @daily", "runs", "status", "pause alpha", "resume alpha"):
        done = shell(jobs, f"cronq {command} {closed}")
        assert (done.returncode, "Traceback" in done.stderr) == (0, False), command


def test_full_device_is_an_error(jobs: World) -> None:
    if not FULL.exists():
        pytest.skip("no /dev/full")
    done = shell(jobs, "cronq list >/dev/full")
    assert done.returncode == 1
    assert done.stderr == "error: cannot write the answer: No space left on device\n"


def test_interrupt_exits_130(jobs: World) -> None:
    done = shell(
        jobs,
        "timeout -s INT --preserve-status 2 cronq_py trigger alpha --wait".replace(
            "cronq_py", f'"{sys.executable}" -m cronq'
        ),
    )
    assert done.returncode == 130
    assert "Traceback" not in done.stderr


def test_reading_commands_create_nothing(world: World) -> None:
    for command in ("list", "runs", "status", "next @daily", "show x", "logs x", "__complete jobs ''"):
        shell(world, f"cronq {command}")
    assert [path for path in (world.root / "home").rglob("*") if path.is_file()] == []


def test_bug_is_one_line_and_a_file_for_this_user_only(jobs: World, tmp_path: Path) -> None:
    jobs.variables["TMPDIR"] = str(tmp_path)
    code = (
        "import sys, cronq.cli.app as app\n"
        "def broken(*_): raise RuntimeError('boom')\n"
        "app._invoke = broken\n"
        "sys.exit(app.main(['list']))"
    )
    done = shell(jobs, f'"{sys.executable}" -c "{code}"')
    assert done.returncode == 70
    assert done.stderr.startswith("error: this is a bug in cronq: RuntimeError: boom\nhint: ")
    (kept,) = tmp_path.glob("cronq-bug-*")
    assert kept.stat().st_mode & 0o777 == 0o600
    assert "RuntimeError: boom" in kept.read_text()


def test_complete_jobs_gives_names_with_schedules(jobs: World) -> None:
    done = shell(jobs, "cronq __complete jobs a")
    assert (done.returncode, done.stdout, done.stderr) == (0, "alpha\t@daily\n", "")


def test_complete_runs_gives_numbers(jobs: World) -> None:
    jobs.run("trigger", "alpha")
    assert list(words_in(jobs, "runs", "")) == [("1", "alpha queued")]


def test_complete_zones_ignores_case(world: World) -> None:
    assert ("Europe/Berlin", "") in words_in(world, "zones", "europe/b")


@pytest.mark.parametrize("arguments", ["", "nonsense x", "jobs", "runs"])
def test_complete_is_silent_on_trouble(world: World, arguments: str) -> None:
    database_path = find_place(None, world.environ, world.root / "work").database
    database_path.parent.mkdir(parents=True)
    database_path.write_bytes(b"no database at all" * 100)
    done = shell(world, f"cronq __complete {arguments}")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def words_in(world: World, kind: str, prefix: str) -> list[tuple[str, str]]:
    before = Path.cwd()
    os.chdir(world.root / "work")
    try:
        return list(words(kind, prefix, world.environ))
    finally:
        os.chdir(before)


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"CRONQ_DB": "here.db"},
        {"CRONQ_DB": "~/there.db"},
        {"CRONQ_DB": "/absolute/x.db"},
        {"STATE_DIRECTORY": "/var/lib/cronq:/else"},
        {"XDG_DATA_HOME": "/data"},
    ],
)
@pytest.mark.parametrize("project", [None, "work", "work/below", "home", "."])
def test_completion_finds_the_same_database_as_the_store(
    world: World, variables: dict[str, str], project: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.variables.update(variables)
    monkeypatch.setenv("HOME", str(world.root / "home"))  # expanduser asks the process
    cwd = world.root / "work" / "below"
    cwd.mkdir()
    if project is not None:
        folder = world.root / project / ".cronq"
        folder.mkdir()
        trust_project(folder.resolve(), world.environ)
    found = find_place(None, world.environ, cwd).database
    assert database(world.environ, str(cwd)) == str(found)


def test_completion_ignores_project_that_is_not_trusted(world: World) -> None:
    (world.root / "work" / ".cronq").mkdir()
    assert database(world.environ, str(world.root / "work")) is None
