"""What happens to the database under a real scheduler: copied, lost, damaged, put back."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
from pathlib import Path

import pytest

from cronq import restore
from cronq.errors import StoreBusy
from cronq.store import Place
from cronq.worker import liveness
from tests.crash.program import Cronq, wait_until
from tests.crash.test_program import assert_exact, fire_times


def page_count(path: Path) -> int:
    return path.stat().st_size // 4096


def damage(path: Path, page: int) -> None:
    """Overwrite a page (the first is 0) of a database that nobody has open."""
    with path.open("r+b") as file:
        file.seek(page * 4096)
        file.write(b"\xff" * 4096)


def test_a_copy_made_under_load_is_put_back_and_every_fire_time_is_accounted_for(
    cronq: Cronq, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.db"
    for name in ("a", "b", "c"):
        cronq("add", name, "every 1s", "--catch-up", "all", "--", "true")
    with cronq.run() as running:
        running.wait_for("attempt_finished", job="a")
        for _ in range(5):
            assert cronq("backup", str(copy), "--force", "-q").strip() == str(copy)
        assert "error" not in cronq("restore", str(copy), "--yes", code=4).replace(
            "error: a scheduler runs", ""
        )
        copied = fire_times(Cronq(tmp_path, database_name="copy.db"), "a")
        running.wait_for("attempt_finished", job="b")
        running.signal(signal.SIGKILL)
        running.process.wait()
    wait_until(lambda: not list(Path(f"{cronq.database}.attempts").iterdir()), "the end of the commands")
    damage(cronq.database, 0)
    assert "damaged, or not a database" in cronq("list", code=5)
    cronq("run", code=5)
    cronq("restore", str(copy), "--yes")
    with cronq.run() as running:
        running.wait_for("attempt_finished", job="a")
        running.signal(signal.SIGTERM)
        assert running.ended() == 0
    for name in ("a", "b", "c"):
        assert_exact(cronq, name, 1)
    after = fire_times(cronq, "a")
    assert set(copied) <= set(after)
    numbers = [run["id"] for name in ("a", "b", "c") for run in cronq.rows(name)]
    assert len(numbers) == len(set(numbers))
    cronq("audit")
    cronq("restore", str(copy), "--yes", "--skip-gap")
    for name in ("a", "b", "c"):
        assert_exact(cronq, name, 1)
        assert cronq.rows(name)[-1]["reason"] == "restored"
    cronq("audit")
    cronq("doctor", "--json")


def test_restore_is_refused_while_a_command_of_a_killed_scheduler_runs(cronq: Cronq, tmp_path: Path) -> None:
    gate, copy = tmp_path / "gate", tmp_path / "copy.db"
    os.mkfifo(gate)
    cronq("add", "long", "@yearly", "--shell", f"read answer < {gate}")
    cronq("backup", str(copy))
    cronq("trigger", "long")
    with cronq.run() as running:
        running.wait_for("attempt_started")
        running.kill()
        assert "still run: #1" in cronq("restore", str(copy), "--yes", code=5)
        gate.write_text("go\n")
        wait_until(lambda: cronq.rows("long")[0]["state"] == "done", "the worker's own record")
        cronq("restore", str(copy), "--yes")
    assert cronq.rows("long") == []
    cronq("trigger", "long")
    assert cronq.rows("long")[0]["id"] == 2, "a run number was given twice"


def test_restore_is_refused_while_a_named_lock_is_held_outside(cronq: Cronq, tmp_path: Path) -> None:
    gate, copy = tmp_path / "gate", tmp_path / "copy.db"
    os.mkfifo(gate)
    cronq("add", "job", "@yearly", "--lock", "db", "--", "true")
    cronq("backup", str(copy))
    words = cronq.argv("lock", "db", "--", "sh", "-c", f"echo held; read answer < {gate}")
    with subprocess.Popen(words, env=cronq.environ(), stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        try:
            told = cronq("restore", str(copy), "--yes", code=5)
        finally:
            gate.write_text("go\n")
        assert "commands of `cronq lock` still run: 1 of them\n" in told
        assert "nothing was changed" in told
        assert holder.wait() == 0
    cronq("restore", str(copy), "--yes")


def test_restore_is_refused_while_a_worker_lives(
    cronq: Cronq, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cronq("add", "job", "@yearly", "--", "true")
    place = Place(cronq.database, tmp_path / "logs", "test")
    place.attempts.mkdir(mode=0o700)
    lock = liveness.take_lock(liveness.worker_file(place, "w1"))
    monkeypatch.setattr("cronq.restore._WORKERS_LEAVE_S", 0.0)
    with pytest.raises(StoreBusy, match="still live: w1"), restore.nobody_at_work(place):
        pytest.fail("somebody is at work")
    os.close(lock)
    with restore.nobody_at_work(place):
        pass


DIES_AT_STEP = """
import os, sys
from cronq.cli.app import main

database, step, *words = sys.argv[1:]
left = int(step)

def watch(event, arguments):
    global left
    # Links, names and removals of the database and of what is named after it, not of the draft.
    if event in ("os.link", "os.rename", "os.remove") and any(
        os.fsdecode(one).startswith(database) for one in arguments[:2] if isinstance(one, (str, os.PathLike))
    ):
        if left == 0:
            os._exit(99)
        left -= 1

