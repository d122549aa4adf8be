"""Whole trees die: what a job forks, hides and lets ignore TERM ends with it, in time, without zombies."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cronq.worker.cgroups import groups_of
from cronq.worker.supervision import GIVE_UP_S, LEFTOVER_GRACE_S
from tests.crash.program import Cronq, Running, descendants, is_alive, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs a sub-reaper and /proc")

KILL_AFTER_S = 0.5
BOUND_S = KILL_AFTER_S + LEFTOVER_GRACE_S + GIVE_UP_S
"""The longest that the ladder may take, when the machine is not slow."""
SLACK_S = 5.0

FAMILY = """
import os, signal, sys, time

signal.signal(signal.SIGTERM, signal.SIG_IGN)  # and so do all below

def tell(who):
    with open(sys.argv[1], "a") as file:
        file.write(f"{who} {os.getpid()}\\n")

def fork(who, *, session=False, twice=False, closes=False):
    if os.fork():
        return
    if session:
        os.setsid()
    if twice and os.fork():
        os._exit(0)
    if closes:
        os.closerange(0, 256)
    tell(who)
    time.sleep(300)

fork("child")
fork("session", session=True)
fork("daemon", session=True, twice=True)
fork("hidden", session=True, twice=True, closes=True)
if os.fork() == 0:
    fork("grandchild")  # holds the output
    os._exit(0)
tell("command")
if sys.argv[2] == "waits":
    time.sleep(300)
while len(open(sys.argv[1]).readlines()) < 6:
    time.sleep(0.01)
"""


class Family:
    """A job with relatives of every kind, who tell their pids in a file."""

    def __init__(self, cronq: Cronq, folder: Path, how: str, *options: str) -> None:
        self._file = folder / "family"
        program = folder / "family.py"
        program.write_text(FAMILY)
        options = ("--kill-after", f"{KILL_AFTER_S * 1000:.0f}ms", *options)
        command = (sys.executable, str(program), str(self._file), how)
        cronq("add", "family", "@yearly", *options, "--", *command)
        cronq("trigger", "family")

    def pids(self) -> dict[str, int]:
        wait_until(
            lambda: self._file.exists() and len(self._file.read_text().splitlines()) == 6, "the family"
        )
        return {who: int(pid) for who, pid in (line.split() for line in self._file.read_text().splitlines())}


def assert_nothing_is_left(running: Running, family: Family) -> None:
    assert [who for who, pid in family.pids().items() if is_alive(pid)] == []
    wait_until(lambda: not zombies(running), "the last zombie to be waited for")


def zombies(running: Running) -> list[int]:
    return [
        pid for pid in descendants(running.process.pid) if Path(f"/proc/{pid}").exists() and not is_alive(pid)
    ]


def test_row_job_forks_a_daemon_and_cancel_ends_all_of_it(cronq: Cronq, tmp_path: Path) -> None:
    family = Family(cronq, tmp_path, "waits")
    with cronq.run() as running:
        run_id = running.wait_for("attempt_started")["run_id"]
        family.pids()
        began = time.monotonic()
        cronq("cancel", str(run_id))
        finished = running.wait_for("attempt_finished")
        assert time.monotonic() - began < BOUND_S + SLACK_S
        assert (finished["outcome"], finished["signal"]) == ("cancelled", signal.SIGKILL)
        assert_nothing_is_left(running, family)


def test_row_job_forks_a_daemon_and_its_time_limit_ends_all_of_it(cronq: Cronq, tmp_path: Path) -> None:
    family = Family(cronq, tmp_path, "waits", "--timeout", "2s")
    with cronq.run() as running:
        running.wait_for("attempt_started")
        began = time.monotonic()
        finished = running.wait_for("attempt_finished")
        assert time.monotonic() - began < 2 + BOUND_S + SLACK_S
        assert (finished["outcome"], finished["reason"]) == ("timeout", "timeout 2s")
        assert_nothing_is_left(running, family)


def test_row_job_forks_a_daemon_and_its_own_end_is_that_of_all(cronq: Cronq, tmp_path: Path) -> None:
    family = Family(cronq, tmp_path, "ends")
    with cronq.run() as running:
        finished = running.wait_for("attempt_finished")
        assert (finished["outcome"], finished["exit_code"]) == ("success", 0)
        assert finished["duration_s"] < 10
        assert_nothing_is_left(running, family)


def test_row_sigterm_once_and_a_drain_that_is_over_ends_all_of_it(cronq: Cronq, tmp_path: Path) -> None:
    family = Family(cronq, tmp_path, "waits")
    with cronq.run("--drain", "500ms") as running:
        running.wait_for("attempt_started")
        pids = family.pids()
        running.signal(signal.SIGTERM)
        began = time.monotonic()
        finished = running.wait_for("attempt_finished")
        assert (finished["outcome"], finished["reason"]) == ("cancelled", "shutdown")
        assert running.ended() == 0
        assert time.monotonic() - began < 0.5 + BOUND_S + SLACK_S
    assert [who for who, pid in pids.items() if is_alive(pid)] == []


def test_row_worker_kill_9_and_cancel_still_ends_all_of_it(cronq: Cronq, tmp_path: Path) -> None:
    family = Family(cronq, tmp_path, "waits")
    with cronq.run() as running:
        started = running.wait_for("attempt_started")
        family.pids()
        worker = next(pid for pid in running.workers() if started["pid"] in descendants(pid))
        os.kill(worker, signal.SIGKILL)
        running.wait_for("worker_lost", run_id=started["run_id"])
        began = time.monotonic()
        cronq("cancel", str(started["run_id"]))
        finished = running.wait_for("attempt_finished")
        assert time.monotonic() - began < BOUND_S + SLACK_S
        assert (finished["outcome"], finished["signal"]) == ("cancelled", signal.SIGKILL)
        assert_nothing_is_left(running, family)


@pytest.fixture
def freezer() -> Iterator[Path]:
    """A control group of version 1 in which processes cannot even die."""
    for group in groups_of():
        if group.controllers == "freezer":
            made = group.folder / f"cronq-test-{os.getpid()}"
            with contextlib.suppress(OSError):
                made.mkdir()
                break
    else:
        pytest.skip("needs the freezer of version 1 of control groups, and root")
    yield made
    (made / "freezer.state").write_text("THAWED")
    wait_until(lambda: not (made / "cgroup.procs").read_text(), "the group to be empty")
    made.rmdir()


def test_what_survives_even_kill_is_named_and_not_waited_for(
    cronq: Cronq, tmp_path: Path, freezer: Path
) -> None:
    family = Family(cronq, tmp_path, "waits")
    with cronq.run() as running:
        run_id = running.wait_for("attempt_started")["run_id"]
        daemon = family.pids()["daemon"]
        (freezer / "cgroup.procs").write_text(str(daemon))
        (freezer / "freezer.state").write_text("FROZEN")
        began = time.monotonic()
        cronq("cancel", str(run_id))
        finished = running.wait_for("attempt_finished")
        assert finished["outcome"] == "cancelled"
        assert GIVE_UP_S < time.monotonic() - began < BOUND_S + SLACK_S
        message = running.wait_for("notice")["message"]
        assert message.startswith(f"family #{run_id}: process {daemon} python")
        assert message.endswith(" survived KILL")
        assert [who for who, pid in family.pids().items() if is_alive(pid)] == ["daemon"]
        (freezer / "freezer.state").write_text("THAWED")
        wait_until(lambda: not is_alive(daemon), "KILL to do its work")
        assert_nothing_is_left(running, family)
