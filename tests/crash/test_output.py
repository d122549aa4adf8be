"""Output that is too much for its file or its disk, with real workers and real commands."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from cronq.model import AttemptEnd, AttemptKey, Definition, Outcome
from cronq.worker.cap import INCOMPLETE
from cronq.worker.left_ends import end_file
from cronq.worker.output import punch_hole
from cronq.worker.spool import spool_file
from tests.crash.program import Cronq, wait_until
from tests.unit.worker.rig import Rig, function, shell

MIB = 1024 * 1024
CAP = 4 * MIB


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path)
    yield made
    made.close()


@pytest.fixture
def holes(tmp_path: Path) -> None:
    with (tmp_path / "probe").open("wb") as file:
        file.write(b"x" * 8192)
        file.flush()
        try:
            punch_hole(file.fileno(), 0, 4096)
        except OSError:
            pytest.skip("this file system cannot make holes")


def flood(size: int, **values: object) -> Definition:
    """Print so much in numbered lines, and a last word."""
    line = f"echo the first; yes 0123456789abcdef | head -c {size}; echo the last"
    return shell(line, max_output=CAP, **values)


class Watched:
    """An attempt whose log and worker are looked at while it runs."""

    def __init__(self, rig: Rig, what: Definition) -> None:
        self.key: AttemptKey = rig.begin(what)
        self.most_blocks = self.most_rss = 0
        log = spool_file(rig.place, rig.workers[self.key])
        worker = rig.worker_pid()

        def is_over() -> bool:
            with suppress(FileNotFoundError):
                self.most_blocks = max(self.most_blocks, log.stat().st_blocks * 512)
            self.most_rss = max(self.most_rss, rss(worker))
            return self.key in rig.ends

        rig.wait(is_over, patience_s=120)
        self.end: AttemptEnd = rig.ends[self.key]


def rss(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in status.splitlines() if "VmRSS" in line), 0)


def check_flood(rig: Rig, size: int) -> None:
    watched = Watched(rig, flood(size))
    end = watched.end
    assert (end.outcome, end.reason) == (Outcome.SUCCESS, "")
    assert end.output_bytes == size + len("the first\nthe last\n")
    # What is printed between two looks is on the disk for a moment: a fifth of a second of it at most.
    assert watched.most_blocks < CAP + 512 * MIB
    assert watched.most_rss < 128 * MIB
    log = rig.place.log_file(*watched.key)
    data = log.read_bytes()
    assert CAP - 256 < len(data) <= CAP
    assert data.startswith(b"the first\n0123456789abcdef\n")
    assert data.endswith(b"the last\n")
    (marker,) = [line for line in data.splitlines() if b"cronq" in line]
    cut = int(marker.split()[1].replace(b",", b""))
    # The marker has a line of its own, for which the head may need an end of line.
    assert cut + len(data) - len(marker) - end.output_bytes in {1, 2}


@pytest.mark.usefixtures("holes")
def test_row_job_prints_10_gb_and_is_cut_to_its_cap_in_short(rig: Rig) -> None:
    check_flood(rig, 400 * MIB)


@pytest.mark.slow
@pytest.mark.usefixtures("holes")
def test_row_job_prints_10_gb_and_is_cut_to_its_cap(rig: Rig) -> None:
    check_flood(rig, 10_000_000_000)


@pytest.mark.usefixtures("holes")
def test_callable_that_prints_too_much_is_cut_too(rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "loud.py").write_text(
        "import os\ndef shout():\n    for _ in range(200): os.write(1, b'0123456789abcde\\n' * 65536)\n"
    )
    watched = Watched(rig, function("loud:shout", cwd=str(tmp_path), max_output=CAP))
    assert (watched.end.outcome, watched.end.output_bytes) == (Outcome.SUCCESS, 200 * MIB)
    assert len(rig.place.log_file(*watched.key).read_bytes()) <= CAP


@pytest.mark.usefixtures("holes")
def test_callable_of_a_dead_scheduler_is_kept_within_its_cap_by_the_next_one(tmp_path: Path) -> None:
    cronq = Cronq(tmp_path)
    for name in ("one", "two"):
        os.mkfifo(tmp_path / name)
    (tmp_path / "loud.py").write_text(
        "import os\ndef shout():\n    open('one').read()\n"
        "    for _ in range(100): os.write(1, b'0123456789abcde\\n' * 65536)\n    open('two').read()\n"
    )
    options = ("--python", "loud:shout", "--cwd", str(tmp_path), "--max-output", "4M")
    cronq("add", "loud", "@yearly", *options)
    log = Path(f"{cronq.database}.logs/000000/1.1.log")
    with cronq.run() as first:
        cronq("trigger", "loud")
        first.wait_for("attempt_started")
        first.kill()
        with cronq.run() as second:
            second.wait_for("run_adopted")
            (spool,) = log.parents[1].glob("*.out")
            (tmp_path / "one").write_text("go")
            wait_until(lambda: spool.stat().st_size == 100 * MIB, "all of the output")
            wait_until(lambda: spool.stat().st_blocks * 512 <= 2 * CAP, "the hole")
            (tmp_path / "two").write_text("go")
            assert second.wait_for("attempt_finished")["outcome"] == "success"
    assert log.stat().st_size <= CAP
    assert cronq.rows("loud")[0]["output_bytes"] == 100 * MIB


@pytest.mark.usefixtures("holes")
def test_inherited_command_stays_within_its_cap_and_its_log_is_finished(rig: Rig, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    line = f"echo begun; read go <{gate}; yes | head -c {200 * MIB}; echo secret is $TOKEN"
    what = shell(line, max_output=CAP, env=(("TOKEN", "hunter2"),), secrets=("TOKEN",))
    start = rig.started(what)
    rig.wait_for_line(start.key, "begun")
    os.kill(rig.worker_pid(), signal.SIGKILL)
    rig.wait(lambda: rig.lost)
    gate.write_text("go\n")
    end = rig.end_of(start.key)
    assert (end.outcome, end.exit_code) == (Outcome.SUCCESS, 0)
    assert end.output_bytes == 200 * MIB + len("begun\nsecret is hunter2\n")
    data = rig.place.log_file(*start.key).read_bytes()
    assert len(data) <= CAP
    assert data.endswith(b"\nsecret is ***\n")


def test_end_that_a_worker_left_while_it_finished_the_log_is_the_end(rig: Rig, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    # The rename would be next, and nobody can rename over a folder.
    line = f"echo hunter2; yes | head -c {2 * CAP}; read go <{gate}; exit 3"
    what = shell(line, max_output=CAP, env=(("TOKEN", "hunter2"),), secrets=("TOKEN",))
    start = rig.started(what)
    draft = rig.place.log_file(*start.key).with_suffix(".draft")
    draft.parent.mkdir()
    os.mkfifo(draft)  # its opening waits for a reader, for ever
    gate.write_text("go\n")
    rig.wait(lambda: end_file(rig.place, start.key).exists())
    os.kill(rig.worker_pid(), signal.SIGKILL)
    draft.unlink()
    end = rig.end_of(start.key)
    assert (end.outcome, end.reason) == (Outcome.FAILURE, "exit 3")
    assert end.output_bytes == 2 * CAP + len("hunter2\n")
    assert rig.log(start.key).startswith("***\n")
    assert not end_file(rig.place, start.key).exists()


# A full disk


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """Mount a file system of two megabytes for a while."""
    mount = shutil.which("mount")
    if os.geteuid() != 0 or mount is None:
        pytest.skip("only root can mount a small file system")
    folder.mkdir(mode=0o700)
    command = [mount, "-t", "tmpfs", "-o", "size=2m,mode=0700", "cronq-test", str(folder)]
    if subprocess.run(command, check=False).returncode != 0:
        pytest.skip("a small file system cannot be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_row_disk_full_logs_the_job_goes_on_and_its_log_is_said_to_be_incomplete(tmp_path: Path) -> None:
    cronq = Cronq(tmp_path)
    cronq("add", "loud", "@yearly", "--max-output", "none", "--shell", "seq 1000000 2>/dev/null; true")
    cronq("add", "quiet", "@yearly", "--", "echo", "hi")
    with small_disk(Path(f"{cronq.database}.logs")), cronq.run() as running:
        cronq("trigger", "loud")
        ended = running.wait_for("attempt_finished", job="loud")
        assert (ended["outcome"], ended["reason"]) == ("success", INCOMPLETE)
        assert running.wait_for("notice", level="warning")["message"] == f"loud #1: {INCOMPLETE}"
        (run,) = cronq.rows("loud")
        assert run["outcome"] == "success"
        assert 0 < run["output_bytes"] <= 2 * MIB
        Path(f"{cronq.database}.logs/000000/1.1.log").unlink()
        cronq("trigger", "quiet")
        assert running.wait_for("attempt_finished", job="quiet")["reason"] == ""
