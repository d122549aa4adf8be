"""Real `cronq run`, real signals: what dies, what goes on, and what the ledger says afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.crash.program import Cronq, descendants, is_alive, wait_until

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="needs a sub-reaper and /proc")


def fire_times(cronq: Cronq, job: str) -> Counter[datetime]:
    """Return how often each fire time is accounted for, gaps spelt out (schedules of whole seconds)."""
    counted: Counter[datetime] = Counter()
    for run in cronq.rows(job):
        if run["fire_at"] is not None:
            first, last = (datetime.fromisoformat(run[key]) for key in ("fire_at", "last_fire_at"))
            step = (last - first) / max(1, run["fire_count"] - 1)
            counted.update(first + step * n for n in range(run["fire_count"]))
    return counted


def assert_exact(cronq: Cronq, job: str, every_s: int) -> None:
    """No fire time between the first and the last is missing, and none is there twice."""
    counted = fire_times(cronq, job)
    moments = sorted(counted)
    wanted = [moments[0] + timedelta(seconds=every_s) * n for n in range(len(moments))]
    assert moments == wanted
    assert set(counted.values()) == {1}


def test_ten_seconds_of_every_second_are_ten_successes(cronq: Cronq) -> None:
    cronq("add", "hello", "every 1s", "--", "echo", "hi")
    with cronq.run("--for", "10s") as running:
        assert running.ended() == 0
    rows = cronq.rows("hello")
    assert 9 <= len(rows) <= 11
    assert {run["outcome"] for run in rows} == {"success"}
    assert cronq("logs", "hello") == "hi\n"


def test_row_scheduler_killed_while_the_job_runs(cronq: Cronq, tmp_path: Path) -> None:
    witness, gate = tmp_path / "witness", tmp_path / "gate"
    os.mkfifo(gate)
    line = f'echo "$CRONQ_FIRE_TIME" >> {witness}; echo began; read answer < {gate}; echo $answer; exit 3'
    cronq("add", "long", "@yearly", "--success-codes", "3", "--shell", line)
    cronq("add", "tick", "every 1s", "--catch-up", "all", "--", "true")
    cronq("trigger", "long")
    with cronq.run() as first:
        started = first.wait_for("attempt_started", job="long")
        first.wait_for("attempt_finished", job="tick", outcome="success")
        first.kill()
        assert is_alive(started["pid"])
        with cronq.run() as second:
            adopted = second.wait_for("run_adopted")
            assert (adopted["job"], adopted["run_id"]) == ("long", started["run_id"])
            with gate.open("w") as answer:
                answer.write("done\n")
            told = second.wait_for("attempt_finished", job="long")
            assert (told["outcome"], told["exit_code"]) == ("success", 3)
            second.wait_for("attempt_finished", job="tick")
            second.signal(signal.SIGTERM)
            assert second.ended() == 0
    (run,) = cronq.rows("long")
    assert (run["outcome"], run["exit_code"], run["attempt"]) == ("success", 3, 1)
    assert cronq("logs", "long") == "began\ndone\n"
    assert len(witness.read_text().splitlines()) == 1
    assert_exact(cronq, "tick", 1)


@linux_only
def test_row_worker_killed_loses_neither_command_nor_exit_status(cronq: Cronq, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    cronq("add", "job", "@yearly", "--shell", f"read answer < {gate}; exit 42")
    cronq("trigger", "job")
    with cronq.run() as running:
        started = running.wait_for("attempt_started")
        worker = next(pid for pid in running.workers() if started["pid"] in descendants(pid))
        os.kill(worker, signal.SIGKILL)
        running.wait_for("worker_lost", run_id=started["run_id"])
        gate.write_text("go\n")
        finished = running.wait_for("attempt_finished")
    assert (finished["outcome"], finished["exit_code"]) == ("failure", 42)


@linux_only
def test_row_worker_killed_with_its_scheduler_abandons_the_run_once_the_command_is_gone(
    cronq: Cronq, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    cronq("add", "job", "@yearly", "--shell", f"read answer < {gate}")
    cronq("trigger", "job")
    with cronq.run() as first:
        command = first.wait_for("attempt_started")["pid"]
        family = [pid for pid in descendants(first.process.pid) if pid != command]
        first.process.kill()
        for pid in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        assert is_alive(command)
        with cronq.run() as second:
            second.wait_for("run_adopted")
            assert cronq.rows("job")[0]["state"] == "running"
            gate.write_text("go\n")
            finished = second.wait_for("attempt_finished")
    assert (finished["outcome"], finished["reason"]) == ("abandoned", "exit status unknown")


@linux_only
def test_killing_a_run_leaves_the_same_numbered_run_of_another_database_alone(
    cronq: Cronq, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir(mode=0o700)
    other = Cronq(tmp_path / "other")
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    cronq(
        "add",
        "stubborn",
        "@yearly",
        "--kill-after",
        "100ms",
        "--shell",
        "trap '' TERM; sleep 1000 & wait; wait",
    )
    other("add", "bystander", "@yearly", "--shell", f"read answer < {gate}; echo $answer")
    for place, job in ((cronq, "stubborn"), (other, "bystander")):
        place("trigger", job)
    with other.run() as beside, cronq.run() as first:
        beside.wait_for("attempt_started", run_id=1)
        command = first.wait_for("attempt_started", run_id=1)["pid"]
        family = [
            pid for pid in descendants(first.process.pid) if pid not in (command, *descendants(command))
        ]
        first.process.kill()
        for pid in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with cronq.run() as second:
            second.wait_for("run_adopted")
            cronq("cancel", "1")
            assert second.wait_for("attempt_finished")["outcome"] == "cancelled"
        gate.write_text("unharmed\n")
        assert beside.wait_for("attempt_finished")["outcome"] == "success"
    assert other("logs", "1") == "unharmed\n"


def test_output_all_shows_the_lines_of_successes_too(cronq: Cronq) -> None:
    cronq("add", "job", "@yearly", "--", "echo", "hi")
    cronq("trigger", "job")
    with cronq.run("--until-idle", "--output", "all") as running:
        assert running.wait_for("attempt_finished")["tail"] == ["hi"]


def test_history_of_a_removed_job_is_still_found_by_its_name(cronq: Cronq) -> None:
    cronq("add", "job", "@yearly", "--", "true")
    cronq("trigger", "job")
    with cronq.run("--until-idle") as running:
        assert running.ended() == 0
    cronq("remove", "job", "--yes")
    assert [run["outcome"] for run in cronq.rows("job")] == ["success"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_row_sigterm_once_waits_for_what_runs(cronq: Cronq, tmp_path: Path, number: int) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    cronq("add", "job", "@yearly", "--shell", f"read answer < {gate}")
    cronq("trigger", "job")
    with cronq.run() as running:
        running.wait_for("attempt_started")
        running.signal(number)
        assert running.wait_for("stopping")["running"] == ["job #1"]
        gate.write_text("go\n")
        assert running.wait_for("attempt_finished")["outcome"] == "success"
        assert running.ended() == 0


@linux_only
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_row_sigterm_twice_kills_the_tree_within_its_bound(cronq: Cronq, number: int) -> None:
    stubborn = "trap '' TERM; setsid sh -c 'trap \"\" TERM; echo $$; sleep 1000' & sleep 1000"
    cronq("add", "job", "@yearly", "--kill-after", "1m", "--shell", stubborn)
    cronq("trigger", "job")
    with cronq.run() as running:
        running.wait_for("attempt_started")
        wait_until(lambda: cronq("logs", "1").strip(), "the grandchild's pid")
        grandchild = int(cronq("logs", "1"))
        running.signal(number)
        running.wait_for("stopping")
        began = time.monotonic()
        running.signal(number)
        assert running.ended() == 130
        assert time.monotonic() - began < 15
        assert not is_alive(grandchild)
    assert cronq.rows("job")[0]["outcome"] == "cancelled"


def test_row_two_schedulers_and_the_second_is_refused_and_told_who_runs(cronq: Cronq) -> None:
    with cronq.run() as running:
        pid = running.wait_for("scheduler_started")["pid"]
        wait_until(
            lambda: "running" in cronq("status") and str(pid) in cronq("status"), "the lock's signature"
        )
        told = cronq("run", code=4)
    assert "error: a scheduler already runs for this database" in told
    assert f"pid {pid} on " in told


def test_changes_from_another_terminal_take_effect_at_once(cronq: Cronq) -> None:
    cronq("add", "job", "@yearly", "--", "sleep", "1000")
    with cronq.run() as running:
        running.wait_for("scheduler_started")
        cronq("add", "soon", "every 1s", "--", "true")
        running.wait_for("attempt_finished", job="soon")
        cronq("pause", "soon")
        cronq("trigger", "job")
        started = running.wait_for("attempt_started", job="job")
        cronq("cancel", str(started["run_id"]))
        finished = running.wait_for("attempt_finished", job="job")
        assert finished["outcome"] == "cancelled"
        assert not is_alive(started["pid"])
        cronq("set", "job", "--", "true")
        cronq("trigger", "job")
        assert running.wait_for("attempt_finished", job="job")["outcome"] == "success"
        paused_runs = len(cronq.rows("soon"))
        cronq("resume", "soon")
        running.wait_for("attempt_finished", job="soon")
    rows = cronq.rows("soon")
    assert len(rows) > paused_runs
    assert_exact(cronq, "soon", 1)


@linux_only
def test_command_that_lives_is_not_started_again_when_the_lock_files_are_gone(
    cronq: Cronq, tmp_path: Path
) -> None:
    gate, witness = tmp_path / "gate", tmp_path / "witness"
    os.mkfifo(gate)
    line = f"echo began >> {witness}; read answer < {gate}"
    options = ("--retries", "3", "--retry-delay", "100ms", "--on-crash", "rerun")
    cronq("add", "long", "@yearly", *options, "--shell", line)
    cronq("trigger", "long")
    with cronq.run() as first:
        first.wait_for("attempt_started")
        workers = first.workers()
        wait_until(witness.exists, "the command")
        first.kill()
        for pid in workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(cronq.home / "cronq.db.attempts")
        with cronq.run() as second:
            second.wait_for("run_adopted", job="long")
            assert witness.read_text().count("began") == 1
            gate.write_text("go\n")
            assert second.wait_for("attempt_finished", job="long")["outcome"] == "abandoned"
            second.wait_for("attempt_started", job="long")
            gate.write_text("go\n")
            assert second.wait_for("attempt_finished", job="long")["outcome"] == "success"


def test_row_two_schedulers_same_host_also_when_the_lock_file_was_removed(cronq: Cronq) -> None:
    cronq("add", "tick", "every 1s", "--", "true")
    lock = cronq.home / "cronq.db.lock"
    with cronq.run() as first:
        first.wait_for("attempt_finished")
        lock.unlink()
        wait_until(lock.exists, "the lock, taken anew")
        cronq("run", "--for", "1s", code=4)
        lock.unlink()
        with cronq.run() as second:
            second.wait_for("scheduler_started")
            # Whoever of the two was first to take the new file stays.
            wait_until(lambda: 4 in (first.process.poll(), second.process.poll()), "one that leaves")
    with cronq.run("--for", "2s") as third:
        assert third.ended() == 0
    assert_exact(cronq, "tick", 1)


def test_shutdown_is_the_reason_also_of_a_run_that_was_adopted(cronq: Cronq) -> None:
    cronq("add", "long", "@yearly", "--", "sleep", "300")
    cronq("trigger", "long")
    with cronq.run() as first:
        first.wait_for("attempt_started")
        first.kill()
        with cronq.run("--drain", "0s") as second:
            second.wait_for("run_adopted")
            second.signal(signal.SIGTERM)
            assert second.ended() == 0
    (row,) = cronq.rows("long")
    assert (row["outcome"], row["reason"]) == ("cancelled", "shutdown")


def test_a_command_that_cannot_start_is_a_failure_with_its_errno(cronq: Cronq) -> None:
    cronq("add", "gone", "@yearly", "--no-check", "--", "/nowhere/at-all")
    cronq("trigger", "gone")
    with cronq.run("--until-idle") as running:
        finished = running.wait_for("attempt_finished")
        assert running.ended() == 0
    assert finished["outcome"] == "failure"
    assert finished["reason"].startswith("spawn_error: ENOENT")


def test_twenty_first_adds_at_once_all_succeed(cronq: Cronq) -> None:
    def add(number: int) -> str:
        return cronq("add", f"job{number}", "@daily", "--", "true")

    with ThreadPoolExecutor(20) as together:
        list(together.map(add, range(20)))
    assert len(cronq("list", "-q").split()) == 20
    assert [path.name for path in cronq.home.iterdir() if path.name.startswith(".cronq")] == []
    assert cronq.database.stat().st_mode & 0o777 == 0o600


def test_systemd_hears_ready_status_watchdog_and_stopping(cronq: Cronq) -> None:
    address = cronq.home / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(address))
        manager.settimeout(20)
        heard = ""
        with cronq.run(NOTIFY_SOCKET=str(address), WATCHDOG_USEC="200000") as running:
            while heard.count("WATCHDOG=1") < 2:
                heard += manager.recv(4096).decode() + "\n"
            running.signal(signal.SIGTERM)
            while "STOPPING=1" not in heard:
                heard += manager.recv(4096).decode() + "\n"
            assert running.ended() == 0
    assert heard.startswith("READY=1\nSTATUS=0 running, 0 queued")


@linux_only
def test_as_pid_1_of_a_container_it_reaps_orphans(cronq: Cronq) -> None:
    isolate = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    if subprocess.run([*isolate, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no right to make a pid namespace")
    count = "ps -eo stat= | grep -c Z || true"
    cronq("add", "orphans", "@yearly", "--shell", "for i in 1 2 3; do (sleep 0.1 &) ; done; sleep 0.5")
    cronq("add", "count", "@yearly", "--shell", count)
    cronq("trigger", "orphans", "count")
    argv = [*isolate, *cronq.argv("run", "--workers", "1", "--until-idle", "--log-format", "json")]
    done = subprocess.run(argv, env=cronq.environ(), capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert events[0]["pid"] == 1
    assert cronq("logs", "count").strip() == "0"


def test_a_running_job_can_be_removed_under_the_eyes_of_systemd(cronq: Cronq, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    cronq("add", "long", "@yearly", "--shell", f"read answer < {gate}")
    cronq("trigger", "long")
    address = cronq.home / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(address))
        environ = {"NOTIFY_SOCKET": str(address), "WATCHDOG_USEC": "100000"}
        with cronq.run(**environ) as first:
            first.wait_for("attempt_started")
            cronq("remove", "long", "--yes")
            first.kill()
            with cronq.run(**environ) as second:
                second.wait_for("run_adopted")
                gate.write_text("go\n")
                assert second.wait_for("attempt_finished")["outcome"] == "success"
                second.signal(signal.SIGTERM)
                assert second.ended() == 0


def test_a_job_whose_zone_is_gone_can_be_repaired_or_removed(cronq: Cronq) -> None:
    for name in ("mend", "drop"):
        cronq("add", name, "every 1s", "--tz", "Europe/Berlin", "--", "true")
    with sqlite3.connect(cronq.database) as db:
        db.execute("UPDATE definition SET document = replace(document, 'Europe/Berlin', 'Mars/Olympus')")
    db.close()
    with cronq.run() as running:
        wait_until(
            lambda: "paused" in cronq("list", "mend") and "paused" in cronq("list", "drop"), "set aside"
        )
        cronq("set", "mend", "--tz", "UTC")
        cronq("resume", "mend")
        assert running.wait_for("attempt_finished", job="mend")["outcome"] == "success"
        cronq("remove", "drop", "--yes")
    assert cronq("list", "-q").split() == ["mend"]
