"""Completion scripts: as generated, and as the shells that are installed understand them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cronq.cli.completions import FILES, script
from tests.cli.world import World

FOLDER = Path(__file__).parents[2] / "completions"


@pytest.mark.parametrize("shell", sorted(FILES))
def test_committed_script_is_current(shell: str) -> None:
    committed = (FOLDER / FILES[shell]).read_text(encoding="utf-8")
    assert committed == script(shell), "run: python -m cronq.cli.completions"


def test_completion_command_prints_the_script(world: World) -> None:
    assert world.run("completion", "zsh").out == script("zsh")


@pytest.fixture
def installed(world: World) -> World:
    """A machine with `cronq` on its PATH, and two jobs."""
    programs = world.root / "bin"
    programs.mkdir()
    root = Path(__file__).parents[2]
    program = programs / "cronq"
    program.write_text(f'#!/bin/sh\nPYTHONPATH="{root}" exec "{sys.executable}" -m cronq "$@"\n')
    program.chmod(0o755)
    world.variables["PATH"] = f"{programs}:/usr/bin:/bin"
    for name in ("alpha", "beta"):
        world.run("add", name, "@daily", "--", "true")
    world.run("trigger", "alpha")
    return world


def answer(world: World, shell: str, *arguments: str) -> list[str]:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed")
    done = subprocess.run(
        [program, *arguments],
        cwd=world.root / "work",
        env=world.environ,
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )
    return done.stdout.split("\n")[:-1]


def bash_words(world: World, *typed: str) -> list[str]:
    lines = f"""
        source "{FOLDER / "cronq.bash"}"
        COMP_WORDS=("$@"); COMP_CWORD=$(( $# - 1 )); _cronq
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    return [line for line in answer(world, "bash", "--norc", "-c", lines, "bash", *typed) if line]


def fish_words(world: World, line: str) -> list[str]:
    command = f'source "{FOLDER / "cronq.fish"}"; complete -C "{line}"'
    return [found.partition("\t")[0] for found in answer(world, "fish", "--no-config", "-c", command)]


CASES = {
    "cronq li": {"list"},
    "cronq r": {"run", "remove", "rm", "restore", "resume", "retry", "runs"},
    "cronq list --js": {"--json"},
    "cronq ls --js": {"--json"},
    "cronq pause ": {"alpha", "beta"},
    "cronq pause a": {"alpha"},
    "cronq set b": {"beta"},
    "cronq next a": {"alpha"},
    "cronq cancel ": {"1"},
    "cronq runs --state ": {"queued", "running", "done"},
    "cronq add x y --overlap re": {"replace"},
    "cronq list --tz Europe/Berl": {"Europe/Berlin"},
    "cronq help sch": {"schedules"},
    "cronq completion z": {"zsh"},
    "cronq --db /x sho": {"show"},
    "cronq list --color a": {"auto", "always"},
}


@pytest.mark.parametrize("line", CASES)
def test_bash_completes(installed: World, line: str) -> None:
    assert set(bash_words(installed, *line.split(" "))) == CASES[line]


@pytest.mark.parametrize("line", CASES)
def test_fish_completes(installed: World, line: str) -> None:
    assert set(fish_words(installed, line)) == CASES[line]


def test_bash_completes_value_after_equals_sign(installed: World) -> None:
    assert bash_words(installed, "cronq", "add", "x", "y", "--overlap", "=", "qu") == ["queue"]


def test_bash_completes_programs_after_border(installed: World) -> None:
    assert "basename" in bash_words(installed, "cronq", "add", "x", "y", "--", "basena")


def test_bash_completes_files_for_files_only(installed: World) -> None:
    (installed.root / "work" / "some.env").touch()
    assert bash_words(installed, "cronq", "add", "x", "y", "--env-file", "so") == ["some.env"]


def test_bash_does_not_start_python_for_options(installed: World) -> None:
    (installed.root / "bin" / "cronq").write_text("#!/bin/sh\necho started >> started\n")
    bash_words(installed, "cronq", "list", "--")
    bash_words(installed, "cronq", "")
    assert not (installed.root / "work" / "started").exists()


def test_zsh_script_is_valid(installed: World) -> None:
    assert answer(installed, "zsh", "-n", str(FOLDER / "_cronq")) == []


# Types into an interactive zsh, presses the tab key, and prints what the screen then shows.
ZSH = """
zmodload zsh/zpty
zpty shell zsh -f -i
expect() {{
    local got
    while zpty -r shell got "*$1*"; do [[ $got == *$1* ]] && break; done
    print -r -- "$got"
}}
zpty -w shell "PS1=; unsetopt zle_bracketed_paste; fpath=({folder} \\$fpath)"
zpty -w shell "autoload -Uz compinit; compinit -u -d {dump}"
zpty -w shell "LISTMAX=1000; bindkey '^I' complete-word; echo rea''dy"
expect ready >/dev/null
zpty -w -n shell $'{line}\\t'
zpty -w -n shell $'\\C-a\\C-kecho do\\'\\'ne\\n'
expect done
"""


@pytest.mark.parametrize(
    ("line", "word"), [("cronq lis", "list"), ("cronq pause a", "alpha"), ("cronq runs --sta", "--state")]
)
def test_zsh_completes(installed: World, line: str, word: str) -> None:
    code = ZSH.format(folder=FOLDER, dump=installed.root / "dump", line=line)
    shown = "\n".join(answer(installed, "zsh", "-f", "-c", code))
    assert word in shown
