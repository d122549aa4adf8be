"""What the kernel says of processes."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cronq import clock
from cronq.worker import kernel
from tests.unit.worker.rig import PATIENCE_S


def test_own_process_is_described() -> None:
    info = kernel.process_info(os.getpid())
    assert info is not None
    assert (info.parent, info.group, info.session) == (os.getppid(), os.getpgrp(), os.getsid(0))
    assert info.state == "R"


def test_name_with_blanks_and_parentheses_is_read(tmp_path: Path) -> None:
    program = tmp_path / "a) b (c"
    program.write_bytes(Path("/bin/sleep").read_bytes())
    program.chmod(0o755)
    with subprocess.Popen([program, "60"]) as process:
        info = kernel.process_info(process.pid)
        process.kill()
    assert info is not None
    assert (info.name, info.parent) == ("a) b (c", os.getpid())


def test_process_that_does_not_exist_is_none() -> None:
    assert kernel.process_info(2**22 + 1) is None
    assert kernel.start_ticks(2**22 + 1) is None
    assert kernel.environment_of(2**22 + 1) == {}
    assert kernel.children_of(2**22 + 1) == []
    assert kernel.open_pidfd(2**22 + 1) is None


def test_children_and_their_children_are_found() -> None:
    line = "sleep 60 & echo; wait"
    with subprocess.Popen(["/bin/sh", "-c", line], stdout=subprocess.PIPE, start_new_session=True) as shell:
        assert shell.stdout is not None
        shell.stdout.readline()
        assert shell.pid in kernel.children_of(os.getpid())
        (sleep,) = kernel.children_of(shell.pid)
        found = kernel.descendants_of(os.getpid())
        assert found.index(shell.pid) < found.index(sleep)
        os.killpg(shell.pid, signal.SIGKILL)


def test_environment_of_a_process_is_read() -> None:
    with subprocess.Popen(["/bin/sleep", "60"], env={"A": "b=c"}) as process:
        # exec closes descriptors, by which Popen knows that it is done, before it shows the environment.
        deadline = clock.monotonic() + PATIENCE_S
        while not (found := kernel.environment_of(process.pid)):
            assert clock.monotonic() < deadline
        process.kill()
    assert found == {b"A": b"b=c"}


def test_zombie_is_seen_as_one_and_waited_for_by_pidfd() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    pidfd = kernel.open_pidfd(process.pid)
    assert pidfd is not None
    assert select.select([pidfd], [], [], 20)[0]
    os.close(pidfd)
    info = kernel.process_info(process.pid)
    assert info is not None
    assert info.state == "Z"
    process.wait()


@pytest.mark.parametrize("is_meant", [True, False])
def test_signal_reaches_only_the_process_that_is_meant(is_meant: bool) -> None:
    with subprocess.Popen(["/bin/sleep", "60"]) as process:
        ticks = kernel.start_ticks(process.pid)
        assert ticks is not None
        sent = kernel.send_signal(process.pid, signal.SIGTERM, ticks if is_meant else ticks + 1)
        if not is_meant:
            process.kill()
    assert sent is is_meant
    assert process.returncode == (-signal.SIGTERM if is_meant else -signal.SIGKILL)


def test_signals_to_nobody_say_so() -> None:
    assert not kernel.send_signal(2**22 + 1, signal.SIGTERM)
    assert not kernel.send_group_signal(2**22 + 1, signal.SIGTERM)


def test_boot_id_is_constant() -> None:
    assert kernel.boot_id() == kernel.boot_id() != ""


@pytest.mark.parametrize("nobody", [0, -1])
def test_signals_reach_nobody_but_the_process_that_is_named(nobody: int) -> None:
    assert not kernel.send_signal(nobody, 0)
    assert not kernel.send_group_signal(nobody, 0)
    assert not kernel.send_group_signal(1, 0)


@pytest.mark.skipif(not kernel.HAS_PROC, reason="looks at processes in /proc")
def test_children_are_found_when_no_descriptor_is_left() -> None:
    code = """
import os, resource, subprocess, sys
from cronq.worker import kernel
kernel.keep_spare()
child = subprocess.Popen(["sleep", "60"])
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
held = []
try:
    while True:
        held.append(os.open(os.devnull, os.O_RDONLY))
except OSError:
    pass
found = [kernel.children_of(os.getpid()) == [child.pid] for _ in range(3)]
known = kernel.process_info(child.pid) is not None
gone = kernel.process_info(2**22 + 1) is None
child.kill()
os.close(held.pop())
print(found, known, gone)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "[True, True, True] True True\n"


def test_worker_without_an_attempt_leaves_no_zombie() -> None:
    code = """
import os
from multiprocessing import Pipe
from cronq.worker.inbox import Inbox
from cronq.worker.messages import Leave, encode
ours, theirs = Pipe()
inbox = Inbox(theirs)
pid = os.posix_spawn("/bin/sh", ["sh", "-c", ":"], {})
os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
ours.send_bytes(encode(Leave()))
inbox.next()
try:
    os.waitpid(pid, os.WNOHANG)
    print("a zombie")
except ChildProcessError:
    print("none")
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "none\n"
