"""Disks that are full, cannot be written, or lose folders, under the real program."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.program import Cronq, wait_until
from tests.crash.test_program import assert_exact


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Cronq]:
    """The program with its database on a file system of two megabytes."""
    home = tmp_path / "small"
    home.mkdir()
    mount = shutil.which("mount")
    if os.geteuid() != 0 or mount is None:
        pytest.skip("only root can mount a small file system")
    command = [mount, "-t", "tmpfs", "-o", "size=2m,mode=0700", "cronq-test", str(home)]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("a small file system cannot be mounted here")
    yield Cronq(home)
    subprocess.run(["umount", "--lazy", str(home)], check=True)


def fill(folder: Path) -> Path:
    """Take all the room there is."""
    filler = folder / "filler"
    with filler.open("ab", buffering=0) as file:
        for size in (65536, 4096, 1):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue
    return filler


def doctor(cronq: Cronq) -> dict[str, dict[str, str]]:
    """Return the worst finding of each check."""
    done = subprocess.run(
        cronq.argv("doctor", "--json"), env=cronq.environ(), capture_output=True, text=True, check=False
    )
    order = ["ok", "warning", "error"]
    found = json.loads(done.stdout)["findings"]
    return {f["check"]: f for f in sorted(found, key=lambda f: order.index(f["level"]))}


def stop(running: object) -> None:
    running.signal(signal.SIGTERM)  # type: ignore[attr-defined]
    assert running.ended() == 0  # type: ignore[attr-defined]


def test_row_disk_full_db_while_running(small: Cronq, tmp_path: Path) -> None:
    for name in ("a", "b"):
        small("add", name, "every 1s", "--catch-up", "all", "--", "true")
    with small.run() as running:
        running.wait_for("attempt_finished", job="a")
        filler = fill(small.home)
        told = running.wait_for("notice", level="error")["message"]
        assert "the disk is full; nothing is started until it can be written again" in told
        fill(small.home)
        sick = doctor(small)["disk"]
        assert (sick["level"], sick["hint"]) == (
            "error",
            "free some space: nothing is started while it is full",
        )
        assert "free some space and try again; nothing was changed" in small(
            "add", "c", "@daily", "--cwd", "/", "--env", f"A={'x' * 20000}", "--", "true", code=5
        )
        assert small("list", "-q").split() == ["a", "b"]
        small("backup", str(tmp_path / "copy.db"))
        assert "disk is full" in small("backup", str(small.home / "copy.db"), code=5)
        assert [path.name for path in small.home.iterdir() if "copy" in path.name] == []
        filler.unlink()
        running.wait_for("notice", message="the store can be written again")
        running.wait_for("attempt_finished", job="a")
        stop(running)
    for name in ("a", "b"):
        assert_exact(small, name, 1)
    assert {run["outcome"] for run in small.rows("a")} <= {"success", "missed", "skipped", "failure", None}


def test_row_disk_full_db_at_the_start(small: Cronq) -> None:
    small("add", "job", "every 1s", "--catch-up", "all", "--", "true")
    with small.run() as running:
        running.wait_for("attempt_finished")
        running.kill()
    filler = fill(small.home)
    with small.run("--for", "3s") as running:
        # What the killed one left of its log may have room for the start; then it is paused soon after.
        assert running.ended() in {0, 5}
        assert "Traceback" not in running.errors()
    filler.unlink()
    with small.run() as running:
        running.wait_for("attempt_finished")
        stop(running)
    assert_exact(small, "job", 1)


def test_row_disk_read_only(small: Cronq, tmp_path: Path) -> None:
    small("add", "job", "@daily", "--", "true")

    def remount(how: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{how}", str(small.home)], check=True)

    remount("ro")
    assert small("list", "-q").split() == ["job"]
    for command in (["add", "x", "@daily", "--", "true"], ["run"], ["pause", "job"]):
        told = small(*command, code=5)
        assert "cannot be written" in told or "Read-only" in told, told
    assert doctor(small)["disk"]["message"] == f"{small.home} cannot be written"
    small("backup", str(tmp_path / "copy.db"))
    told = small("backup", str(small.home / "copy.db"), code=5)
    assert "copy.db cannot be written: Read-only file system" in told
    assert "Read-only file system" in small("restore", str(tmp_path / "copy.db"), "--yes", code=5)
    remount("rw")
    small("restore", str(tmp_path / "copy.db"), "--yes")
    assert small("list", "-q").split() == ["job"]


@pytest.mark.parametrize("folder", ["logs", "attempts"])
@pytest.mark.parametrize("what", ["removed", "a file in its place"])
def test_row_disk_folder_lost_while_running(cronq: Cronq, folder: str, what: str) -> None:
    place = Path(f"{cronq.database}.{folder}")
    cronq("add", "tick", "every 1s", "--catch-up", "all", "--", "echo", "hi")
    with cronq.run() as running:
        running.wait_for("attempt_finished", outcome="success")
        lost = place.with_name("lost")
        place.rename(lost)
        if what == "removed":
            shutil.rmtree(lost)
        else:
            place.write_text("")
        ended = [running.wait_for("attempt_finished") for _ in range(3)]
        if what != "removed":
            assert ended[-1]["outcome"] == "failure", "it cannot have been started"
            assert doctor(cronq)["files"]["level"] == "error"
            place.unlink()
            wait_until(lambda: running.wait_for("attempt_finished")["outcome"] == "success", "a success")
        assert running.wait_for("attempt_finished")["outcome"] == "success"
        stop(running)
    assert_exact(cronq, "tick", 1)
    for run in cronq.rows("tick"):
        assert run["outcome"] in {"success", "failure", "skipped", "missed", "cancelled", None}
        assert run["outcome"] != "failure" or run["reason"], "a failure without a reason"
