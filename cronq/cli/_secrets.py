"""`--secret`: the variables of a job whose values must not be seen in its output."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast

from cronq.cli._layers import given
from cronq.errors import CronqError, UsageError
from cronq.masking import LEAST, is_too_short
from cronq.render.text import plain

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def read_secrets(texts: Sequence[str], problems: list[CronqError]) -> tuple[str, ...]:
    """Return the names that were given; what can be none goes to `problems`."""
    names = given("--secret", texts, problems)
    problems += [_no_name(name) for name in names if not _VARIABLE.fullmatch(name)]
    return tuple(sorted(names))


def _no_name(text: str) -> UsageError:
    # Somebody may have typed NAME=VALUE; the value must not be repeated.
    name, equals, _ = text.partition("=")
    message = (
        f"give the name alone, {plain(name)}"
        if equals
        else f"`{plain(name)}` cannot be the name of a variable"
    )
    hint = "the value comes from --env, --env-file or the environment of the scheduler"
    return UsageError(f"--secret: {message}", hint=hint)


def check_secrets(
    values: Mapping[str, object], environ: Mapping[str, str], problems: list[CronqError]
) -> Iterator[str]:
    """Find secrets that cannot be masked; yield warnings.

    Args:
        values: `secrets`, `env`, `env_file` and `cwd` of the definition as it would be.
        environ: The environment of this command, in the place of the scheduler's.
        problems: Where errors go.
    """
    from cronq.worker.environment import EnvironmentFileError, inherited_part, read_env_file

    own = dict(cast("tuple[tuple[str, str], ...]", values["env"]))
    in_file: Mapping[str, str] = {}
    file = cast("str | None", values["env_file"])
    if file is not None:
        try:
            in_file = read_env_file(Path(str(values["cwd"])) / file)
        except EnvironmentFileError as error:
            yield f"--env-file: {error}"
    inherited = {**inherited_part(environ), "PATH": ""}
    for name in cast("tuple[str, ...]", values["secrets"]):
        if name in own:
            if is_too_short(own[name]):
                problems.append(
                    UsageError(
                        f"--secret: the value of {name} is too short to be masked",
                        hint=f"at least {LEAST} characters; masking less would destroy the output",
                    )
                )
        elif name in in_file:
            if is_too_short(in_file[name]):
                yield f"{name} in {file} is shorter than {LEAST} characters, and will not be masked"
        elif name not in inherited:
            yield f"--secret: the job has no variable {plain(name)}"
