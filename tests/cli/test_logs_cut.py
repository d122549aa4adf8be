"""`cronq logs` of output that was cut: while the command runs, and afterwards."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cronq.model import AttemptEnd, AttemptStart, Outcome
from cronq.worker import output as output_module
from cronq.worker.cap import INCOMPLETE
from cronq.worker.output import Output
from tests.cli.world import World
from tests.unit.worker.rig import log_at

KIB = 1024
LINE = b"0123456789abcde\n"


@pytest.fixture
def running(world: World) -> World:
    """A world in which a command with a small cap runs."""
    world.run(
        "add",
        "job",
        "@daily",
        "--max-output",
        "64K",
        "--env",
        "TOKEN=hunter2",
        "--secret",
        "TOKEN",
        "--",
        "true",
    )
    world.run("trigger", "job")
    return world


def log_with_a_hole(world: World) -> Path:
    world.write_log(1, 1, "")
    (path,) = world.root.rglob("1.1.log")
    path.write_bytes(b"first hunter2\n" + LINE * 20_000 + b"last hunter2\n")
    try:
        with path.open("r+b") as file:
            output_module.punch_hole(file.fileno(), 40_960, 45_056)
    except OSError:
        pytest.skip("this file system cannot make holes")
    output = Output(log_at(path), 64 * KIB, 0.0)
    output.look(1.0)
    return path


@pytest.mark.parametrize("tty", [True, False])
@pytest.mark.parametrize("more", [(), ("-n", "100000")])
def test_hole_of_a_running_command_is_a_line_that_says_so(
    running: World, tty: bool, more: tuple[str, ...]
) -> None:
    running.start()
    path = log_with_a_hole(running)
    shown = running.run("logs", "job", *more, tty=tty).out.splitlines()
    (marker,) = [line for line in shown if line.startswith("[cronq: ")]
    cut = int(marker.split()[1].replace(",", ""))
    assert marker == f"[cronq: {cut:,} bytes were cut here (--max-output 64K)]"
    assert shown[-1] == "last ***"
    assert "\0" not in "".join(shown)
    assert shown[0] == (marker if more else "first ***")
    if not more:
        masked = 2 * (len("hunter2") - len("***"))
        assert sum(len(line) + 1 for line in shown) - len(marker) - 2 + masked == path.stat().st_size - cut


def test_hole_is_a_line_in_json_too(running: World) -> None:
    running.start()
    log_with_a_hole(running)
    lines = json.loads(running.run("logs", "job", "--json").out)["lines"]
    assert sum(line.startswith("[cronq: ") for line in lines) == 1
    assert (lines[0], lines[-1]) == ("first ***", "last ***")


def test_header_says_how_much_was_printed_and_what_is_not_known(running: World) -> None:
    store = running.store()
    (claim,) = store.claim(["w"], "boot", now=running.now)
    end = AttemptEnd(
        claim.key, Outcome.SUCCESS, running.now, INCOMPLETE, running.now, 7, 0, output_bytes=10_000_000_000
    )
    store.record([AttemptStart(claim.key, 7, running.now)], [end])
    store.close()
    running.write_log(1, 1, "first\n[cronq: …]\nlast\n")
    answer = running.run("logs", "job")
    assert answer.err == (f"job #1, attempt 1: ✓ ok; {INCOMPLETE}; it printed 9.3G, of which 64K are kept\n")
    (run,) = json.loads(running.run("runs", "--json").out)["runs"]
    assert (run["output_bytes"], run["reason"]) == (10_000_000_000, INCOMPLETE)
