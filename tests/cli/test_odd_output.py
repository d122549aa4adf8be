"""Output and texts that nobody asked for: shown harmless on a terminal, byte for byte in a pipe."""

from __future__ import annotations

import io
import json
import os
import pty
import select
import subprocess
import sys
from datetime import UTC
from pathlib import Path

import pytest

from cronq.events import AttemptFinished, RunningRun, Snapshot
from cronq.model import Command, CommandKind, Definition, Outcome
from cronq.render.footer import TerminalDisplay
from cronq.render.live import JsonDisplay, TextDisplay
from cronq.render.terminal import Terminal
from cronq.render.text import plain
from cronq.store import NewJob
from cronq.worker.files import tail_lines
from tests.cli.world import World

ROOT = Path(__file__).parents[2]
MIB = 1024 * 1024

ESCAPES = (
    b"csi \x1b[31mred\x1b[2J clear\n"
    b"title \x1b]0;owned\x07 link \x1b]8;;http://evil\x1b\\text\x1b]8;;\x1b\\ clip \x1b]52;c;ZXZpbA==\x07\n"
    b"over\rwritten back\b\b\bspace bell\x07 nul\x00 del\x7f\n"
    b"c1 \xc2\x9b31mutf-8 \x9b31mraw \xc2\x90dcs \xc2\x9dosc\n"
    b"bidi \xe2\x80\xaereversed \xe2\x81\xa6isolated \xe2\x80\x8fmark\n"
    b"sep \xe2\x80\xa8line \xe2\x80\xa9paragraph\n"
)
ODD = {
    "binary": bytes(range(256)) * 4,
    "no newline": b"the last line",
    "invalid": b"caf\xe9 \xff\xfe \xc3(\n\xed\xa0\x80 \xf4\x90\x80\x80\n",
    "half a character at the end": b"ends amid \xe2\x82",
    "escapes": ESCAPES,
    "markup": b"[red]not red[/red] [link=http://evil]x[/link] [/] \\[bold] :smile:\n",
    "windows": b"one\r\ntwo\r\n",
    "nothing": b"",
}
EVERY = pytest.mark.parametrize("data", ODD.values(), ids=ODD.keys())


@pytest.fixture
def ended(world: World) -> World:
    """A world with one run, which failed."""
    world.run("add", "job", "@daily", "--no-check", "--", "job")
    world.run("trigger", "job")
    world.play(Outcome.FAILURE, reason="exit 1")
    return world


def write(world: World, data: bytes) -> Path:
    world.write_log(1, 1, "")
    (path,) = world.root.rglob("1.1.log")
    path.write_bytes(data)
    return path


def real(world: World, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "cronq", *arguments],
        cwd=world.root / "work",
        env={**world.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )


def is_harmless(text: str, keep: str = "\n\t") -> bool:
    return plain(text, keep=keep) == text


@EVERY
@pytest.mark.parametrize("follow", [(), ("-f",)])
def test_terminal_shows_it_harmless(ended: World, data: bytes, follow: tuple[str, ...]) -> None:
    write(ended, data)
    answer = ended.run("logs", "job", *follow)
    assert answer.code == 0
    assert is_harmless(answer.out + answer.err)
    # What can be read is all there, and nothing is swallowed at the end.
    expected = data.decode("utf-8", "replace").replace("\r\n", "\n")
    assert answer.out == plain(expected, keep="\n\t")


@EVERY
@pytest.mark.parametrize("how", [("--json",), ("--json", "-f")])
def test_json_says_it_exactly_and_harmless(ended: World, data: bytes, how: tuple[str, ...]) -> None:
    write(ended, data)
    answer = ended.run("logs", "job", *how)
    assert is_harmless(answer.out)
    if "-f" in how:
        lines = [json.loads(line)["line"] for line in answer.out.splitlines()]
    else:
        lines = json.loads(answer.out)["lines"]
    text = data.decode("utf-8", "replace")
    assert "\n".join(lines) == text.removesuffix("\n")


@EVERY
def test_pipe_gets_every_byte(ended: World, data: bytes) -> None:
    write(ended, data)
    assert real(ended, "logs", "job").stdout == data


def test_pipe_of_a_follower_gets_every_byte(ended: World) -> None:
    write(ended, b"".join(ODD.values()))
    assert real(ended, "logs", "job", "-f").stdout == b"".join(ODD.values())


@EVERY
def test_last_lines_are_harmless_in_every_display(ended: World, data: bytes) -> None:
    tail = tail_lines(write(ended, data), count=100)
    event = AttemptFinished(ended.now, "job", 1, 1, Outcome.FAILURE, "exit 1", 1, None, 1.0, None, 1, 0, tail)
    out = io.StringIO()
    text = TextDisplay(out, "fail")
    text.event(event)
    text.flush()
    assert is_harmless(out.getvalue())
    assert len(out.getvalue().splitlines()) == 1 + len(tail)
    out = io.StringIO()
    document = JsonDisplay(out, "fail")
    document.event(event)
    document.flush()
    assert is_harmless(out.getvalue())
    assert json.loads(out.getvalue())["tail"] == list(tail)
    out = io.StringIO()
    display = TerminalDisplay(Terminal(out, io.StringIO(), True, True, animated=True, zone=UTC), "fail")
    display.event(event)
    shown = out.getvalue()
    # Rich speaks to the terminal itself: hide the cursor, erase the footer.
    for ours in ("\x1b[?25l", "\x1b[?25h", "\x1b[2K", "\x1b[1A", "\r"):
        shown = shown.replace(ours, "")
    assert is_harmless(shown)
    for line in tail:
        assert plain(line) in shown


