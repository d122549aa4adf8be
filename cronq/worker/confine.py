"""Starting a command under its limits: niceness, rlimits, user, umask.

They are set in the child between fork and exec, so they hold from the first instruction, and hard limits are
set with the soft ones, so the command cannot take them back. That needs fork instead of vfork (2 ms instead
of 0.2, more with a big worker), which only jobs that have such limits pay. A shell in between would cost less
(0.6 ms), but it turns a missing program into an exit code, adds variables of its own, executes what is no
program as a script, and cannot set what needs root once the user was changed.

`memory` is RLIMIT_DATA: private memory that can be written, mapped or not (Linux 4.7 and later). RLIMIT_AS
also counts address space that is only reserved, of which some runtimes take many times what they use: under
it Java did not start with 2 GiB, and Node not with 512 MiB; under this one 512 and 64 MiB are enough.
Sources: setrlimit(2), setpriority(2).
"""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from cronq.model import Definition
from cronq.sizes import format_size
from cronq.worker.accounts import Account, AccountError, account_of
from cronq.worker.endings import describe

_NOTHING = (None, None, None, None, None)
_MESSAGE_BYTES = 1024


class ConfinementError(ValueError):
    """A limit cannot be applied; the text says which, and why."""


class Limit(NamedTuple):
    """One rlimit, and how a person calls it: `memory 512M`."""

    words: str
    resource: int
    soft: int
    hard: int


class Confinement(NamedTuple):
    """What a command is held to, besides its umask."""

    nice: int | None
    limits: tuple[Limit, ...]
    account: Account | None

    def variables(self, inherited: Mapping[str, str]) -> dict[str, str]:
        """Return the inherited variables as the command's user has them."""
        return {**inherited, **(self.account.variables if self.account else {})}


def confinement_of(definition: Definition) -> Confinement | None:
    """Return what a command is held to; None: nothing that would cost anything.

    Raises:
        ConfinementError: This process may not do that, or there is no such user.
    """
    d = definition
    if (d.nice, d.memory, d.cpu_time_s, d.open_files, d.user) == _NOTHING:
        return None
    limits = []
    if d.cpu_time_s is not None:
        seconds = int(d.cpu_time_s)
        # XCPU first; KILL a second later, if the command goes on.
        limits.append(_limit(f"cpu-time {seconds}s", resource.RLIMIT_CPU, seconds, seconds + 1))
    if d.open_files is not None:
        words = f"open-files {d.open_files}"
        limits.append(_limit(words, resource.RLIMIT_NOFILE, d.open_files, d.open_files))
    if d.memory is not None:
        if sys.platform != "linux":
            raise ConfinementError("memory: only Linux can hold a command to it")
        # The last: whatever is done after it has to do with the memory that is there.
        words = f"memory {format_size(d.memory)}"
        limits.append(_limit(words, resource.RLIMIT_DATA, d.memory, d.memory))
    return Confinement(d.nice, tuple(limits), None if d.user is None else _account(d.user))


def account_in(confinement: Confinement | None) -> Account | None:
    """Return who executes a command; None: the user of this process."""
    return None if confinement is None else confinement.account


def start_process(
    definition: Definition,
    confinement: Confinement | None,
    *,
    env: Mapping[str, str],
    stdin: int | None,
    output: int | None = None,
    new_session: bool = False,
    pass_fds: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start the command of a job.

    Args:
        definition: With an argument vector or a shell line.
        confinement: What `confinement_of` returned for it.
        env: All of its variables.
        stdin: Descriptor of its standard input; None: that of this process.
        output: The same for its standard output and error.
        new_session: It leads a session of its own.
        pass_fds: Descriptors that it inherits besides.

    Raises:
        OSError: It cannot be started.
        ValueError: The same; ConfinementError if a limit cannot be applied.
    """

    def start(before_exec: Callable[[], None] | None) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            definition.command.argv(),
            stdin=stdin,
            stdout=output,
            stderr=output,
            cwd=definition.cwd,
            env=env,
            umask=-1 if definition.umask is None else int(definition.umask, 8),
            start_new_session=new_session,
            close_fds=True,
            pass_fds=pass_fds,
            preexec_fn=before_exec,
        )

    if confinement is None:
        return start(None)
    reader, writer = os.pipe()
    try:
        return start(partial(_apply, confinement, writer))
    except subprocess.SubprocessError:
        os.set_blocking(reader, False)
        message = b""
        with contextlib.suppress(OSError):
            message = os.read(reader, _MESSAGE_BYTES)
        raise ConfinementError(message.decode("utf-8", "replace") or "it cannot be applied") from None
    finally:
        os.close(reader)
        os.close(writer)


def _apply(confinement: Confinement, writer: int) -> None:
    """Confine this process; in the child, where an error can only be written to a pipe.

    What needs root comes before the user is changed.
    """
    what = "group"
    try:
        account = confinement.account
        if account is not None:
            os.setgroups(account.groups)
            os.setgid(account.gid)
        if confinement.nice is not None:
            what = f"nice {confinement.nice}"
            os.setpriority(os.PRIO_PROCESS, 0, confinement.nice)
        for limit in confinement.limits:
            what = limit.words
            resource.setrlimit(limit.resource, (limit.soft, limit.hard))
        if account is not None:
            what = "user"
            os.setuid(account.uid)
    except BaseException as error:
        why = describe(error) if isinstance(error, OSError | ValueError) else repr(error)
        os.write(writer, f"{what}: {why}".encode()[:_MESSAGE_BYTES])
        raise


def _limit(words: str, number: int, soft: int, hard: int) -> Limit:
    """Return a limit that keeps to the hard one of this process, unless it is root's."""
    most = resource.getrlimit(number)[1]
    if most == resource.RLIM_INFINITY or os.geteuid() == 0:
        return Limit(words, number, soft, hard)
    if soft > most:
        raise ConfinementError(f"{words} is over the scheduler's own hard limit, {most}")
    return Limit(words, number, soft, min(hard, most))


def _account(text: str) -> Account:
    if os.geteuid() != 0:
        raise ConfinementError(f"user {text}: only root can run commands as another user")
    try:
        return account_of(text)
    except AccountError as error:
        raise ConfinementError(str(error)) from error
