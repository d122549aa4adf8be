"""A job takes more memory than its control group may have: the kernel kills it, and the ledger says so."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cronq.worker.oom import counters_of_group
from tests.crash.program import Cronq, Running, descendants, wait_until

LIMIT = 160 * 1024**2
TAKES_200_MB = "x = bytearray(200 << 20)"


@pytest.fixture
def small_group() -> Iterator[Path]:
    """A control group below our own, with a memory limit, and without swap."""
    group: Path | None = None
    limits = ("", "")
    for counter in counters_of_group(Path("/proc/self")):
        made = counter.parent / f"cronq-test-{os.getpid()}"
        limits = ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes")
        if counter.name == "memory.events":
            limits = ("memory.max", "memory.swap.max")
        with contextlib.suppress(OSError):
            made.mkdir()
            group = made
            (made / limits[0]).write_text(str(LIMIT))
            break
    else:
        if group is not None:
            group.rmdir()
        pytest.skip("needs a control group with a memory limit, which only root or a delegated user can make")
    assert group is not None
    with contextlib.suppress(OSError):
        (group / limits[1]).write_text("0" if limits[1] == "memory.swap.max" else str(LIMIT))
    yield group
    wait_until(lambda: not (group / "cgroup.procs").read_text(), "the group to be empty")
    group.rmdir()


@contextlib.contextmanager
def scheduler_in(group: Path, cronq: Cronq) -> Iterator[Running]:
    line = 'echo $$ > "$0" && exec "$@"'
    argv = cronq.argv("run", "--log-format", "json")
    running = Running(["/bin/sh", "-c", line, str(group / "cgroup.procs"), *argv], cronq.environ())
    try:
        yield running
    finally:
        running.destroy()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("exec {python} -c '{code}'", "out of memory: killed by the kernel (signal 9)"),
        ("{python} -c '{code}'; exit $?", "out of memory: killed by the kernel (exit 137)"),
    ],
    ids=["command", "child of a shell"],
)
def test_row_oom_of_the_job_is_the_reason_and_the_scheduler_lives(
    cronq: Cronq, small_group: Path, line: str, reason: str
) -> None:
    cronq("add", "hungry", "@yearly", "--shell", line.format(python=sys.executable, code=TAKES_200_MB))
    cronq("add", "modest", "@yearly", "--", "true")
    with scheduler_in(small_group, cronq) as running:
        cronq("trigger", "hungry")
        finished = running.wait_for("attempt_finished", job="hungry")
        assert (finished["outcome"], finished["reason"]) == ("failure", reason)
        cronq("trigger", "modest")
        assert running.wait_for("attempt_finished", job="modest")["outcome"] == "success"
        running.signal(signal.SIGTERM)
        assert running.ended() == 0


def test_row_oom_of_the_job_is_known_without_its_worker(
    cronq: Cronq, small_group: Path, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    line = f"read answer < {gate}; exec {sys.executable} -c '{TAKES_200_MB}'"
    cronq("add", "hungry", "@yearly", "--shell", line)
    with scheduler_in(small_group, cronq) as running:
        cronq("trigger", "hungry")
        started = running.wait_for("attempt_started")
        worker = next(pid for pid in running.workers() if started["pid"] in descendants(pid))
        os.kill(worker, signal.SIGKILL)
        running.wait_for("worker_lost", run_id=started["run_id"])
        gate.write_text("go\n")
        finished = running.wait_for("attempt_finished")
    assert finished["reason"] == "out of memory: killed by the kernel (signal 9)"


def test_row_oom_of_the_job_that_is_a_function_is_known_too(
    cronq: Cronq, small_group: Path, tmp_path: Path
) -> None:
    (tmp_path / "hungry.py").write_text(f"def eat():\n    {TAKES_200_MB}\n")
    cronq("add", "hungry", "@yearly", "--cwd", str(tmp_path), "--python", "hungry:eat")
    with scheduler_in(small_group, cronq) as running:
        cronq("trigger", "hungry")
        finished = running.wait_for("attempt_finished")
    assert (finished["outcome"], finished["reason"]) == (
        "failure",
        "out of memory: killed by the kernel (signal 9)",
    )
