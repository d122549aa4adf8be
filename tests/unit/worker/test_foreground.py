"""`cronq exec`: a command with the surroundings of a run and the streams of the caller."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import sys
from cronq.model import Command, CommandKind, Definition
from cronq.worker.foreground import run_foreground
kind, word, cwd, path = sys.argv[1:]
what = Definition(Command(CommandKind(kind), (word,)), "every 1h", cwd=cwd, path=path)
sys.exit(run_foreground(what, job="job", now=0))
"""


def run(kind: str, word: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, kind, word, str(cwd), os.environ["PATH"]],
        input="typed\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("line", "status"), [("exit 0", 0), ("exit 23", 23), ("kill -9 $$", 137), ("kill -INT $$", 130)]
)
def test_status_is_that_of_the_shell(tmp_path: Path, line: str, status: int) -> None:
    assert run("shell", line, tmp_path).returncode == status


def test_streams_are_those_of_the_caller(tmp_path: Path) -> None:
    done = run("shell", "cat; pwd; echo $CRONQ_JOB $CRONQ_FIRE_TIME; echo oops >&2", tmp_path)
    assert done.stdout == f"typed\n{tmp_path}\njob 1970-01-01T00:00:00Z\n"
    assert done.stderr == "oops\n"


@pytest.mark.parametrize(("word", "status"), [("no-such-command", 127), ("/etc/passwd", 126)])
def test_command_that_cannot_be_started_is_explained(tmp_path: Path, word: str, status: int) -> None:
    done = run("argv", word, tmp_path)
    assert done.returncode == status
    assert done.stderr.startswith("error: E")


@pytest.mark.parametrize(("name", "status"), [("fine", 0), ("fail", 1), ("leave", 7), ("none", 1)])
def test_callable_is_called_here(tmp_path: Path, name: str, status: int) -> None:
    (tmp_path / "tasks.py").write_text(
        "import sys\ndef fine(): print(input())\ndef fail(): raise ValueError\ndef leave(): sys.exit(7)\n"
    )
    done = run("python", f"tasks:{name}", tmp_path)
    assert done.returncode == status
    assert done.stdout == ("typed\n" if name == "fine" else "")
