"""Transcripts: what a person types and reads, word by word.

A file holds commands and what they answer, in one world whose clock stands still::

    $ cronq list              a command; a trailing `| cat` makes its output a pipe
    some line                 standard output
    ! error: some line        standard error
    => 2                      the exit code, if it is not 0
    @ advance 5m              a directive; `direct` below has them all
    # words                   a comment

Run `pytest tests/cli --update-snapshots` to write the answers anew, and read the difference.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from cronq.model import Outcome
from cronq.schedule.duration import parse_duration
from tests.cli.world import World, at

FOLDER = Path(__file__).with_name("transcripts")


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.txt")))
def test_transcript(name: str, world: World, request: pytest.FixtureRequest) -> None:
    path = FOLDER / f"{name}.txt"
    expected = path.read_text(encoding="utf-8")
    actual = "".join(f"{line}\n" for line in played(expected, world))
    if request.config.getoption("--update-snapshots", default=False):
        path.write_text(actual, encoding="utf-8")
        return
    assert actual == expected


def played(text: str, world: World) -> Iterator[str]:
    """Yield the transcript with the answers that the commands give now."""
    for line in text.splitlines():
        if line.startswith("$ "):
            yield line
            yield from answered(line[2:], world)
        elif line.startswith("@ "):
            yield line
            direct(world, shlex.split(line[2:]))
        elif line.startswith("#") or not line:
            yield line


def answered(line: str, world: World) -> Iterator[str]:
    """Yield the lines of a command's answer."""
    is_piped = line.endswith(" | cat")
    program, *arguments = shlex.split(line.removesuffix(" | cat"))
    assert program == "cronq"
    answer = world.run(*arguments, tty=False if is_piped else None)
    # A line of output that looks like ours would be read as such the next time.
    yield from (
        f"  {line}" if line[:1] in set("$@!#=") or not line else line for line in answer.out.splitlines()
    )
    yield from (f"! {line}".rstrip() for line in answer.err.splitlines())
    if answer.code:
        yield f"=> {answer.code}"


def direct(world: World, words: list[str]) -> None:
    """Do what a directive says."""
    match words:
        case ["advance", duration]:
            world.sleep(parse_duration(duration))
        case ["now", instant]:
            world.now = at(instant)
        case ["width", columns]:
            world.width = int(columns)
        case ["tty", switch]:
            world.tty = switch == "on"
        case ["zone", zone]:
            world.local_zone = zone
        case ["typed", text]:
            world.typed = f"{text}\n"
        case ["set", name, value]:
            world.variables[name] = value
        case ["file", name, content]:
            path = world.root / "work" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content.replace("\\n", "\n"), encoding="utf-8")
            path.chmod(0o600)
        case ["chmod", mode, name]:
            (world.root / name).chmod(int(mode, 8))
        case ["mkdir", name]:
            (world.root / name).mkdir(parents=True)
        case ["needs", module]:
            pytest.importorskip(module)
        case ["tick"]:
            world.tick()
        case ["start"]:
            world.start()
        case ["sql", text]:
            world.tamper(text)
        case ["play", outcome, duration, *rest]:
            reason, output = (*rest, "", "")[:2]
            world.play(Outcome(outcome), parse_duration(duration), reason, output.replace("\\n", "\n"))
        case ["log", run_id, text]:
            world.write_log(
                int(run_id), 1, text.replace("\\n", "\n").replace("\\e", "\x1b").replace("\\t", "\t")
            )
        case _:
            raise AssertionError(f"unknown directive: {words}")
