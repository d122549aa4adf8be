"""The environment of a command: a function of the claim, a few inherited variables, a file, and the time.

Lowest first, later ones win: what the scheduler's own environment says about the user and the language; the
job's PATH; its file of variables; its variables; what cronq says about the run.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from pathlib import Path

from cronq.clock import datetime_from_us
from cronq.errors import TimezoneError
from cronq.masking import NO_SECRETS, Masker
from cronq.model import SECOND, Claim, Definition, Micros
from cronq.worker.accounts import Account
from cronq.worker.files import read_regular

INHERITED = ("HOME", "USER", "LOGNAME", "SHELL", "LANG", "TMPDIR")
"""Passed on when set, with all `LC_*`; nothing else, so a job runs the same whoever started the scheduler."""

MAX_FILE_BYTES = 1024 * 1024
"""A file of variables that is longer is something else."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_ESCAPES = {"\\": "\\", '"': '"', "$": "$", "`": "`", "n": "\n", "t": "\t"}


class EnvironmentFileError(ValueError):
    """A file of variables cannot be read; the text says where. It ends the attempt and goes no further."""


def inherited_part(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that every command gets from the scheduler's environment."""
    return {name: value for name, value in environ.items() if name in INHERITED or name.startswith("LC_")}


def command_environment(
    claim: Claim, inherited: Mapping[str, str], now: Micros, account: Account | None = None
) -> dict[str, str]:
    """Return all variables of an attempt.

    Args:
        claim: What is executed.
        inherited: The `inherited_part` of the scheduler's environment.
        now: When it is started, for `CRONQ_LAG`.
        account: Who executes it; None: this process. The file is read with his rights.

    Raises:
        EnvironmentFileError: The job's file of variables cannot be read.
    """
    definition = claim.definition
    environment = {**inherited, "PATH": definition.path}
    if definition.env_file is not None:
        environment |= read_env_file(Path(definition.cwd) / definition.env_file, account)
    environment |= definition.env
    environment |= _about_the_run(claim, now)
    return environment


def secrets_in(definition: Definition, environment: Mapping[str, str]) -> Masker:
    """Return what masks the secrets of a job whose command has this environment."""
    if not definition.secrets:
        return NO_SECRETS
    return Masker(environment[name] for name in definition.secrets if name in environment)


def secrets_now(definition: Definition, environ: Mapping[str, str]) -> Masker:
    """Return what masks the secrets of a job, as far as they can be known without its worker.

    Args:
        definition: Under which it was executed.
        environ: The environment of this process, which takes the place of the scheduler's.
    """
    if not definition.secrets:
        return NO_SECRETS
    return secrets_in(definition, variables_now(definition, environ))


def variables_now(definition: Definition, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a job whatever the run; without those of its file if that cannot be read."""
    variables = inherited_part(environ)
    if definition.env_file is not None:
        with contextlib.suppress(EnvironmentFileError):
            variables |= read_env_file(Path(definition.cwd) / definition.env_file)
    return {**variables, "PATH": definition.path, **dict(definition.env)}


def _about_the_run(claim: Claim, now: Micros) -> dict[str, str]:
    run = claim.run
    nominal = run.queued_at if run.fire_at is None else run.logical_at
    return {
        "CRONQ_JOB": run.job,
        "CRONQ_RUN_ID": str(run.id),
        "CRONQ_ATTEMPT": str(run.attempt),
        "CRONQ_FIRE_TIME": _utc(run.logical_at),
        "CRONQ_FIRE_TIME_LOCAL": _local(run.logical_at, claim.definition.tz),
        "CRONQ_LAG": f"{max(0, now - nominal) / SECOND:.3f}",
        "CRONQ_LAST_SUCCESS": "" if claim.last_success_at is None else _utc(claim.last_success_at),
        "CRONQ_TRIGGER": run.trigger.value,
    }


def _utc(at: Micros) -> str:
    # isoformat leaves the fraction out when there is none
    return datetime_from_us(at).replace(tzinfo=None).isoformat() + "Z"


def _local(at: Micros, tz: str) -> str:
    if tz == "UTC":
        return datetime_from_us(at).isoformat()
    from cronq.schedule.zones import zone  # the same data that computed the fire time

    try:
        return datetime_from_us(at).astimezone(zone(tz)).isoformat()
    except TimezoneError:
        # It has left the zone data since the job was added; UTC says so itself.
        return datetime_from_us(at).isoformat()


def read_env_file(path: Path, account: Account | None = None) -> dict[str, str]:
    """Return the variables of a file of `NAME=value` lines.

    Blank lines and lines that begin with `#` are passed over; `export ` may stand before the name. A value
    is taken as it is to the end of the line, less the blanks around it; in single quotes it is literal, in
    double quotes a backslash escapes. Nothing is expanded. Errors name the line and nothing of what stands
    there: it may be part of a secret, and they end up in the ledger.

    Raises:
        EnvironmentFileError: It cannot be read, is no regular file or too long, or a line is wrong.
    """
    try:
        text = read_regular(path, MAX_FILE_BYTES, account).decode("utf-8", "surrogateescape")
    except (OSError, ValueError) as error:
        from cronq.worker.endings import describe

        raise EnvironmentFileError(describe(error)) from error
    variables: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        try:
            name, value = _parse(stripped)
        except ValueError as error:
            raise EnvironmentFileError(f"{path} line {number}: {error}") from None
        variables[name] = value
    return variables


def _parse(line: str) -> tuple[str, str]:
    name, separator, value = line.removeprefix("export ").partition("=")
    name = name.strip()
    if not separator:
        raise ValueError("no `=`")
    if not _NAME.match(name):
        raise ValueError("no name before the `=`")
    value = value.strip()
    if "\0" in value:
        raise ValueError("a null character")
    if value[:1] in {"'", '"'}:
        return name, _unquoted(value)
    return name, value


def _unquoted(text: str) -> str:
    quote = text[0]
    taken: list[str] = []
    characters = iter(range(1, len(text)))
    for index in characters:
        character = text[index]
        if character == quote:
            rest = text[index + 1 :].strip()
            if rest and not rest.startswith("#"):
                raise ValueError("something stands after the closing quote")
            return "".join(taken)
        if character == "\\" and quote == '"' and text[index + 1 : index + 2] in _ESCAPES:
            character = _ESCAPES[text[next(characters)]]
        taken.append(character)
    raise ValueError("a quote is not closed")