def test_line_of_50_mb_goes_through_everywhere(ended: World) -> None:
    line = b"0123456789" * (5 * MIB)
    path = write(ended, line)
    done = real(ended, "logs", "job")
    assert done.stdout == line
    assert real(ended, "logs", "job", "-n", "1").stdout == line
    assert ended.run("logs", "job").out == line.decode()
    assert json.loads(ended.run("logs", "job", "-f", "--json").out)["line"] == line.decode()
    (last,) = tail_lines(path)
    assert line.decode().endswith(last)


def test_stdout_that_is_closed_or_closes_is_no_error(ended: World) -> None:
    write(ended, b"line\n" * 200_000)
    environ = {**ended.environ, "PYTHONPATH": str(ROOT)}
    for line in ('"$@" >&-', '{ "$@"; echo "$?" >&3; } 3>&2 | head -c 10 >&2'):
        done = subprocess.run(
            ["/bin/sh", "-c", line, "sh", sys.executable, "-m", "cronq", "logs", "job"],
            cwd=ended.root / "work",
            env=environ,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0
        assert done.stderr in {"", "line\nline\n0\n"}


def test_real_terminal_is_not_obeyed_either(ended: World) -> None:
    write(ended, ESCAPES)
    master, slave = pty.openpty()
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "cronq", "logs", "job"],
            cwd=ended.root / "work",
            env={**ended.environ, "PYTHONPATH": str(ROOT)},
            stdin=slave,
            stdout=slave,
            stderr=slave,
        )
        shown = b""
        while process.poll() is None or select.select([master], [], [], 0)[0]:
            if select.select([master], [], [], 0.05)[0]:
                shown += os.read(master, 65536)
        assert process.returncode == 0
    finally:
        os.close(slave)
        os.close(master)
    assert b"^[[31mred" in shown
    assert is_harmless(shown.replace(b"\r\n", b"\n").decode())


# Texts that reach the database on other ways than `cronq add`, which refuses most of them.

EVIL = "a\x1b]0;owned\x07\nb\r\t\x9bc\u202ed[red]e[/red]"


@pytest.fixture
def evil(world: World) -> World:
    """A world in which everything has a hostile name."""
    command = Command(CommandKind.ARGV, (EVIL, EVIL))
    definition = Definition(
        command, "@hourly", cwd=f"/{EVIL}", path=EVIL, env=((EVIL, EVIL),), env_file=f"/{EVIL}", stdin=EVIL
    )
    store = world.store()
    for name, what in ((EVIL, definition), ("shell", definition._replace(command=_shell()))):
        store.add_job(NewJob(name, what, world.now + 1), now=world.now)
    store.trigger([EVIL], now=world.now)
    store.close()
    world.play(Outcome.FAILURE, reason=f"spawn_error: {EVIL}", output=EVIL)
    store = world.store()
    store.trigger([EVIL, "shell"], now=world.now)
    store.close()
    world.play(Outcome.CANCELLED, reason=EVIL)
    return world


def _shell() -> Command:
    return Command(CommandKind.SHELL, (EVIL,))


@pytest.mark.parametrize(
    "words",
    [
        ("list",),
        ("list", "-v"),
        ("show", EVIL),
        ("show", EVIL, "-v", "--reveal"),
        ("show", "shell"),
        ("runs",),
        ("runs", EVIL),
        ("logs", "1"),
        ("logs", EVIL),
        ("status",),
        ("doctor",),
        ("check",),
        ("next", EVIL),
        ("why", EVIL),
        ("lock",),
        ("audit",),
        ("prune", "--dry-run"),
        ("set", EVIL, "--timeout", "1h"),
        ("set", "shell", "--shell", "true"),
        ("pause", EVIL),
        ("trigger", EVIL),
        ("cancel", "2"),
        ("retry", "1"),
        ("remove", EVIL, "--yes"),
        ("show", f"{EVIL}x"),
        ("add", EVIL, "@daily", "--", EVIL),
        ("add", "x", EVIL, "--", EVIL),
        ("add", "x", "@daily", "--timeout", EVIL, "--env", f"{EVIL}=1", "--cwd", EVIL, "--", "true"),
        (EVIL,),
        ("list", f"--{EVIL}"),
    ],
)
def test_hostile_texts_are_harmless_in_every_command(evil: World, words: tuple[str, ...]) -> None:
    for more in ((), ("--json",)):
        answer = evil.run(*words, *more)
        assert answer.code != 70, answer.err
        assert is_harmless(answer.out + answer.err), (words, answer)
    if words[0] != "logs":  # which gives a pipe what it was given
        answer = evil.run(*words, tty=False)
        assert is_harmless(answer.out + answer.err)
        assert all("owned" not in line or "a^[]0;" in line for line in answer.out.splitlines())


def test_hostile_names_are_harmless_in_the_footer(evil: World) -> None:
    snapshot = Snapshot(evil.now, (RunningRun(EVIL, 1, evil.now, 5.0),), ((EVIL, evil.now + 5),), 1, 2)
    out = io.StringIO()
    display = TerminalDisplay(Terminal(out, io.StringIO(), True, True, width=200, animated=True), "all")
    display.redraw(snapshot)
    display.close()
    assert "\x1b]0;" not in out.getvalue()
    assert "\x9b" not in out.getvalue()
    assert "[red]e[/red]" in out.getvalue()
