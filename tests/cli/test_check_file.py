"""`cronq check FILE`, and the hook of pre-commit that calls it."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from cronq.cli._commands import entry_named
from tests.cli.world import World

ROOT = Path(__file__).parents[2]
HOOKS = ROOT / ".pre-commit-hooks.yaml"

GOOD = """\
[calendars]
closed = ["2026-12-24"]

[jobs.good]
schedule = "0 12 * * *"
command = ["true"]
calendar = "closed:skip"
assert = "at least every 50h"
"""
ELSEWHERE = """\
[jobs.there]
schedule = "0 12 * * *"
command = ["/opt/not/here"]
cwd = "/opt/not/here/either"
env-file = "/etc/not-here.env"
secret = "TOKEN"
user = "nobody-of-that-name"
nice = -5
"""


def write(world: World, text: str, name: str = "cronq.toml") -> None:
    (world.root / "work" / name).write_text(text, encoding="utf-8")


def test_good_file_is_well_and_no_database_is_made(world: World) -> None:
    write(world, GOOD)
    answer = world.run("check", "cronq.toml")
    assert (answer.code, answer.out, answer.err) == (0, "1 job: all is well\n", "")
    assert not list((world.root / "home").rglob("cronq.db"))


def test_all_that_is_wrong_in_all_files_is_told(world: World) -> None:
    write(world, "[jobs.a]\nschedule = '61 * * * *'\ncommand = ['true']\nretires = 1\n", "one.toml")
    write(world, "[jobs.b]\nschedule = '@daily'\n", "two.toml")
    answer = world.run("check", "one.toml", "two.toml")
    assert answer.code == 2
    assert "error: one.toml:2:13: a: minute 61 is out of range 0-59" in answer.err
    assert "error: one.toml:4:1: unknown key `retires`" in answer.err
    assert "error: two.toml:1:2: b: there is no command" in answer.err


def test_assertion_that_does_not_hold_is_an_error_and_a_surprise_a_warning(world: World) -> None:
    write(
        world,
        '[jobs.a]\nschedule = "0 9 * * *"\ncommand = ["true"]\nassert = "never on sat"\n'
        '[jobs.b]\nschedule = "30 2 * * *"\ntz = "Europe/Berlin"\ncommand = ["true"]\n',
    )
    document = json.loads(world.run("check", "cronq.toml", "--json").out)
    assert [job["findings"][0]["level"] for job in document["jobs"]] == ["error", "warning"]
    assert world.run("check", "cronq.toml").code == 1


def test_strict_makes_warnings_count(world: World) -> None:
    write(world, '[jobs.b]\nschedule = "30 2 * * *"\ntz = "Europe/Berlin"\ncommand = ["true"]\n')
    assert world.run("check", "cronq.toml").code == 0
    assert world.run("check", "cronq.toml", "--strict").code == 1


def test_program_that_is_missing_here_is_a_warning(world: World) -> None:
    write(world, '[jobs.a]\nschedule = "@daily"\ncommand = ["no-such-program"]\n')
    assert "warning: there is no program `no-such-program`" in world.run("check", "cronq.toml").out
    assert world.run("check", "cronq.toml", "--elsewhere").out == "1 job: all is well\n"
    assert "there is no program `no-such-program`" in world.run("apply", "--plan").err
    assert world.run("apply", "--plan", "--no-check").err == ""


def test_file_for_another_machine_is_not_held_against_this_one(world: World) -> None:
    write(world, ELSEWHERE)
    here = world.run("check", "cronq.toml")
    assert here.code == 2
    assert "there is no directory /opt/not/here/either" in here.err
    assert "there is no file /etc/not-here.env" in here.err
    answer = world.run("check", "cronq.toml", "--elsewhere")
    assert (answer.code, answer.out, answer.err) == (0, "1 job: all is well\n", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("cronq.toml",), "there is no file /work/cronq.toml"),
        (("a/b",), "there is no file /work/a/b"),
        (("cronq.toml", "job"), "names of files and of jobs are mixed"),
        (("--elsewhere",), "--elsewhere needs a FILE"),
    ],
)
def test_wrong_request_is_refused(world: World, arguments: tuple[str, ...], message: str) -> None:
    answer = world.run("check", *arguments)
    assert (answer.code, answer.err.splitlines()[0]) == (2, f"error: {message}")


# The hook


def hook() -> dict[str, Any]:
    """Return the definition, as pre-commit itself reads and validates it."""
    clientlib = pytest.importorskip("pre_commit.clientlib")
    (found,) = clientlib.load_manifest(str(HOOKS))
    return dict(found)


def test_definition_of_the_hook_is_valid() -> None:
    one = hook()
    assert one["id"] == "cronq-check"
    assert one["language"] == "python"
    assert [
        bool(re.search(one["files"], path)) for path in ("cronq.toml", "a/cronq.toml", "xcronq.toml")
    ] == [
        True,
        True,
        False,
    ]


def test_entry_of_the_hook_works_on_good_and_on_bad_files(world: World) -> None:
    # Read as text, so that it is proven even where pre-commit is not installed.
    (line,) = [line for line in HOOKS.read_text().splitlines() if line.strip().startswith("entry:")]
    program, *arguments = shlex.split(line.partition(":")[2])
    assert program == "cronq"
    assert entry_named(arguments[0]) is not None
    write(world, GOOD)
    write(world, ELSEWHERE, "cronq2.toml")
    assert world.run(*arguments, "cronq.toml", "cronq2.toml").code == 0
    write(world, GOOD.replace("0 12", "0 25"), "cronq3.toml")
    bad = world.run(*arguments, "cronq.toml", "cronq3.toml")
    assert bad.code == 2
    assert bad.err.startswith("error: cronq3.toml:5:")
