"""From arguments to an exit code: the only place that catches everything."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import cast

import typer

from cronq.cli._app import root
from cronq.cli._errors import from_typer, report, report_bug
from cronq.cli._session import Session
from cronq.cli._terminal import Environment, real_environment
from cronq.errors import CronqError, ExitCode, UsageError


def main(arguments: Sequence[str], environment: Environment | None = None) -> int:
    """Run one command line; return its exit code.

    Args:
        arguments: Without the program's name.
        environment: The world it sees; the real one by default.
    """
    session = Session(environment or real_environment())
    try:
        code = _run(list(arguments), session)
        # Here, and not while the interpreter exits: a full disk is an error that the caller must see.
        session.terminal.out.flush()
        session.terminal.err.flush()
    except BrokenPipeError:
        # The reader of a pipe left, as `head` does: no news.
        _forget_rest(session)
        return int(ExitCode.OK)
    except OSError as error:
        _forget_rest(session)
        return report(_stream_error(error), session)
    return code


def _run(arguments: list[str], session: Session) -> int:
    try:
        result = _invoke(arguments, session)
    except CronqError as error:
        if error.exit_code is ExitCode.BUG:
            return report_bug(error, session)
        return report(error, session)
    except (KeyboardInterrupt, typer.Abort):
        session.terminal.err.write("\n")
        return int(ExitCode.INTERRUPTED)
    except OSError:
        raise
    except Exception as error:
        return report_bug(error, session)
    return int(cast("int", result or 0))


def _invoke(arguments: list[str], session: Session) -> object:
    group = root()
    try:
        with group.make_context("cronq", arguments, obj=session) as context:
            return group.invoke(context)
    except typer.Exit as error:
        return error.exit_code
    except typer.TyperException as error:
        raise from_typer(error, session.command) from error


def _forget_rest(session: Session) -> None:
    """Let what is still in the stream's buffer go nowhere, so that exiting does not try, and fail, again."""
    stream = session.environment.stdout
    try:
        if stream is not None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    except (OSError, ValueError):
        sys.stdout = None


def _stream_error(error: OSError) -> CronqError:
    if error.filename:
        return UsageError(f"{error.filename}: {error.strerror or error}")
    return CronqError(f"cannot write the answer: {error.strerror or error}")
