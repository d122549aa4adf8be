"""The world as the command line sees it: one object that tests replace as a whole."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple, TextIO

from cronq import clock
from cronq.errors import UsageError
from cronq.model import Micros
from cronq.render.terminal import (
    Terminal,
    is_journal,
    is_tty,
    speaks_unicode,
    wants_color,
    width_of_terminal,
)


def _cwd() -> Path:
    try:
        return Path.cwd()
    except OSError as error:
        raise UsageError(
            f"the working directory cannot be read: {error.strerror}",
            hint="go to another one, and use --db and --cwd",
        ) from error


class Environment(NamedTuple):
    """Streams, variables, place and time. A stream is None when it was closed before we started."""

    stdin: TextIO | None
    stdout: TextIO | None
    stderr: TextIO | None
    environ: Mapping[str, str]
    cwd: Callable[[], Path] = _cwd
    now: Callable[[], Micros] = clock.now_us
    monotonic: Callable[[], float] = clock.monotonic
    sleep: Callable[[float], None] = clock.sleep
    local_zone: Callable[[], str] | None = None

    @property
    def can_ask(self) -> bool:
        """Whether somebody is there to answer a question."""
        return is_tty(self.stdin) and is_tty(self.stderr)

    def terminal(self, *, color: str, ascii_only: bool) -> Terminal:
        """Judge the streams, under the options of this call."""
        out_is_tty, err_is_tty = is_tty(self.stdout), is_tty(self.stderr)
        both = out_is_tty and err_is_tty
        env = self.environ
        quiet = env.get("CI") or env.get("CRONQ_NO_PROGRESS") or env.get("TERM") == "dumb"
        return Terminal(
            out=self.stdout or _Nowhere(),
            err=self.stderr or _Nowhere(),
            out_is_tty=out_is_tty,
            err_is_tty=err_is_tty,
            width=width_of_terminal(self.stdout, env),
            out_color=wants_color(out_is_tty, env, color),
            err_color=wants_color(err_is_tty, env, color),
            ascii_only=ascii_only or bool(env.get("CRONQ_ASCII")) or not speaks_unicode(self.stdout),
            animated=both and not quiet,
            journal=is_journal(self.stderr, env),
        )


class _Nowhere(io.StringIO):
    """A stream that was closed: takes everything, keeps nothing."""

    def write(self, text: str) -> int:
        """Forget the text."""
        return len(text)


def real_environment() -> Environment:
    """Return the environment of this process."""
    _fill_standard_descriptors()
    for stream in (sys.stdout, sys.stderr):
        # Names that are not UTF-8 reach us as lone surrogates; printing them must not end the command.
        if stream is not None and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    return Environment(sys.stdin, sys.stdout, sys.stderr, os.environ)


def _fill_standard_descriptors() -> None:
    """Open the null device in the place of closed streams: else the next file would be "standard error"."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
