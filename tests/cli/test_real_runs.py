"""The commands that need a scheduler, or a process, with real ones."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.world import World

ROOT = Path(__file__).parents[2]


def cronq(world: World, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cronq", *arguments],
        cwd=world.root / "work",
        env={**world.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )


@pytest.fixture
def scheduler(world: World) -> Iterator[World]:
    """A machine on which a scheduler runs."""
    process = subprocess.Popen(
        [sys.executable, "-m", "cronq", "run", "--log-format", "json"],
        cwd=world.root / "work",
        env={**world.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["event"] == "scheduler_started"
    yield world
    process.send_signal(signal.SIGTERM)
    process.stdout.read()
    process.stdout.close()
    assert process.wait(60) == 0


def add(world: World, name: str, line: str, *options: str) -> None:
    assert cronq(world, "add", name, "@yearly", *options, "--shell", line).returncode == 0


def test_trigger_wait_tells_success_from_failure(scheduler: World) -> None:
    add(scheduler, "good", "echo hi")
    add(scheduler, "bad", "exit 7")
    good = cronq(scheduler, "trigger", "good", "--wait")
    assert (good.returncode, good.stdout) == (0, "queued good #1\ngood #1  ok\n")
    bad = cronq(scheduler, "trigger", "bad", "--wait", "--json")
    assert bad.returncode == 1
    assert json.loads(bad.stdout)["runs"][0]["exit_code"] == 7
    assert cronq(scheduler, "retry", "1", "--wait", "-q").returncode == 0


def test_logs_follow_a_run_to_its_end(scheduler: World) -> None:
    add(scheduler, "slow", "for i in 1 2 3; do echo $i; sleep 0.2; done")
    cronq(scheduler, "trigger", "slow")
    assert cronq(scheduler, "logs", "slow", "-f").stdout == "1\n2\n3\n"


def test_cancel_stops_a_running_command(scheduler: World) -> None:
    add(scheduler, "long", "echo started; exec sleep 60")
    run = cronq(scheduler, "trigger", "long", "-q").stdout.strip()
    with subprocess.Popen(
        [sys.executable, "-m", "cronq", "logs", "long", "-f"],
        cwd=scheduler.root / "work",
        env={**scheduler.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    ) as following:
        assert following.stdout is not None
        assert following.stdout.readline() == "started\n"
        assert cronq(scheduler, "cancel", run).stdout == f"stopping long #{run}\n"
        assert following.wait(30) == 0
    shown = json.loads(cronq(scheduler, "runs", "long", "--json").stdout)
    assert shown["runs"][0]["outcome"] == "cancelled"


def test_status_names_the_scheduler_and_a_second_one_is_refused(scheduler: World) -> None:
    status = json.loads(cronq(scheduler, "status", "--check", "--json").stdout)
    assert status["scheduler"]["running"] is True
    assert status["scheduler"]["pid"] != os.getpid()
    assert cronq(scheduler, "status", "--check").returncode == 0
    second = cronq(scheduler, "run")
    assert second.returncode == 4
    assert second.stderr.startswith("error: a scheduler already runs for this database\n  pid ")


def test_changes_are_not_followed_by_the_hint_while_a_scheduler_runs(scheduler: World) -> None:
    done = cronq(scheduler, "add", "x", "@yearly", "--", "true")
    assert "no scheduler is running" not in done.stderr


@pytest.mark.parametrize(
    ("line", "code"), [("exit 0", 0), ("exit 3", 3), ("kill -9 $$", 137), ("no-such-thing", 127)]
)
def test_exec_returns_what_the_command_returns(world: World, line: str, code: int) -> None:
    add(world, "job", line)
    assert cronq(world, "exec", "job").returncode == code


def test_exec_shows_output_and_uses_the_recorded_environment(world: World) -> None:
    add(world, "job", 'echo "$A $CRONQ_JOB $PWD $SECRET"', "--env", "A=1")
    world.variables["SECRET"] = "leaked"
    assert cronq(world, "exec", "job").stdout == f"1 job {world.root / 'work'} \n"


def test_exec_of_a_missing_program_is_127(world: World) -> None:
    assert cronq(world, "add", "job", "@yearly", "--no-check", "--", "no-such-program").returncode == 0
    assert cronq(world, "exec", "job").returncode == 127
    assert cronq(world, "exec", "jbo").returncode == 3


def test_twenty_first_adds_at_once_all_succeed(world: World) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "cronq", "add", f"job-{number}", "@daily", "-q", "--", "true"],
            cwd=world.root / "work",
            env={**world.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(20)
    ]
    errors = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * 20, errors
    assert len(cronq(world, "list", "-q").stdout.splitlines()) == 20


def test_reading_works_where_nothing_can_be_written(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.run("add", "job", "@daily", "--", "true")
    real = os.access
    # As root every file can be written, so the question itself is answered with no.
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK and real(path, mode))
    for command in ("list", "show job", "runs", "status", "next job", "list --json"):
        assert world.run(*command.split()).code == 0, command
    for command in ("pause job", "set job @hourly", "remove job", "trigger job", "add x @daily -- true"):
        answer = world.run(*command.split())
        assert answer.code == 5, command
        assert "permission denied" in answer.err
