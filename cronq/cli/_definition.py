"""From options to a `Definition`: everything is checked, and all that is wrong is told together."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

from cronq.cli._command import command_from, program_warning
from cronq.cli._errors import raise_all
from cronq.cli._fields import read_fields
from cronq.cli._layers import Layers, given, named
from cronq.cli._limits import refusal
from cronq.cli._secrets import check_secrets, read_secrets
from cronq.cli._values import LAYERS, label_of, value_words
from cronq.clock import datetime_from_us
from cronq.errors import CronqError, ScheduleError, UsageError
from cronq.model import CatchUp, Definition, Micros, OnCrash, Overlap
from cronq.named_locks import LockWish, parse_lock
from cronq.names import NAME_HINT, is_name
from cronq.render.text import plain

if TYPE_CHECKING:
    from cronq.cli._schedules import Times
    from cronq.cli._session import Session

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OURS = frozenset(
    f"CRONQ_{name}" for name in ("JOB", "RUN_ID", "ATTEMPT", "FIRE_TIME", "LAG", "LAST_SUCCESS", "TRIGGER")
)
_SHELL_STATE = frozenset({"_", "SHLVL", "PWD", "OLDPWD", "PATH"})
FIRING = ("valid_from", "valid_until", "calendars")
"""Fields besides the schedule, its zone and its rule at clock changes that decide about fire times."""

_DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"


@dataclass
class Draft:
    """Fields that were given, what is wrong with them, and what is only worth a warning.

    Attributes:
        locks: The named locks with the number of holders that was given.
    """

    values: dict[str, object] = field(default_factory=dict)
    problems: list[CronqError] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    locks: tuple[LockWish, ...] = ()

    def over(self, base: Definition) -> Definition:
        """Return a definition with these fields instead of the base's.

        Raises:
            CronqError: All the problems.
        """
        _check_together(self, base)
        _check_encoding(self)
        raise_all(self.problems)
        kept: dict[str, object] = base._asdict()
        definition = Definition(**{**kept, **self.values})  # type: ignore[arg-type]
        if refused := refusal(definition):
            raise refused
        return definition


def check_name(name: str) -> UsageError | None:
    """Return the error about a job's name; None if it can be one."""
    if is_name(name):
        return None
    return UsageError(
        f"`{plain(name[:80])}` cannot be the name of a job",
        hint=NAME_HINT,
    )


def draft_from(session: Session, *, base: Definition | None) -> Draft:
    """Read all options but the schedule and its zone.

    Args:
        session: With the options, and the words after `--`.
        base: The definition that is changed; None for a new job, which records where it was added.
    """
    draft = Draft()
    texts = session.fields
    draft.values.update(read_fields(texts, draft.problems))
    try:
        command = command_from(session, required=base is None)
        if command is not None:
            draft.values["command"] = command
    except CronqError as error:
        draft.problems.append(error)
    _take_places(draft, session, is_new=base is None)
    _take_env(draft, session, base.env if base else ())
    _take_locks(draft, cast("list[str] | None", texts.get("locks")))
    _take_secrets(draft, session, base)
    _take_tags(draft, cast("list[str] | None", texts.get("tags")))
    if base is None or texts.get("inherit_env"):
        draft.values["path"] = session.environment.environ.get("PATH") or _DEFAULT_PATH
    return draft


def _take_places(draft: Draft, session: Session, *, is_new: bool) -> None:
    texts = session.fields
    if is_new or texts.get("cwd") is not None:
        given = str(texts.get("cwd") or ".")
        path = _absolute(session, given)
        if not path.is_dir() and not texts.get("elsewhere"):
            draft.problems.append(UsageError(f"--cwd: there is no directory {path}"))
        draft.values["cwd"] = str(path)
    for option, name in (("env_file", "env_file"), ("stdin", "stdin")):
        text = texts.get(option)
        if text is None:
            continue
        if text == "none":
            draft.values[name] = None
            continue
        path = _absolute(session, str(text))
        problem = "" if texts.get("elsewhere") else _unreadable(path)
        if problem:
            draft.problems.append(UsageError(f"--{option.replace('_', '-')}: {problem}"))
        elif option == "env_file" and path.exists() and path.stat().st_mode & 0o077:
            draft.warnings.append(f"{path} can be read by other users; if it holds secrets: chmod 600 {path}")
        draft.values[name] = str(path)


