"""What the README claims is run."""

from __future__ import annotations

import os
import pty
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from cronq.cli._commands import ENTRIES
from tests.docs.readme import README, ROOT, blocks, commands, marked


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """An environment with `cronq` on its PATH and an empty home."""
    shim = tmp_path / "bin" / "cronq"
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/sh\nexec {sys.executable} -m cronq "$@"\n')
    shim.chmod(0o755)
    home = tmp_path / "home"
    home.mkdir()
    return {
        "PATH": f"{shim.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "HOME": str(home),
        "TERM": "dumb",
        "COLUMNS": "200",
        "TZ": "UTC",
        "LANG": "C.UTF-8",
    }


def in_terminal(command: str, environ: dict[str, str], cwd: Path) -> str:
    """Run a shell line on a terminal of its own; return what it shows."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        ["/bin/sh", "-c", command], stdin=slave, stdout=slave, stderr=slave, env=environ, cwd=cwd
    )
    os.close(slave)
    shown = b""
    try:
        while chunk := os.read(master, 65536):
            shown += chunk
    except OSError:
        pass  # EIO: Linux's word for the end of a terminal
    finally:
        os.close(master)
    assert process.wait(60) == 0, (command, shown)
    return shown.decode().replace("\r\n", "\n")


def pattern_of(expected: list[str]) -> str:
    """Return a regular expression; `...` stands for anything in a line, alone for any lines."""
    lines = [".*" if line == "..." else re.escape(line).replace(r"\.\.\.", "[^\n]*") for line in expected]
    lines = [line.replace(r"in\ 1s", r"(?:now|in \d+s)") for line in lines]
    return "(?s)" + "\n".join(lines).replace("\n.*\n", "\n(?:.*\n)?") + r"\s*"


@pytest.mark.parametrize("block", blocks("console"), ids=lambda block: block.splitlines()[0][2:40])
def test_transcripts_show_what_really_happens(block: str, environ: dict[str, str], tmp_path: Path) -> None:
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, *expected = part.splitlines()
        shown = in_terminal(command, environ, tmp_path)
        assert re.fullmatch(pattern_of(expected), shown), (command, shown, expected)


@pytest.mark.parametrize("block", blocks("python"), ids=["library"])
def test_python_examples_do_what_their_comments_say(block: str) -> None:
    scope: dict[str, object] = {}
    for statement in block.strip().splitlines():
        code, _, comment = statement.partition("  # ")
        if comment:
            assert comment.startswith(f"{eval(code, scope):%Y-%m-%d %H:%M %Z}"), statement
        else:
            exec(code, scope)


def test_the_five_jobs_can_be_added_and_executed(environ: dict[str, str], tmp_path: Path) -> None:
    work = tmp_path / "work"
    (work / "data").mkdir(parents=True)
    (work / "data" / "one").write_text("1")
    for line in commands(marked("classic")):
        subprocess.run(["/bin/sh", "-c", line], env=environ, cwd=work, check=True, capture_output=True)
    for name in ("daily-report", "sync", "clean-up", "newsletter", "cache-warm"):
        done = subprocess.run(
            ["cronq", "exec", name], env=environ, cwd=tmp_path, check=False, capture_output=True
        )
        assert (done.returncode, done.stderr) == (0, b""), name
    names = {path.name for path in work.iterdir()}
    assert {"mirror", "cache", "outbox.txt"} < names
    assert (work / "mirror" / "one").read_text() == "1"
    assert [name for name in names if re.fullmatch(r"report-\d{4}-\d\d-\d\d\.txt", name)]


def test_the_file_of_jobs_can_be_applied_and_is_exported_as_the_same(
    environ: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "cronq.toml").write_text(marked("jobs-as-code"))

    def cronq(*arguments: str) -> str:
        done = subprocess.run(
            ["cronq", *arguments], env=environ, cwd=tmp_path, check=True, capture_output=True, text=True
        )
        return done.stdout

    assert cronq("apply").endswith("2 added, 0 changed, 0 removed, 0 unchanged\n")
    (tmp_path / "cronq.toml").write_text(cronq("export"))
    assert cronq("apply", "--prune").endswith("0 added, 0 changed, 0 removed, 2 unchanged\n")


def test_the_nodes_of_one_machine_share_a_ledger(environ: dict[str, str], tmp_path: Path) -> None:
    # Not in the test's folder: root's server runs as somebody who cannot go there.
    folder = Path(tempfile.mkdtemp(prefix="cronq-readme-"))
    folder.chmod(0o711)
    own = {**environ, "XDG_DATA_HOME": str(folder)}
    install, *lines = marked("nodes").strip().splitlines()
    assert install == "pip install --quiet 'cronq-cli[postgres-embedded]'"
    try:
        done = subprocess.run(
            ["/bin/sh", "-c", "\n".join(lines)],
            env=own,
            cwd=tmp_path,
            check=True,
            capture_output=True,
            text=True,
            timeout=100,
        )
    finally:
        stop = ["cronq", "db", "stop", "--db", "postgresql+embedded", "--force"]
        subprocess.run(stop, env=own, cwd=tmp_path, check=True, capture_output=True)
        shutil.rmtree(folder)
    assert "schedulers\t2 running" in done.stdout
    assert "nodes\t4 nodes on 1 host" in done.stdout
    assert re.search(r"ledger proven: 1 job, \d+ fire times, 0 differences", done.stdout + done.stderr)
    started = re.findall(r"attempt_started job=hello run_id=(\d+)", done.stdout)
    assert len(started) == len(set(started)) >= 2


def test_every_command_is_in_the_readme() -> None:
    text = README.read_text()
    missing = [entry.name for entry in ENTRIES if f"`cronq {entry.name}" not in text]
    assert missing == []


def test_the_two_set_up_commands_are_one_line_each_and_come_first() -> None:
    first, tests = commands(marked("first")), commands(marked("tests"))
    assert len(first) == len(tests) == 1
    assert README.read_text().index("<!-- tests -->") < 1000


@pytest.mark.slow
def test_the_first_command_works_as_pasted(tmp_path: Path) -> None:
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(tmp_path / "clone")], check=True)
    done = subprocess.run(
        ["/bin/sh", "-c", marked("first")], cwd=tmp_path / "clone", check=True, capture_output=True, text=True
    )
    assert done.stdout.count("hello from cronq") >= 2
