"""Who was killed for want of memory: where the counter is, and what it proves."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from cronq.model import Outcome
from cronq.worker import oom
from cronq.worker.endings import Exit, verdict_of_oom
from cronq.worker.oom import KillCounter, counters_of_group
from tests.unit.worker.rig import Rig, shell

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the counters are those of Linux")

MOUNTS = (
    "30 25 0:26 / /sys/fs/cgroup ro,nosuid shared:4 - tmpfs tmpfs ro,mode=755\n"
    "31 30 0:27 / /sys/fs/cgroup/unified rw shared:5 - cgroup2 cgroup2 rw,nsdelegate\n"
    "35 30 0:31 {root} /sys/fs/cgroup/memory rw shared:15 - cgroup cgroup rw,memory\n"
)
MOUNTS_2 = "31 30 0:27 {root} /sys/fs/cgroup rw shared:5 - cgroup2 cgroup2 rw,nsdelegate\n"


@pytest.mark.parametrize(
    ("cgroup", "mounts", "found"),
    [
        (
            "4:memory:/a/b\n0::/a/b\n",
            MOUNTS.format(root="/"),
            ["memory/a/b/memory.oom_control", "unified/a/b"],
        ),
        ("4:memory:/docker/x\n", MOUNTS.format(root="/docker/x"), ["memory/memory.oom_control"]),
        ("4:memory:/other\n", MOUNTS.format(root="/docker/x"), []),
        ("0::/a/b\n", MOUNTS_2.format(root="/"), ["a/b/memory.events", "a/memory.events", "memory.events"]),
        ("0::/\n", MOUNTS_2.format(root="/"), ["memory.events"]),
        ("4:cpu:/a\n", MOUNTS.format(root="/"), []),
    ],
    ids=["both versions", "container", "outside", "version 2", "its root", "no memory"],
)
def test_counter_is_that_of_the_own_group_or_of_one_above(
    tmp_path: Path, cgroup: str, mounts: str, found: list[str]
) -> None:
    (tmp_path / "cgroup").write_text(cgroup)
    (tmp_path / "mountinfo").write_text(mounts)
    paths = [str(path.relative_to("/sys/fs/cgroup")) for path in counters_of_group(tmp_path)]
    assert len(paths) >= len(found)
    for path, start in zip(paths, found, strict=False):
        assert path.startswith(start)
    assert found or not paths


@pytest.fixture
def counter_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "memory.events"
    path.write_text("low 0\noom 7\noom_kill 3\noom_group_kill 9\n")
    monkeypatch.setattr(oom, "counters_of_group", lambda _: iter([tmp_path / "none", path]))
    return path


def test_only_a_rise_since_the_last_look_counts(counter_file: Path) -> None:
    counter = KillCounter()
    assert not counter.has_risen()
    counter_file.write_text("oom_kill 4\n")
    assert counter.has_risen()
    assert not counter.has_risen()
    counter_file.write_text("oom_kill 5\n")
    counter.mark(10.0)
    assert not counter.has_risen()
    counter.close()
    assert not counter.has_risen()


def test_a_counter_longer_than_a_page_is_read_to_its_end(counter_file: Path) -> None:
    counter_file.write_text("".join(f"line_{number} 0\n" for number in range(20_000)) + "oom_kill 1\n")
    counter = KillCounter()
    counter_file.write_text("".join(f"line_{number} 0\n" for number in range(20_000)) + "oom_kill 2\n")
    assert counter.has_risen()
    counter.close()


@pytest.mark.parametrize(
    ("exit_", "reason"),
    [
        (Exit(0, None, signal.SIGKILL), "out of memory: killed by the kernel (signal 9)"),
        (Exit(0, 137, None), "out of memory: killed by the kernel (exit 137)"),
        (Exit(0, None, signal.SIGTERM), None),
        (Exit(0, 1, None), None),
        (Exit(0, 0, None), None),
    ],
)
def test_only_what_the_kernel_does_is_taken_for_it(exit_: Exit, reason: str | None) -> None:
    verdict = verdict_of_oom(exit_, (0,), lambda: True)
    assert (verdict and verdict.reason) == reason
    assert verdict is None or verdict.outcome is Outcome.FAILURE
    assert verdict_of_oom(exit_, (0,), lambda: False) is None


def test_an_exit_code_that_means_success_stays_one() -> None:
    assert verdict_of_oom(Exit(0, 137, None), (137,), lambda: True) is None


def test_row_oom_of_the_job_is_not_said_of_one_that_somebody_killed(rig: Rig) -> None:
    end = rig.execute(shell("kill -9 $$"))
    assert (end.outcome, end.reason) == (Outcome.FAILURE, "signal 9 (KILL)")


def test_row_oom_takes_commands_before_the_scheduler(rig: Rig) -> None:
    own = int(Path("/proc/self/oom_score_adj").read_text())
    end = rig.execute(shell("cat /proc/self/oom_score_adj"))
    assert rig.log(end.key) == f"{min(1000, own + 500)}\n"
    assert int(Path(f"/proc/{os.getpid()}/oom_score_adj").read_text()) == own