def _absolute(session: Session, text: str) -> Path:
    if text == ".":
        return session.environment.cwd()
    path = Path(text).expanduser()
    return path if path.is_absolute() else Path(os.path.normpath(session.environment.cwd() / path))


def _unreadable(path: Path) -> str:
    if not path.exists():
        return f"there is no file {path}"
    if path.is_dir():
        return f"{path} is a directory"
    return "" if os.access(path, os.R_OK) else f"{path} cannot be read: permission denied"


def _take_locks(draft: Draft, texts: list[str] | None) -> None:
    if not texts:
        return
    wishes: dict[str, LockWish] = {}
    for text in given("--lock", texts, draft.problems):
        try:
            wish = parse_lock(text)
        except UsageError as error:
            draft.problems.append(named(error, "--lock"))
            continue
        if wish.name in wishes:
            draft.problems.append(UsageError(f"--lock: {wish.name} is named twice"))
        wishes[wish.name] = wish
    draft.values["locks"] = tuple(sorted(wishes))
    draft.locks = tuple(wishes.values())


def _take_tags(draft: Draft, texts: list[str] | None) -> None:
    if texts:
        tags = given("--tag", texts, draft.problems)
        wrong = [tag for tag in tags if not is_name(tag)]
        draft.problems += [
            UsageError(f"--tag: `{plain(tag[:80])}` cannot be one", hint=NAME_HINT) for tag in wrong
        ]
        draft.values["tags"] = tuple(sorted(tags))


def _take_secrets(draft: Draft, session: Session, base: Definition | None) -> None:
    texts = cast("list[str] | None", session.fields.get("secrets"))
    if texts:
        draft.values["secrets"] = read_secrets(texts, draft.problems)
    names = ("secrets", "env", "env_file", "cwd")
    defaults = Definition._field_defaults if base is None else base._asdict()
    values = {name: draft.values.get(name, defaults[name]) for name in names}
    if session.fields.get("elsewhere"):
        return
    if values["secrets"] and draft.values.keys() & {"secrets", "env", "env_file"}:
        draft.warnings += check_secrets(values, session.environment.environ, draft.problems)


def _take_env(draft: Draft, session: Session, before: tuple[tuple[str, str], ...]) -> None:
    texts = session.fields
    pairs = cast("list[str]", texts.get("env") or [])
    removed = cast("list[str]", texts.get("unset_env") or [])
    if not (pairs or removed or texts.get("inherit_env")):
        return
    variables = dict(before)
    if texts.get("inherit_env"):
        variables.update(_inherited(session.environment.environ))
    for pair in pairs:
        name, equals, value = pair.partition("=")
        problem = _variable_problem(name, equals)
        if problem:
            draft.problems.append(problem)
        variables[name] = value
    for name in removed:
        if variables.pop(name, None) is None:
            draft.problems.append(UsageError(f"--unset-env: the job has no variable `{plain(name)}`"))
    draft.values["env"] = tuple(sorted(variables.items()))


def _inherited(environ: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in environ.items()
        if _VARIABLE.fullmatch(name) and name not in _SHELL_STATE and not name.startswith("CRONQ_")
    }


def _variable_problem(name: str, equals: str) -> UsageError | None:
    if not equals:
        return UsageError(f"--env: `{plain(name)}` has no value", hint="write --env NAME=VALUE")
    if not _VARIABLE.fullmatch(name):
        return UsageError(
            f"--env: `{plain(name)}` cannot be the name of a variable", hint="letters, digits and `_`"
        )
    if name in _OURS:
        return UsageError(f"--env: {name} is set by cronq itself")
    if name == "PATH":
        # Recorded on its own, because the program is looked up on it.
        return UsageError("--env: PATH is recorded from the shell", hint="PATH=… cronq add …, or use --shell")
    return None


