"""How the limits of a command are read: niceness, memory, processor time, open files, umask and user."""

from __future__ import annotations

import os
import re
import sys

from cronq.cli._fields import duration, integer
from cronq.errors import DurationError, UsageError
from cronq.model import CommandKind, Definition
from cronq.render.text import plain
from cronq.sizes import parse_size

LIMITS = ("nice", "memory", "cpu_time_s", "open_files", "umask", "user")
"""The fields that say what a command is held to."""

_LEAST_MEMORY = 4 * 1024 * 1024
"""With less, not even a shell or an interpreter starts."""
_LEAST_FILES = 8
_MOST_FILES = 1024 * 1024
"""What Linux allows if nobody has raised it: proc(5), fs.nr_open."""
_UMASK = re.compile(r"0?[0-7]{1,3}")


def nice(text: str) -> int:
    """Read a niceness."""
    value = integer(text, least=-20, most=19)
    if value < 0 and os.geteuid() != 0:
        raise UsageError(
            f"only root can go below 0, to {value}", hint="0 to 19: the higher, the later served"
        )
    return value


def memory(text: str) -> int:
    """Read an amount of memory."""
    if sys.platform != "linux":
        raise UsageError("only Linux can hold a command to an amount of memory")
    return parse_size(text, least=_LEAST_MEMORY)


def cpu_time(text: str) -> float:
    """Read an amount of processor time, which the kernel counts in whole seconds."""
    seconds = duration(text, least=1.0)
    if seconds != int(seconds):
        raise DurationError(
            f"`{plain(text)}` is not a whole number of seconds", text=text, span=(0, len(text))
        )
    return seconds


def open_files(text: str) -> int:
    """Read a number of open files."""
    return integer(text, least=_LEAST_FILES, most=_MOST_FILES)


def umask(text: str) -> str:
    """Read a mask; return three octal digits."""
    if not _UMASK.fullmatch(text):
        raise UsageError(f"`{plain(text)}` is no mask", hint="octal digits, such as 022 or 077")
    return f"{int(text, 8):03o}"


def user(text: str) -> str:
    """Read `NAME` or `NAME:GROUP`, which must exist."""
    from cronq.worker.accounts import AccountError, account_of

    if os.geteuid() != 0:
        raise UsageError("only root can run commands as another user", hint="use a scheduler of that user")
    try:
        account_of(text)
    except AccountError as error:
        raise UsageError(
            plain(str(error)), hint=f"did you mean `{error.near}`?" if error.near else ""
        ) from None
    return text


def refusal(definition: Definition) -> UsageError | None:
    """Return the error about a Python function with limits; None if the two go together."""
    if definition.command.kind is not CommandKind.PYTHON:
        return None
    given = [name for name in LIMITS if getattr(definition, name) is not None]
    if not given:
        return None
    options = ", ".join(f"--{name.removesuffix('_s').replace('_', '-')}" for name in given)
    return UsageError(
        f"{options} cannot hold a Python function, which is called inside a worker process",
        hint="start an interpreter instead: … -- python3 -m MODULE",
    )
