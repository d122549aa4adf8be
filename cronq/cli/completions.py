"""The completion scripts, generated from the command table: `python -m cronq.cli.completions [FOLDER]`.

The scripts are static: commands, options and values complete without starting Python. Only names of jobs,
numbers of runs and zones are asked of `cronq __complete`. After `--` the shell completes the job's command in
its own way.
"""

from __future__ import annotations

import sys
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cronq.cli._app import load
from cronq.cli._commands import ENTRIES, TOPICS, Entry, all_names
from cronq.cli._fields import ENUMS, DefiningCommand
from cronq.cli._options import ColorChoice

if TYPE_CHECKING:
    from cronq.cli._options import Parameter

FILES = {"bash": "cronq.bash", "zsh": "_cronq", "fish": "cronq.fish"}

_KINDS = {
    "NAME": "jobs",
    "NAME|FILE": "jobs",
    "NAME SCHEDULE": "job",
    "SCHEDULE|NAME": "jobs",
    "RUN|NAME": "jobs",
    "RUN": "runs",
    "ZONE": "zones",
    "PATH": "file",
    "FILE": "file",
    "FILE|DIR": "file",
    "DIR": "directory",
}
_ARGUMENTS = {
    "ACTION": ("add", "show", "remove"),
    "INIT": ("init", "github", "gitlab"),
    "KIND": ("crontab", "systemd"),
    "url|migrate|move|stop": ("url", "migrate", "move", "stop"),
    "export|import|merge": ("export", "import", "merge"),
    "SHELL": ("bash", "zsh", "fish"),
    "TOPIC|COMMAND": (*TOPICS, *(e.name for e in ENTRIES)),
}


class Option(NamedTuple):
    """An option as the shells need it.

    Attributes:
        kind: What its value is: empty for flags, `words`, or a kind of `__complete` or of file.
        words: Its values, if they are few.
    """

    spellings: tuple[str, ...]
    help: str
    kind: str
    words: tuple[str, ...] = ()


class Described(NamedTuple):
    """A command as the shells need it."""

    entry: Entry
    options: tuple[Option, ...]
    kind: str
    words: tuple[str, ...]
    takes_argv: bool


def described() -> list[Described]:
    """Return all commands, by importing them."""
    return [_described(entry) for entry in ENTRIES]


def _described(entry: Entry) -> Described:
    command = load(entry)
    parameters: list[Parameter] = command.params  # type: ignore[assignment]
    options = tuple(_option(p) for p in parameters if p.param_type_name == "option" and not p.hidden)
    kind, words = "", tuple[str, ...]()
    for parameter in parameters:
        if parameter.param_type_name == "argument":
            kind = _KINDS.get(parameter.metavar or "", "")
            words = _ARGUMENTS.get(parameter.metavar or "", ())
    if entry.name == "add":
        kind = ""  # a new name cannot be completed
    return Described(entry, options, kind, words, isinstance(command, DefiningCommand))


def _option(parameter: Parameter) -> Option:
    spellings = tuple(sorted([*parameter.opts, *parameter.secondary_opts], key=len))
    text = parameter.help or ""
    if getattr(parameter, "is_flag", False):
        return Option(spellings, text, "")
    choices = tuple(getattr(parameter.type, "choices", ()))
    if (parameter.name or "") in ENUMS:
        choices = tuple(member.value for member in ENUMS[parameter.name or ""])
    if parameter.name == "color":
        choices = tuple(member.value for member in ColorChoice)
    if choices:
        return Option(spellings, text, "words", tuple(str(choice) for choice in choices))
    return Option(spellings, text, _KINDS.get(parameter.metavar or "", "value"))


def script(shell: str) -> str:
    """Return the completion script for `bash`, `zsh` or `fish`."""
    from cronq.cli import _scripts

    return {"bash": _scripts.bash, "zsh": _scripts.zsh, "fish": _scripts.fish}[shell](
        described(), all_names()
    )


def main(arguments: list[str]) -> int:
    """Write the scripts into a folder, by default the repository's `completions`."""
    default = Path(str(resources.files("cronq"))).parent / "completions"
    folder = Path(arguments[0]) if arguments else default
    for shell, name in FILES.items():
        (folder / name).write_text(script(shell), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