sys.addaudithook(watch)
sys.exit(main(words))
"""


def test_a_restore_killed_at_any_step_leaves_the_old_database_or_the_new_one(
    cronq: Cronq, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.db"
    cronq("add", "a", "@yearly", "--", "true")
    cronq("backup", str(copy))
    cronq("add", "later", "@yearly", "--", "true")
    seen: list[tuple[str, ...]] = []
    for step in range(30):
        words = [cronq.python, "-c", DIES_AT_STEP, str(cronq.database), str(step)]
        done = subprocess.run(
            [*words, "restore", str(copy), "--yes"], env=cronq.environ(), capture_output=True, check=False
        )
        jobs = json.loads(cronq("list", "--json"))["jobs"]
        seen.append(tuple(sorted(job["name"] for job in jobs)))
        if done.returncode == 0:
            break
        assert done.returncode == 99, done.stderr
        told = cronq("doctor")
        assert "left an unfinished file" in told
        for kept in cronq.home.glob(f"{cronq.database_name}.replaced-*"):
            if kept.samefile(cronq.database):
                assert "a restore was killed, and left" in told
                kept.unlink()
    assert len(seen) > 2, "it was never killed"
    assert seen[:-1] == [("a", "later")] * (len(seen) - 1)
    assert seen[-1] == ("a",)
    assert not list(cronq.home.glob(f".{cronq.database_name}.*")), "drafts of the killed ones"
    (kept,) = cronq.home.glob(f"{cronq.database_name}.replaced-*")
    cronq.database.unlink()
    assert f"hint: cronq restore {kept}" in cronq("run", code=5)
    assert not cronq.database.exists()
    cronq("restore", str(kept), "--yes")
    assert len(json.loads(cronq("list", "--json"))["jobs"]) == 2


@pytest.mark.parametrize("how", ["deleted", "replaced"])
def test_row_db_deleted_or_replaced_while_running(cronq: Cronq, tmp_path: Path, how: str) -> None:
    cronq("add", "tick", "every 1s", "--catch-up", "all", "--", "true")
    with cronq.run() as running:
        running.wait_for("attempt_finished")
        if how == "deleted":
            cronq.database.unlink()
        else:
            other = tmp_path / "other.db"
            sqlite3.connect(other).close()
            other.replace(cronq.database)
        told = running.wait_for("notice", level="error")["message"]
        assert running.ended() == 5
    rescued = told.rsplit(" ", 1)[1]
    if how == "deleted":
        assert rescued in cronq("doctor")
    assert told.endswith(f"what was in it is saved: cronq restore {rescued}")
    cronq.database.unlink(missing_ok=True)
    cronq("restore", rescued, "--yes")
    with cronq.run() as running:
        running.wait_for("attempt_finished")
        running.signal(signal.SIGTERM)
        assert running.ended() == 0
    assert_exact(cronq, "tick", 1)
    cronq("audit")


@pytest.mark.parametrize("suffixes", [("-wal",), ("-wal", "-shm")])
def test_row_db_write_ahead_log_deleted_while_running(cronq: Cronq, suffixes: tuple[str, ...]) -> None:
    cronq("add", "tick", "every 1s", "--catch-up", "all", "--", "true")
    with cronq.run() as running:
        first = running.wait_for("attempt_finished")
        for suffix in suffixes:
            Path(f"{cronq.database}{suffix}").unlink()
        told = running.wait_for("notice", level="error")["message"]
        assert "-wal was removed while in use; what was in it is saved in the database" in told
        assert running.ended() == 5
    runs = cronq.rows("tick")
    assert first["run_id"] in [run["id"] for run in runs if run["outcome"] == "success"]
    with cronq.run() as running:
        running.wait_for("attempt_finished")
        running.signal(signal.SIGTERM)
        assert running.ended() == 0
    assert_exact(cronq, "tick", 1)
    cronq("doctor")


def test_row_db_corrupt_first_page(cronq: Cronq) -> None:
    cronq("add", "job", "@daily", "--", "true")
    damage(cronq.database, 0)
    for command in (["run"], ["list"], ["add", "new", "@daily", "--", "true"], ["backup", "/tmp/never.db"]):
        assert "hint: restore a backup of it: cronq restore FILE" in cronq(*command, code=5)
    assert page_count(cronq.database) > 1, "a damaged database was created anew"
    assert "restore a backup" in found(cronq, "database")["hint"]


def test_row_db_corrupt_leaf_page(cronq: Cronq) -> None:
    cronq("add", "job", "every 1s", "--", "true")
    for number in range(60):
        cronq(
            "add",
            f"job{number}",
            "@daily",
            "--no-check",
            "--cwd",
            "/",
            "--env",
            f"A={'x' * 3000}",
            "--",
            "true",
        )
    damage(cronq.database, page_count(cronq.database) // 2)
    assert "is damaged" in cronq("run", code=5)
    finding = found(cronq, "database")
    assert "is damaged" in finding["message"]
    assert "cronq restore" in finding["hint"]


def found(cronq: Cronq, check: str) -> dict[str, str]:
    """Return what `cronq doctor` says is wrong."""
    done = subprocess.run(
        cronq.argv("doctor", "--json"), env=cronq.environ(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stdout
    return next(
        f for f in json.loads(done.stdout)["findings"] if f["check"] == check and f["level"] == "error"
    )
