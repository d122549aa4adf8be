"""Rows of the failure model that need the real program: a locked database, limits, a suspended scheduler."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.crash.program import Cronq, wait_until
from tests.crash.test_program import assert_exact
from tests.zone_files import ZONE, ZoneFiles

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="other systems have other limits")

# Of each process of the tests its own: limits count what all processes of a user have.
NOBODYS_UID = 64_123 + int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
"""Nobody else's: a limit of processes counts all that a user has."""


def under_limit(cronq: Cronq, **limits: int) -> Cronq:
    """Return the same under limits of prlimit(1)."""
    if shutil.which("prlimit") is None:
        pytest.skip("prlimit is not installed")
    options = [f"--{name}={limit}:{limit}" for name, limit in limits.items()]
    return replace(cronq, under=(*cronq.under, "prlimit", *options))


def test_row_db_locked_by_another_process(cronq: Cronq) -> None:
    cronq("add", "job", "every 1s", "--catch-up", "all", "--", "true")
    with cronq.run() as running:
        running.wait_for("attempt_finished")
        other = sqlite3.connect(cronq.database, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        notice = running.wait_for("notice")
        assert "is locked by another process" in notice["message"]
        # It still listens, and does not take the second signal's way out for the first one's.
        assert running.process.poll() is None
        other.execute("ROLLBACK")
        other.close()
        running.wait_for("notice", message="the store can be written again")
        running.wait_for("attempt_finished", outcome="success")
        running.signal(signal.SIGTERM)
        assert running.ended() == 0
    assert {run["outcome"] for run in cronq.rows("job")} == {"success"}
    assert_exact(cronq, "job", 1)


@pytest.mark.parametrize("catch_up", ["all", "latest"])
def test_row_suspend_resume_accounts_for_every_fire_time(cronq: Cronq, catch_up: str) -> None:
    cronq("add", "job", "every 1s", "--grace", "1s", "--catch-up", catch_up, "--", "true")
    with cronq.run() as running:
        running.wait_for("attempt_finished")
        running.signal(signal.SIGSTOP)
        until = time.monotonic() + 4.0
        wait_until(lambda: time.monotonic() > until, "four fire times that nobody sees")
        running.signal(signal.SIGCONT)
        running.pass_over()
        for _ in range(2):
            running.wait_for("attempt_finished", outcome="success")
        running.signal(signal.SIGTERM)
        assert running.ended() == 0
    # What was not claimed yet when it stopped is queued.
    outcomes = {run["outcome"] for run in cronq.rows("job") if run["state"] != "queued"}
    assert outcomes == ({"success"} if catch_up == "all" else {"success", "missed"})
    assert_exact(cronq, "job", 1)


def processes_of(uid: int) -> list[str]:
    """Return the processes of a user, zombies included."""
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        with suppress(OSError):
            if f"\nUid:\t{uid}\t" in status.read_text():
                found.append(status.parent.name)
    return found


def crowd(cronq: Cronq, gate: Path, runs: int) -> None:
    """Queue runs of a job that end when a gate is open, and need no further process to wait for it."""
    os.mkfifo(gate)
    gate.chmod(0o644)
    cronq("add", "job", "@yearly", "--overlap", "allow", "--shell", f": < {gate}")
    for _ in range(runs):
        cronq("trigger", "job")


@contextmanager
def open_gate(gate: Path) -> Iterator[None]:
    keeper = os.open(gate, os.O_RDWR)
    try:
        yield
    finally:
        os.close(keeper)


@linux_only
def test_row_fd_exhaustion_leaves_runs_queued_and_then_runs_them(cronq: Cronq) -> None:
    gate = cronq.home / "gate"
    crowd(cronq, gate, 14)
    few = under_limit(cronq, nofile=40)
    with few.run("--workers", "14", "--until-idle") as running:
        running.wait_for("attempt_started")
        open_files = Path(f"/proc/{running.process.pid}/fd")
        # A worker needs some six while it starts.
        wait_until(lambda: len(list(open_files.iterdir())) >= 34, "no room for more")
        states = {run["state"] for run in cronq.rows("job")}
        assert states == {"queued", "running"}
        assert "no worker can be started" in running.wait_for("notice", level="error")["message"]
        with open_gate(gate):
            assert running.ended() == 0
    assert [run["outcome"] for run in cronq.rows("job")] == ["success"] * 14
    assert {run["failures"] for run in cronq.rows("job")} == {0}


@pytest.fixture
def unprivileged() -> Iterator[Cronq]:
    """The program as a user who has nothing and may be limited."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("only root can become somebody else")
    become = ("setpriv", f"--reuid={NOBODYS_UID}", f"--regid={NOBODYS_UID}", "--clear-groups")
    home = Path(tempfile.mkdtemp(prefix="cronq-"))
    os.chown(home, NOBODYS_UID, NOBODYS_UID)
    path = os.pathsep.join(filter(None, [str(Path.cwd()), *sys.path]))
    try:
        # This Python may be in root's own home.
        for python in (sys.executable, "/usr/bin/python3"):
            cronq = Cronq(home, always={"PYTHONPATH": path}, under=become, python=python)
            argv = under_limit(cronq, core=0).argv("--version")
            if subprocess.run(argv, env=cronq.environ(), capture_output=True, check=False).returncode == 0:
                break
        else:
            pytest.skip("somebody else cannot execute this Python")
        yield cronq
    finally:
        shutil.rmtree(home)


@linux_only
def test_row_eagain_on_fork_costs_no_retry(unprivileged: Cronq) -> None:
    gate = unprivileged.home / "gate"
    # Zombies count, too, until pid 1 has waited for them: those of the test before.
    wait_until(lambda: not processes_of(NOBODYS_UID), "the end of the others")
    crowd(unprivileged, gate, 8)
    # Scheduler, resource tracker, fork server and some workers; not one command for each.
    few = under_limit(unprivileged, nproc=9)
    with few.run("--workers", "8", "--until-idle") as running:
        retried = running.wait_for("attempt_finished", outcome="failure")
        assert retried["reason"].startswith("spawn_error: EAGAIN")
        assert retried["retry_in_s"] > 0
        with open_gate(gate):
            assert running.ended() == 0
    rows = unprivileged.rows("job")
    assert [run["outcome"] for run in rows] == ["success"] * 8
    assert {run["failures"] for run in rows} == {0}
    assert max(run["attempt"] for run in rows) > 1


def test_row_job_edited_while_running_or_queued(cronq: Cronq) -> None:
    gate = cronq.home / "gate"
    line = f"until test -e {gate}; do sleep 0.05; done; echo old"
    cronq("add", "job", "@yearly", "--overlap", "queue", "--shell", line)
    cronq("trigger", "job")
    with cronq.run() as running:
        running.wait_for("attempt_started")
        cronq("trigger", "job")
        cronq("set", "job", "--", "echo", "new")
        cronq("trigger", "job")
        gate.touch()
        for _ in range(3):
            assert running.wait_for("attempt_finished")["outcome"] == "success"
    # A run that exists keeps what it was made under.
    assert [cronq("logs", str(number)) for number in (1, 2, 3)] == ["old\n", "old\n", "new\n"]


def test_row_job_deleted_while_running_or_queued(cronq: Cronq) -> None:
    gate = cronq.home / "gate"
    line = f"until test -e {gate}; do sleep 0.05; done; echo done"
    cronq("add", "job", "@yearly", "--overlap", "queue", "--shell", line)
    cronq("trigger", "job")
    with cronq.run("--until-idle") as running:
        running.wait_for("attempt_started")
        cronq("trigger", "job")
        cronq("remove", "job", "--yes")
        gate.touch()
        assert running.wait_for("attempt_finished")["outcome"] == "success"
        assert running.ended() == 0
    told = [(run["outcome"], run["reason"]) for run in cronq.rows("job")]
    assert told == [("success", None), ("skipped", "removed")]
    assert cronq("logs", "1") == "done\n"


def test_row_zone_data_changed_under_the_real_scheduler(cronq: Cronq) -> None:
    files = ZoneFiles(cronq.home / "zones")
    files.put("2099a", 0)
    cronq = replace(cronq, always={"PYTHONTZPATH": str(files.folder)})
    cronq("add", "known", "* * * * * *", "--tz", ZONE, "--", "true")
    with cronq.run() as running:
        running.wait_for("attempt_finished", job="known")
        files.put("2099b", 1)
        soon = datetime.now(UTC) + timedelta(hours=1, seconds=8)
        cronq("add", "job", f"{soon:%S %M %H} * * *", "--tz", ZONE, "--", "true")
        running.wait_for("attempt_finished", job="job", outcome="success")
        running.signal(signal.SIGTERM)
        assert running.ended() == 0
    (run,) = cronq.rows("job")
    assert run["outcome"] == "success"
    cronq("audit")
