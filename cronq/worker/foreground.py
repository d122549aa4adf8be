"""A job's command in the foreground, for `cronq exec`: surroundings of a real run, terminal of the caller."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path

from cronq.errors import ExitCode
from cronq.model import Claim, CommandKind, Definition, Micros, Run, State, Trigger
from cronq.worker import endings
from cronq.worker.accounts import Account, rights_of
from cronq.worker.confine import Confinement, ConfinementError, account_in, confinement_of, start_process
from cronq.worker.environment import EnvironmentFileError, command_environment, inherited_part
from cronq.worker.modules import ModuleCache


def run_foreground(
    definition: Definition,
    *,
    job: str,
    now: Micros,
    logical_at: Micros | None = None,
    last_success_at: Micros | None = None,
    environ: Mapping[str, str] | None = None,
) -> int:
    """Execute a job's command with the caller's standard streams, and return the status for the shell.

    Nothing is recorded, and there is no time limit: who starts it also watches it. Standard input is the
    caller's, unless the job names a file.

    Args:
        definition: What to execute.
        job: Its name.
        now: Wall time.
        logical_at: What the run is to be about; now, if None.
        last_success_at: `logical_at` of the job's newest successful run.
        environ: The caller's environment; `os.environ`, if None.

    Returns:
        The exit code; 128 and the number of the signal that ended it; 126 if it cannot be started, 127 if
        there is no such program. Source: POSIX, Shell Command Language, 2.8.2.
    """
    at = now if logical_at is None else logical_at
    run = Run(0, 0, job, 0, Trigger.MANUAL, State.RUNNING, at, now, now)
    claim = Claim(run, definition, "", now, last_success_at)
    inherited = inherited_part(os.environ if environ is None else environ)
    try:
        confinement = confinement_of(definition)
        if confinement is not None:
            inherited = confinement.variables(inherited)
        environment = command_environment(claim, inherited, now, account_in(confinement))
        if definition.command.kind is CommandKind.PYTHON:
            return _call(definition, environment)
        return _execute(definition, environment, confinement)
    except ConfinementError as error:
        return _complain(f"limit_error: {error}", ExitCode.EXEC_CANNOT)
    except EnvironmentFileError as error:
        return _complain(f"env_error: {error}", ExitCode.EXEC_CANNOT)
    except FileNotFoundError as error:
        return _complain(endings.describe(error), ExitCode.EXEC_NOT_FOUND)
    except (OSError, ValueError) as error:
        return _complain(endings.describe(error), ExitCode.EXEC_CANNOT)


def _execute(definition: Definition, environment: Mapping[str, str], confinement: Confinement | None) -> int:
    stdin = None if definition.stdin is None else _open_stdin(definition, account_in(confinement))
    # Ctrl-C reaches the command too, which is in our process group; we only wait to say how it ended. Not
    # SIG_IGN, which the command would inherit.
    previous = {number: signal.signal(number, _shrug) for number in (signal.SIGINT, signal.SIGQUIT)}
    try:
        with start_process(definition, confinement, env=environment, stdin=stdin) as process:
            code = process.wait()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        if stdin is not None:
            os.close(stdin)
    return 128 - code if code < 0 else code


def _call(definition: Definition, environment: Mapping[str, str]) -> int:
    from cronq.worker.callables import arguments, exit_code_of, refuse_coroutine

    os.environ.clear()
    os.environ.update(environment)
    os.chdir(definition.cwd)
    if definition.stdin is not None:
        os.dup2(_open_stdin(definition), 0)
    sys.path.insert(0, definition.cwd)
    try:
        function = ModuleCache().load(definition.command.words[0], definition.cwd)
        args, kwargs = arguments(definition.command.args)
        refuse_coroutine(function(*args, **kwargs))
    except SystemExit as error:
        return exit_code_of(error)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except Exception:
        traceback.print_exc()
        return ExitCode.FAILED
    return ExitCode.OK


def _open_stdin(definition: Definition, account: Account | None = None) -> int:
    with rights_of(account):
        return os.open(Path(definition.cwd) / (definition.stdin or os.devnull), os.O_RDONLY | os.O_CLOEXEC)


def _complain(text: str, status: ExitCode) -> int:
    sys.stderr.write(f"error: {text}\n")
    return status


def _shrug(_number: int, _frame: object) -> None:
    """Let the command decide what Ctrl-C means."""
