"""A job's command: an argv after `--`, a `--shell` line, or a `--python` function with `--args`."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from cronq.errors import CommandError
from cronq.model import Command, CommandKind, Definition
from cronq.render.text import plain

if TYPE_CHECKING:
    from cronq.cli._session import Session

_SHELL_CHARACTERS = frozenset(" \t\n|&;<>()$`\\\"'*?[]#~")
_AFTER = "put it after `--`: cronq add NAME SCHEDULE -- COMMAND [ARG…]"


def command_from(session: Session, *, required: bool) -> Command | None:
    """Return the command that was asked for; None if none was, and none is required.

    Raises:
        CommandError: There is none, more than one, or one that cannot work.
    """
    texts = session.fields
    given = {
        "a command after `--`": session.argv is not None,
        "--shell": texts.get("shell") is not None,
        "--python": texts.get("python") is not None,
    }
    kinds = [name for name, is_given in given.items() if is_given]
    if len(kinds) > 1:
        raise CommandError(f"{' and '.join(kinds)} contradict each other", hint="give one of them")
    if texts.get("args") is not None and "--python" not in kinds:
        raise CommandError("--args needs --python", hint="a command's arguments follow it after `--`")
    if session.argv is not None:
        return _argv(session.argv, session.environment.cwd())
    if texts.get("shell") is not None:
        return _shell(str(texts["shell"]))
    if texts.get("python") is not None:
        return _python(str(texts["python"]), texts.get("args"))
    if required:
        raise CommandError("there is no command", hint=_AFTER)
    return None


def _argv(words: tuple[str, ...], cwd: Path) -> Command:
    if not words or not words[0].strip():
        raise CommandError("the command is empty", hint=_AFTER)
    if len(words) == 1 and _SHELL_CHARACTERS.intersection(words[0]) and not (cwd / words[0]).is_file():
        quoted = words[0].replace("'", "'\\''")
        raise CommandError(
            f"the command is one word, `{plain(words[0])}`, and no program has that name",
            hint=f"for a shell line: --shell '{quoted}'; else give each argument by itself",
        )
    return Command(CommandKind.ARGV, words)


def _shell(line: str) -> Command:
    if not line.strip():
        raise CommandError("the shell line is empty", hint="--shell 'a | b > c'")
    return Command(CommandKind.SHELL, (line,))


def _python(target: str, args: object) -> Command:
    module, colon, function = target.partition(":")
    names = [*module.split("."), *function.split(".")]
    if not colon or not all(name.isidentifier() for name in names):
        raise CommandError(
            f"`{plain(target)}` does not name a function", hint="--python package.module:function"
        )
    return Command(CommandKind.PYTHON, (target,), _json_arguments(str(args)) if args is not None else "")


def _json_arguments(text: str) -> str:
    import json

    def refuse(constant: str) -> object:
        raise ValueError(f"{constant} is not JSON")

    try:
        value = json.loads(text, parse_constant=refuse)
    except json.JSONDecodeError as error:
        span = (error.pos, error.pos + 1)
        raise CommandError(
            f"--args is not JSON: {error.msg}", hint="--args '[\"a\", 1]'", text=text, span=span
        ) from error
    except (ValueError, RecursionError) as error:
        raise CommandError(f"--args is not JSON: {error}", hint="--args '[\"a\", 1]'") from error
    if not isinstance(value, list | dict):
        raise CommandError(
            "--args is neither a list nor an object",
            hint="a list for positions, an object for names: --args '{\"day\": 1}'",
        )
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def program_warning(definition: Definition) -> str | None:
    """Return a warning if the program cannot be found as the worker will look for it."""
    command = definition.command
    if command.kind is not CommandKind.ARGV:
        return None
    return _warning_of(command.words[0], definition.cwd, definition.path)


@lru_cache(maxsize=256)
def _warning_of(program: str, cwd: str, folders: str) -> str | None:
    """Look for a program; a file of jobs has the same one again and again."""
    if "/" in program:
        path = Path(cwd) / program
        if path.is_file() and os.access(path, os.X_OK):
            return None
        reason = "is not executable" if path.is_file() else "does not exist"
        return f"{path} {reason}"
    for folder in folders.split(":"):
        candidate = Path(cwd) / folder / program
        if candidate.is_file() and os.access(candidate, os.X_OK):
            return None
    return f"there is no program `{program}` on the recorded PATH ({folders})"


def shown(command: Command) -> str:
    """Return the command as a person would type it."""
    import shlex

    if command.kind is CommandKind.ARGV:
        return plain(shlex.join(command.words))
    if command.kind is CommandKind.SHELL:
        return f"--shell {plain(shlex.quote(command.words[0]))}"
    text = f"--python {command.words[0]}"
    return f"{text} --args {plain(shlex.quote(command.args))}" if command.args else text
