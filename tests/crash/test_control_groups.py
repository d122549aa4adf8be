"""Control groups, where delegated: what left its job in every other way is still found by its group."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cronq.store.location import Place
from cronq.worker.cgroups import WorkerGroups, groups_of
from tests.crash.program import Cronq, Running, descendants, is_alive, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="control groups are Linux's")

DAEMON = """
import os, sys
if os.fork():
    os._exit(0)
os.setsid()
if os.fork():
    os._exit(0)
with open(sys.argv[1] + ".new", "w") as file:
    file.write(str(os.getpid()))
os.rename(sys.argv[1] + ".new", sys.argv[1])
os.closerange(0, 256)
os.execve("/bin/sleep", ["sleep", "300"], {})
"""


def make_group() -> Path:
    for group in groups_of():
        if not group.controllers:
            made = group.folder / f"cronq-test-{os.getpid()}"
            with contextlib.suppress(OSError):
                made.mkdir()
                return made
    pytest.skip("needs a control group of version 2 that this user may divide")


@pytest.fixture
def group() -> Iterator[Path]:
    made = make_group()
    yield made
    (made / "cgroup.kill").write_text("1")
    wait_until(lambda: "populated 0" in (made / "cgroup.events").read_text(), "the group to be empty")
    for below in made.glob("*/"):
        below.rmdir()
    made.rmdir()


@pytest.fixture
def delegated(group: Path) -> Path:
    try:
        os.setxattr(group, "trusted.delegate", b"1")
    except OSError as error:
        pytest.skip(f"needs extended attributes on control groups: {error}")
    return group


@contextlib.contextmanager
def scheduler_in(group: Path, cronq: Cronq) -> Iterator[Running]:
    argv = cronq.argv("run", "--log-format", "json")
    line = 'echo $$ > "$0" && exec "$@"'
    running = Running(["/bin/sh", "-c", line, str(group / "cgroup.procs"), *argv], cronq.environ())
    try:
        yield running
    finally:
        running.destroy()


def folders(group: Path) -> list[str]:
    return sorted(path.name for path in group.glob("cronq-*/"))


def test_each_worker_has_a_group_which_goes_with_it(cronq: Cronq, delegated: Path) -> None:
    cronq("add", "job", "@yearly", "--", "cat", "/proc/self/cgroup")
    cronq("trigger", "job")
    with scheduler_in(delegated, cronq) as running:
        running.wait_for("attempt_finished", outcome="success")
        groups = folders(delegated)
        assert any(f"0::/{delegated.name}/{name}" in cronq("logs", "job") for name in groups)
        assert str(running.process.pid) in (delegated / "cgroup.procs").read_text().split()
        running.signal(signal.SIGTERM)
        assert running.ended() == 0
    assert folders(delegated) == []


def test_a_group_that_is_not_delegated_is_left_alone(cronq: Cronq, group: Path) -> None:
    cronq("add", "job", "@yearly", "--", "true")
    cronq("trigger", "job")
    with scheduler_in(group, cronq) as running:
        running.wait_for("attempt_finished", outcome="success")
        assert folders(group) == []


def test_row_job_forks_a_daemon_that_hides_and_scheduler_worker_and_command_are_killed(
    cronq: Cronq, delegated: Path, tmp_path: Path
) -> None:
    (tmp_path / "daemon.py").write_text(DAEMON)
    told = tmp_path / "pid"
    line = f"{sys.executable} {tmp_path}/daemon.py {told}; exec sleep 300"
    cronq("add", "job", "@yearly", "--shell", line)
    cronq("trigger", "job")
    with scheduler_in(delegated, cronq) as first:
        command = first.wait_for("attempt_started")["pid"]
        wait_until(told.exists, "the daemon")
        daemon = int(told.read_text())
        for pid in [first.process.pid, *descendants(first.process.pid)]:
            if pid not in {daemon, command}:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        os.kill(command, signal.SIGKILL)
        first.process.wait(20)
        assert is_alive(daemon)
        with scheduler_in(delegated, cronq) as second:
            second.wait_for("run_adopted")
            finished = second.wait_for("attempt_finished")
            assert finished["outcome"] == "abandoned"
            assert not is_alive(daemon)
            second.signal(signal.SIGTERM)
            assert second.ended() == 0
    assert folders(delegated) == []


def test_leftovers_of_earlier_schedulers_are_killed_and_those_of_others_are_not(
    cronq: Cronq, delegated: Path, tmp_path: Path
) -> None:
    cronq("add", "job", "@yearly", "--", "true")
    ours = WorkerGroups(Place(cronq.database, tmp_path, "test"), delegated)
    theirs = WorkerGroups(Place(tmp_path / "other.db", tmp_path, "test"), delegated)
    sleepers = []
    for groups in (ours, theirs):
        folder = groups._folder(delegated, "w-1-1-dead")
        folder.mkdir()
        sleeper = subprocess.Popen(["sleep", "300"])
        (folder / "cgroup.procs").write_text(str(sleeper.pid))
        sleepers.append(sleeper)
    assert ours.members("w-1-1-dead") == [sleepers[0].pid]
    with scheduler_in(delegated, cronq):
        assert sleepers[0].wait(20) == -signal.SIGKILL
        wait_until(lambda: not ours._folder(delegated, "w-1-1-dead").exists(), "the group to go")
        assert sleepers[1].poll() is None
    sleepers[1].kill()
    sleepers[1].wait(20)
