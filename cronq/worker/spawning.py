"""Starting a command that has no limits of its own, by posix_spawn(3): half of what `subprocess` costs.

What `subprocess` does besides is done once for the worker's life, or not needed: no descriptor of this
process is inherited, because each is opened with close-on-exec, and those that came with it are marked at the
start. A worker that has executed a callable cannot be sure of that any more, and uses `subprocess`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from cronq.model import Definition

CAN_SPAWN = sys.platform == "linux"
"""Elsewhere posix_spawn may not know sessions, or be slower than what `subprocess` does."""
_IGNORED_BY_PYTHON = tuple(getattr(signal, name) for name in ("SIGPIPE", "SIGXFSZ") if hasattr(signal, name))


def seal_descriptors() -> None:
    """Let nothing that this process has open be inherited by what it starts, but for the standard streams."""
    with contextlib.suppress(OSError):
        for entry in Path("/proc/self/fd").iterdir():
            if int(entry.name) > 2:
                with contextlib.suppress(OSError):  # that of the listing itself
                    os.set_inheritable(int(entry.name), False)


def spawn(definition: Definition, *, env: Mapping[str, str], stdin: int, output: int, lock: int) -> int:
    """Start a command as the leader of a session of its own; return its pid.

    Args:
        definition: With an argument vector or a shell line, and no limits.
        env: All of its variables.
        stdin: Descriptor of its standard input.
        output: The same for its standard output and error.
        lock: What it inherits besides, under the same number.

    Raises:
        OSError: It cannot be started.
        ValueError: The same.
    """
    words = definition.command.argv()
    actions = [
        (os.POSIX_SPAWN_DUP2, stdin, 0),
        (os.POSIX_SPAWN_DUP2, output, 1),
        (os.POSIX_SPAWN_DUP2, output, 2),
    ]
    os.chdir(definition.cwd)
    try:
        os.set_inheritable(lock, True)
        refused: OSError | None = None
        for program in _candidates(words[0], env):
            try:
                # exec(2) resets the signals that this process handles, not those that it ignores.
                return os.posix_spawn(
                    program, words, env, file_actions=actions, setsid=True, setsigdef=_IGNORED_BY_PYTHON
                )
            except OSError as error:
                if error.errno not in {errno.ENOENT, errno.ENOTDIR, errno.EACCES}:
                    raise
                # As execvp(3): a program that may not be executed is passed over, and remembered.
                if refused is None or error.errno == errno.EACCES:
                    refused = error
        number = errno.ENOENT if refused is None else refused.errno or errno.ENOENT
        raise OSError(number, os.strerror(number), words[0])
    finally:
        # Not to keep a file system busy that somebody wants to unmount.
        os.chdir("/")


def _candidates(program: str, env: Mapping[str, str]) -> list[str]:
    if "/" in program:
        return [program]
    found = [os.path.join(folder, program) for folder in os.get_exec_path(env)]  # noqa: PTH118
    return [path for path in found if os.path.lexists(path)]
