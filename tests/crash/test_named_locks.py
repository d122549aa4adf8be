"""Named locks between runs and commands outside, with real processes; and what a kill does to them."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.program import DEADLINE_S, Cronq, descendants, is_alive, wait_until

linux_only = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes in /proc")


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    path = tmp_path / "gate"
    os.mkfifo(path)
    return path


@pytest.fixture
def outside(cronq: Cronq) -> Iterator[list[subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        for pid in [*descendants(process.pid), process.pid]:
            if is_alive(pid):
                os.kill(pid, signal.SIGKILL)
        process.communicate(timeout=DEADLINE_S)


def start(cronq: Cronq, outside: list[subprocess.Popen[str]], *words: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        cronq.argv("lock", *words),
        env=cronq.environ(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    outside.append(process)
    return process


def holders(cronq: Cronq, name: str = "db") -> list[str]:
    (lock,) = json.loads(cronq("lock", name, "--json"))["locks"]
    return [user["job"] or user["command"] for user in lock["held_by"]]


def waiting(cronq: Cronq, name: str = "db") -> list[str]:
    (lock,) = json.loads(cronq("lock", name, "--json"))["locks"]
    return [user["job"] or user["command"] for user in lock["waiting"]]


def test_run_waits_for_a_command_outside_and_list_says_for_whom(
    cronq: Cronq, gate: Path, outside: list[subprocess.Popen[str]]
) -> None:
    cronq("add", "backup", "@yearly", "--lock", "db:1", "--", "true")
    holder = start(cronq, outside, "db", "--", "sh", "-c", f"read answer < {gate}")
    wait_until(lambda: holders(cronq), "taken")
    with cronq.run() as running:
        cronq("trigger", "backup")
        wait_until(lambda: waiting(cronq) == ["backup"], "in line")
        (job,) = json.loads(cronq("list", "--json"))["jobs"]
        assert job["waits_for"] == ["db"]
        assert cronq("list").rstrip().endswith("waits for db")
        gate.write_text("go\n")
        assert running.wait_for("attempt_finished")["outcome"] == "success"
    assert holder.wait(DEADLINE_S) == 0
    assert holders(cronq) == []


def test_command_outside_waits_for_a_run_and_passes_on_its_exit_code(
    cronq: Cronq, gate: Path, outside: list[subprocess.Popen[str]]
) -> None:
    cronq("add", "backup", "@yearly", "--lock", "db", "--shell", f"read answer < {gate}")
    with cronq.run() as running:
        cronq("trigger", "backup")
        running.wait_for("attempt_started")
        waiter = start(cronq, outside, "db", "--", "sh", "-c", "echo had it; exit 7")
        assert waiter.stderr is not None
        assert waiter.stderr.readline() == "waiting for db; db is held by backup #1\n"
        gate.write_text("go\n")
        running.wait_for("attempt_finished")
        out, _ = waiter.communicate(timeout=DEADLINE_S)
    assert (waiter.returncode, out) == (7, "had it\n")


@linux_only
def test_killed_holder_frees_the_lock_for_a_run_but_only_when_its_command_is_dead_too(
    cronq: Cronq, gate: Path, outside: list[subprocess.Popen[str]]
) -> None:
    cronq("add", "backup", "@yearly", "--lock", "db:1", "--", "true")
    holder = start(cronq, outside, "db", "--", "sh", "-c", f"read answer < {gate}; true")
    wait_until(lambda: descendants(holder.pid), "the command")
    (command,) = descendants(holder.pid)
    with cronq.run() as running:
        cronq("trigger", "backup")
        wait_until(lambda: waiting(cronq) == ["backup"], "in line")
        holder.kill()
        holder.wait(DEADLINE_S)
        # Two looks at those outside later the command still holds it.
        cronq("add", "tick", "every 1s", "--", "true")
        for _ in range(3):
            running.wait_for("attempt_finished", job="tick")
        assert waiting(cronq) == ["backup"]
        os.kill(command, signal.SIGKILL)
        assert running.wait_for("attempt_finished", job="backup")["outcome"] == "success"


def test_job_takes_a_lock_for_which_a_run_waits_that_has_no_slot(cronq: Cronq, gate: Path) -> None:
    cronq("add", "inner", "@yearly", "--lock", "db:1", "--", "true")
    environ = cronq.environ()
    named = [f"{name}={environ[name]}" for name in ("PYTHONPATH", "CRONQ_DB") if name in environ]
    lock = shlex.join(["env", *named, *cronq.argv("lock", "db", "--", "true")])
    cronq("add", "outer", "@yearly", "--timeout", "20s", "--shell", f"read answer < {gate}; {lock}")
    with cronq.run("--workers", "1") as running:
        cronq("trigger", "outer")
        running.wait_for("attempt_started", job="outer")
        cronq("trigger", "inner")
        gate.write_text("go\n")
        assert running.wait_for("attempt_finished")["outcome"] == "success"
        assert running.wait_for("attempt_finished")["job"] == "inner"


@linux_only
@pytest.mark.parametrize("dies", ["holder", "waiter"])
def test_killed_command_outside_keeps_nobody_outside_waiting_while_an_idle_scheduler_lives(
    cronq: Cronq, outside: list[subprocess.Popen[str]], dies: str
) -> None:
    cronq("lock", "db", "--holders", "1")
    with cronq.run() as running:
        running.wait_for("scheduler_started")
        holder = start(cronq, outside, "db", "--", "cat")
        wait_until(lambda: descendants(holder.pid), "the command")
        victim = holder
        if dies == "waiter":
            victim = start(cronq, outside, "db", "--", "true")
            wait_until(lambda: waiting(cronq), "in line")
        for pid in [victim.pid, *descendants(victim.pid)]:
            os.kill(pid, signal.SIGKILL)
        victim.wait(DEADLINE_S)
        if dies == "waiter":
            holder.terminate()
            holder.wait(DEADLINE_S)
        assert cronq("lock", "db", "--timeout", "20s", "--", "echo", "mine") == "mine\n"
        assert (holders(cronq), waiting(cronq)) == ([], [])


@linux_only
def test_stopped_command_outside_lets_others_pass_and_has_its_turn_when_it_continues(
    cronq: Cronq, outside: list[subprocess.Popen[str]]
) -> None:
    cronq("add", "backup", "@yearly", "--lock", "db:1", "--", "true")
    holder = start(cronq, outside, "db", "--", "cat")
    wait_until(lambda: holders(cronq), "taken")
    sleeper = start(cronq, outside, "db", "--", "echo", "at last")
    wait_until(lambda: waiting(cronq), "in line")
    sleeper.send_signal(signal.SIGSTOP)
    holder.terminate()
    holder.wait(DEADLINE_S)
    assert cronq("lock", "db", "--timeout", "20s", "--", "echo", "mine") == "mine\n"
    with cronq.run() as running:
        cronq("trigger", "backup")
        assert running.wait_for("attempt_finished")["outcome"] == "success"
        assert waiting(cronq) == ["echo 'at last'"]
        sleeper.send_signal(signal.SIGCONT)
        assert sleeper.communicate(timeout=DEADLINE_S)[0] == "at last\n"


@linux_only
def test_run_whose_scheduler_worker_and_command_were_killed_keeps_nobody_outside_waiting(
    cronq: Cronq, gate: Path, outside: list[subprocess.Popen[str]]
) -> None:
    cronq("add", "backup", "@yearly", "--lock", "db:1", "--shell", f"read answer < {gate}")
    with cronq.run() as running:
        cronq("trigger", "backup")
        pid = running.wait_for("attempt_started")["pid"]
        workers = running.workers()
        running.kill()
        waiter = start(cronq, outside, "db", "--", "echo", "mine")
        assert waiter.stderr is not None
        assert "held by backup #1" in waiter.stderr.readline()
        for victim in (*workers, pid):
            with contextlib.suppress(ProcessLookupError):  # an idle worker has left by itself
                os.kill(victim, signal.SIGKILL)
        out, _ = waiter.communicate(timeout=DEADLINE_S)
    assert out == "mine\n"


def test_waiting_ends_with_time_and_with_a_signal_and_leaves_no_place_in_the_line(
    cronq: Cronq, gate: Path, outside: list[subprocess.Popen[str]]
) -> None:
    cronq("lock", "db", "--holders", "1")
    start(cronq, outside, "db", "--", "sh", "-c", f"read answer < {gate}")
    wait_until(lambda: holders(cronq), "taken")
    cronq("lock", "db", "--timeout", "300ms", "--", "true", code=124)
    impatient = start(cronq, outside, "db", "--", "true")
    wait_until(lambda: waiting(cronq), "in line")
    impatient.send_signal(signal.SIGTERM)
    assert impatient.wait(DEADLINE_S) == 128 + signal.SIGTERM
    assert waiting(cronq) == []
    gate.write_text("go\n")


def test_terminated_holder_passes_the_signal_on_and_waits_for_its_command(
    cronq: Cronq, outside: list[subprocess.Popen[str]]
) -> None:
    cronq("lock", "db", "--holders", "1")
    script = "trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.05; done"
    holder = start(cronq, outside, "db", "--", "sh", "-c", script)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "ready\n"
    holder.send_signal(signal.SIGTERM)
    out, _ = holder.communicate(timeout=DEADLINE_S)
    assert (holder.returncode, out) == (3, "bye\n")
    assert holders(cronq) == []


def test_four_jobs_and_outside_commands_never_hold_a_counted_lock_three_at_a_time(
    cronq: Cronq, tmp_path: Path, outside: list[subprocess.Popen[str]]
) -> None:
    witness = tmp_path / "witness"
    line = f"echo + >> {witness}; sleep 0.05; echo - >> {witness}"
    for name in "abcd":
        cronq("add", name, "every 1s", "--lock", "gpu:2", "--overlap", "queue", "--shell", line)
    with cronq.run("--for", "4s") as running:
        running.wait_for("attempt_started")
        for _ in range(6):
            start(cronq, outside, "gpu", "--", "sh", "-c", line)
        assert running.ended() == 0
    for process in outside:
        assert process.wait(DEADLINE_S) == 0
    inside = most = 0
    signs = witness.read_text().split()
    for sign in signs:
        inside += 1 if sign == "+" else -1
        most = max(most, inside)
    assert (inside, most) == (0, 2)
    assert len(signs) >= 2 * (4 * 3 + 6)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["nothing", "--", "true"], 3, "no lock named `nothing`"),
        (["db:2", "--", "true"], 2, "is no name"),
        (["--", "true"], 2, "there is no name"),
        (["db", "--"], 2, "the command is empty"),
        (["db", "--holders", "2", "--", "true"], 2, "take no command"),
        (["db", "--timeout", "1s"], 2, "needs a command"),
        (["db", "--timeout", "soon", "--", "true"], 2, "soon"),
        (["a", "b", "--holders", "2"], 2, "give one name"),
        (["db", "--holders", "2", "--remove"], 2, "contradict"),
        (["db", "--", "/nowhere/at-all"], 127, "No such file"),
        (["db", "--", "/"], 126, "denied"),
    ],
)
def test_what_cannot_be_done_is_refused(cronq: Cronq, words: list[str], code: int, message: str) -> None:
    cronq("lock", "db", "--holders", "1")
    assert message in cronq("lock", *words, code=code)
    (lock,) = json.loads(cronq("lock", "--json"))["locks"]
    assert (lock["name"], lock["holders"], lock["held_by"], lock["waiting"]) == ("db", 1, [], [])