def _check_together(draft: Draft, base: Definition) -> None:
    """Find options that contradict one another, or what the job has already."""
    values = draft.values
    overlap = values.get("overlap", base.overlap)
    running = values.get("max_running", base.max_running)
    if overlap is Overlap.ALLOW:
        if "max_running" not in values and base.overlap is not Overlap.ALLOW:
            values["max_running"] = None
    elif running is None:
        if "max_running" in values:
            draft.problems.append(UsageError("--max-running none needs --overlap allow"))
        else:
            values["max_running"] = 1
    _needs(draft, "max_queued", overlap is Overlap.QUEUE, "--overlap queue")
    catch_up = values.get("catch_up", base.catch_up)
    _needs(draft, "catch_up_limit", catch_up is CatchUp.ALL, "--catch-up all")
    _needs(draft, "catch_up_window_s", catch_up is not CatchUp.SKIP, "--catch-up latest or all")
    retried = values.get("retries", base.retries) or values.get("on_crash", base.on_crash) is OnCrash.RERUN
    for name in ("retry_delay_s", "retry_factor", "retry_max_delay_s", "retry_jitter"):
        _needs(draft, name, bool(retried), "--retries")
    first, most = (values.get(n, getattr(base, n)) for n in ("retry_delay_s", "retry_max_delay_s"))
    if cast("float", first) > cast("float", most):
        if "retry_max_delay_s" in values:
            draft.problems.append(UsageError("--retry-delay is longer than --retry-max-delay"))
        else:
            values["retry_max_delay_s"] = first


def _needs(draft: Draft, name: str, fulfilled: bool, what: str) -> None:
    if name in draft.values and not fulfilled:
        option = name.removesuffix("_s").replace("_", "-")
        draft.problems.append(UsageError(f"--{option} needs {what}"))


def _check_encoding(draft: Draft) -> None:
    for name, value in draft.values.items():
        if not _is_text(value):
            label = "the command" if name == "command" else f"--{name.replace('_', '-')}"
            draft.problems.append(
                UsageError(
                    f"{label} holds bytes that are not UTF-8",
                    hint="rename the file, or reach it through a script",
                )
            )


def _is_text(value: object) -> bool:
    if isinstance(value, tuple):  # a command is one, too
        return all(map(_is_text, value))
    if isinstance(value, str) and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            return False
    return True


def take_layers(
    draft: Draft,
    session: Session,
    *,
    tz: str | None,
    now: Micros,
    calendars: Mapping[str, str],
    base: Definition | None = None,
) -> None:
    """Read bounds, calendars, blackouts, jitter and assertions.

    Args:
        draft: Where they go, and what is wrong with them.
        session: With the options.
        tz: The job's zone; None if it is wrong.
        now: What `tomorrow` counts from.
        calendars: The named calendars.
        base: The definition that is changed.
    """
    layers = layers_in(session)
    bounds = (base.valid_from, base.valid_until) if base else (None, None)
    draft.values |= layers.read(tz=tz, now=now, calendars=calendars, base=bounds, problems=draft.problems)


def layers_in(session: Session) -> Layers:
    """Return what was asked for besides a schedule, as it was typed."""
    texts = session.fields
    lists = {name: cast("list[str]", texts.get(name) or []) for name in LAYERS}
    single = {name: cast("str | None", texts.get(name)) for name in ("valid_from", "valid_until", "jitter")}
    return Layers(**single, **lists)  # type: ignore[arg-type]


def check_future(times: Times, definition: Definition, now: Micros) -> None:
    """Refuse a job that would never run.

    Raises:
        ScheduleError: Its bounds and calendars leave no fire time that is still to come.
    """
    if times.next_us(now) is not None or times.at_startup:
        return
    first = times.warnings(datetime_from_us(now))[:1]
    message = first[0].message if first else "there is no fire time that is still to come"
    given = [f"--{label_of(n)} {value_words(n, v)}" for n in FIRING if (v := getattr(definition, n))]
    raise ScheduleError(message, hint=f"change one of: {', '.join(given)}")


def warn_about(session: Session, times: Times, definition: Definition, draft: Draft) -> None:
    """Tell what is legal but probably not meant."""
    if draft.values.keys() & {"schedule", "tz", *FIRING}:
        for warning in times.warnings(datetime_from_us(session.started_at)):
            (session.warn if warning.severity == "warning" else session.note)(warning.message)
    if definition.assertions and draft.values.keys() & {"schedule", "tz", "dst", "assertions", *FIRING}:
        from cronq.cli._checks import broken_assertions

        for found in broken_assertions(definition, times, session.started_at):
            session.warn(found.message)
    for message in draft.warnings:
        session.warn(message)
    if not session.fields.get("no_check") and draft.values.keys() & {"command", "path", "cwd"}:
        missing = program_warning(definition)
        if missing:
            session.warn(missing)
