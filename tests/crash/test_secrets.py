"""Values marked as secret, with the real program: in no event, log, reason, or list of processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.crash.program import Cronq, is_alive, wait_until

SECRET = "correct-horse-battery"
LINES = "-----BEGIN KEY-----\nabcdefghijkl\nmnopqrstuvwx\n-----END KEY-----"


@pytest.fixture
def cronq(tmp_path: Path) -> Cronq:
    found = Cronq(tmp_path)
    file = tmp_path / "vars"
    file.write_text(f'TOKEN={SECRET}\nKEY="{LINES}"\n'.replace(LINES, LINES.replace("\n", "\\n")))
    file.chmod(0o600)
    return found


def add(cronq: Cronq, name: str, *more: str) -> None:
    options = ["--env-file", str(cronq.home / "vars"), "--secret", "TOKEN", "--secret", "KEY"]
    cronq("add", name, "@yearly", "--cwd", str(cronq.home), *options, *more)


def log_of(cronq: Cronq, run: int) -> Path:
    return Path(f"{cronq.database}.logs/000000/{run}.1.log")


def text_of_running(cronq: Cronq) -> str:
    """Return what the only attempt that runs has printed so far."""
    return "".join(path.read_text() for path in Path(f"{cronq.database}.logs").glob("*.out"))


def everything_of(cronq: Cronq) -> Iterator[bytes]:
    """Yield all files beside the database; the file of variables holds the values by right."""
    for path in cronq.home.rglob("*"):
        if path.is_file() and path.name != "vars":
            yield path.read_bytes()


def test_row_secret_values_are_masked_in_events_in_logs_and_at_rest(cronq: Cronq) -> None:
    add(cronq, "job", "--shell", 'echo "token $TOKEN"; echo "$KEY" | sed "s/^/> /"; echo "$KEY"; exit 1')
    with cronq.run() as running:
        cronq("trigger", "job")
        ended = running.wait_for("attempt_finished", job="job")
        assert ended["tail"] == ["> ***", "> ***", "***"]
        running.signal(signal.SIGTERM)
        assert running.ended() == 0
        assert SECRET not in json.dumps(running.events) + running.errors()
    assert log_of(cronq, 1).read_text() == "token ***\n> ***\n> ***\n> ***\n> ***\n***\n"
    assert log_of(cronq, 1).stat().st_mode & 0o777 == 0o600
    assert not [data for data in everything_of(cronq) if SECRET.encode() in data or b"abcdefghijkl" in data]


def test_secret_in_an_exception_is_masked_in_the_reason(cronq: Cronq) -> None:
    (cronq.home / "leaky.py").write_text(
        "import os\ndef leak():\n    print(os.environ['TOKEN'])\n    raise ValueError(os.environ['TOKEN'])\n"
    )
    add(cronq, "job", "--python", "leaky:leak")
    with cronq.run() as running:
        cronq("trigger", "job")
        assert running.wait_for("attempt_finished")["reason"] == "exception: ValueError: ***"
    (run,) = cronq.rows("job")
    assert run["reason"] == "exception: ValueError: ***"
    shown = log_of(cronq, 1).read_text()
    assert "\nValueError: ***\n" in shown
    assert shown.endswith("\n***\n")
    assert SECRET not in shown


def test_follower_never_sees_half_a_secret(cronq: Cronq) -> None:
    gates = [cronq.home / name for name in ("one", "two")]
    for gate in gates:
        os.mkfifo(gate)
    half, rest = SECRET[:9], SECRET[9:]
    # The environment has the value; the line below must not, so that it is printed in two halves.
    add(
        cronq,
        "job",
        "--shell",
        f"printf %s {half}; read x <one; printf '%s\\n' {rest}; read x <two; echo end",
    )
    with cronq.run() as running:
        cronq("trigger", "job")
        running.wait_for("attempt_started")
        with subprocess.Popen(
            cronq.argv("logs", "job", "-f"), env=cronq.environ(), stdout=subprocess.PIPE, text=True
        ) as following:
            wait_until(lambda: text_of_running(cronq) == half, "the first half")
            assert cronq("logs", "job") == "***"
            gates[0].write_text("go\n")
            assert following.stdout is not None
            assert following.stdout.readline() == "***\n"
            gates[1].write_text("go\n")
            assert following.stdout.read() == "end\n"
        running.wait_for("attempt_finished")
    assert log_of(cronq, 1).read_text() == "***\nend\n"


def test_secret_is_in_no_list_of_processes_and_no_answer(cronq: Cronq) -> None:
    gate = cronq.home / "gate"
    os.mkfifo(gate)
    add(cronq, "job", "--shell", "echo begun; read x <gate")
    with cronq.run() as running:
        cronq("trigger", "job")
        running.wait_for("attempt_started")
        seen = [
            path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if os.access(path, os.R_OK)
        ]
        assert any(b"read x <gate" in line for line in seen)
        assert not [line for line in seen if SECRET.encode() in line]
        gate.write_text("go\n")
        running.wait_for("attempt_finished")
    answers = [
        cronq("set", "job", "--env", f"OWN={SECRET}", "--secret", "OWN"),
        cronq("set", "job", "--env", "OWN=another-value"),
        cronq("set", "job", "--unset-env", "OWN", code=0),
        *(
            cronq(*words)
            for words in (("show", "job"), ("show", "job", "--json"), ("list", "-v"), ("doctor",))
        ),
        *(cronq("logs", "job", *more) for more in ((), ("--json",), ("-f",))),
        *(cronq("runs", "job", *more) for more in ((), ("--json",))),
    ]
    assert not [answer for answer in answers if SECRET in answer]


def test_row_scheduler_and_worker_die_while_a_secret_is_in_the_log_and_it_is_masked(cronq: Cronq) -> None:
    gate = cronq.home / "gate"
    os.mkfifo(gate)
    add(cronq, "job", "--shell", "echo $TOKEN; read x <gate; echo $TOKEN")
    with cronq.run() as running:
        cronq("trigger", "job")
        pid = running.wait_for("attempt_started")["pid"]
        wait_until(lambda: text_of_running(cronq) == f"{SECRET}\n", "the first line")
        workers = running.workers()
        running.kill()
        for worker in workers:
            with suppress(ProcessLookupError):  # one that was idle leaves by itself
                os.kill(worker, signal.SIGKILL)
        # Nobody is there who could mask the file, but whoever shows it does.
        assert cronq("logs", "job") == "***\n"
        with cronq.run() as second:
            second.wait_for("run_adopted")
            gate.write_text("go\n")
            ended = second.wait_for("attempt_finished")
            assert (ended["outcome"], ended["tail"]) == ("abandoned", ["***", "***"])
            assert not is_alive(pid)
    assert log_of(cronq, 1).read_text() == "***\n***\n"
