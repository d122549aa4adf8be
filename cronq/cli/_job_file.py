"""`cronq.toml`: jobs, locks and calendars as text, read with the very checks of `cronq add`.

The keys of a job are the options of `cronq add` without their dashes, and `schedule`, `tz`, `command`, `path`
and `paused`. Everything is checked, and all that is wrong is told at once, with file, line and column.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cronq.cli._command import program_warning
from cronq.cli._definition import check_name, draft_from, take_layers
from cronq.cli._errors import Problems, errors_in
from cronq.cli._fields import FIELDS
from cronq.cli._layers import LABELS
from cronq.cli._schedules import read_schedule
from cronq.cli._session import Session
from cronq.cli._toml import Document
from cronq.errors import CommandError, CronqError, ScheduleError, TimezoneError, UsageError
from cronq.model import Command, CommandKind, Definition
from cronq.named_locks import MOST, LockWish, parse_lock
from cronq.render.text import plain
from cronq.timing import fire_times

if TYPE_CHECKING:
    from cronq.cli._schedules import Times

SCHEMA = 1
"""Of the file's form; may stand in it, and does in what `cronq export --json` prints."""
TABLES = ("defaults", "jobs", "locks", "calendars")
_LISTS = {LABELS[name]: name for name in ("calendars", "blackouts", "assertions", "locks", "secrets", "tags")}
_SCALARS = {field.option.replace("_", "-"): field.option for field in FIELDS}
_TEXTS = {
    "shell": "shell",
    "python": "python",
    "cwd": "cwd",
    "env-file": "env_file",
    "stdin": "stdin",
    "jitter": "jitter",
    "from": "valid_from",
    "until": "valid_until",
}
_OWN = ("schedule", "tz", "command", "args", "env", "path", "paused")
KEYS = frozenset({*_OWN, *_TEXTS, *_SCALARS, *_LISTS})
"""What a job may say."""
_NO_DEFAULTS = frozenset({"schedule", "command", "shell", "python", "args"})
"""What only a job by itself can say."""
_OPTION = re.compile(r"--([a-z-]+)")
_COMMAND_HINT = "write: command = ['rsync', '-a', 'src', 'dst'], or shell = '…' for a shell line"
_NOTHING = Command(CommandKind.ARGV, ("true",))


class FileJob(NamedTuple):
    """A job as a file defines it.

    Attributes:
        paused: None: the file does not say; it stays as it is.
        locks: Its named locks.
    """

    name: str
    definition: Definition
    times: Times
    paused: bool | None
    locks: tuple[LockWish, ...]
    warnings: tuple[str, ...]


class JobFile(NamedTuple):
    """A file that was found right in all parts.

    Attributes:
        calendars: Their texts, as they are stored.
        origin: What its jobs are marked with; None: they are as if added by hand.
    """

    label: str
    jobs: tuple[FileJob, ...]
    locks: tuple[LockWish, ...]
    calendars: Mapping[str, str]
    origin: str | None = "file"


def read_jobs(
    session: Session,
    document: Document,
    folder: Path,
    *,
    calendars: Mapping[str, str],
    paths: Mapping[str, str],
) -> JobFile:
    """Read a document of jobs.

    Args:
        session: Whose directory, variables and zone apply where the document is silent.
        document: What a file holds.
        folder: Where relative paths in it begin.
        calendars: Those that are stored.
        paths: The PATH that was recorded for each job that there is; kept where the file names none.

    Raises:
        Problems: All that is wrong.
    """
    return _Reader(session, folder, document, calendars, paths).read()


class _Reader:
    def __init__(
        self,
        session: Session,
        folder: Path,
        document: Document,
        calendars: Mapping[str, str],
        paths: Mapping[str, str],
    ) -> None:
        self._session = session
        self._folder = folder
        self._document = document
        self._stored = calendars
        self._paths = paths
        self._problems: list[CronqError] = []
        self._tz = session.tz()

    def read(self) -> JobFile:
        values = self._document.values
        if values.get("schema", SCHEMA) != SCHEMA:
            raise UsageError(f"{self._document.label}: its schema is not {SCHEMA}", hint="upgrade cronq")
        for key in values:
            if key not in {*TABLES, "schema"}:
                self._tell(_unknown(key, TABLES, "table"), key)
        locks = self._locks()
        calendars = self._calendars()
        known = {**self._stored, **calendars}
        defaults = self._table("defaults")
        for key in defaults:
            if key not in KEYS or key in _NO_DEFAULTS:
                self._tell(_unknown(key, KEYS - _NO_DEFAULTS, "default"), "defaults", key)
        usable = {key: value for key, value in defaults.items() if key in KEYS - _NO_DEFAULTS}
        jobs = []
        for name in self._table("jobs"):
            job = self._job(name, usable, known)
            if job is not None:
                jobs.append(job)
        self._check_locks(jobs, locks)
        if self._problems:
            raise Problems(self._problems)
        return JobFile(self._document.label, tuple(jobs), locks, calendars)

    # Tables

    def _table(self, *keys: str) -> Mapping[str, object]:
        value: object = self._document.values
        for key in keys:
            if not isinstance(value, dict) or key not in value:
                return {}
            value = value[key]
        if not isinstance(value, dict):
            self._tell(UsageError(f"`{keys[-1]}` is not a table", hint=f"write [{'.'.join(keys)}]"), *keys)
            return {}
        return value

    def _locks(self) -> tuple[LockWish, ...]:
        wishes = []
        for name, count in self._table("locks").items():
            try:
                wish = parse_lock(name)
                if wish.capacity is not None or not _is_int(count) or not 1 <= count <= MOST:  # type: ignore[operator]
                    raise UsageError(f"{plain(name)}: not a number of holders", hint="write: db = 1")
                wishes.append(LockWish(name, int(str(count))))
            except CronqError as error:
                self._tell(error, "locks", name)
        return tuple(wishes)

    def _calendars(self) -> dict[str, str]:
        from cronq.cli._calendars import read_source

        texts = {}
        surroundings = self._session.environment._replace(cwd=lambda: self._folder)
        inside = Session(surroundings)
        for name, source in self._table("calendars").items():
            try:
                if isinstance(source, list):
                    texts[name] = _dates(name, source)
                elif isinstance(source, str):
                    texts[name] = read_source(inside, name, source)
                else:
                    raise UsageError(
                        f"{plain(name)}: neither a text nor a list of dates",
                        hint='write a file, "us-holidays", or ["2026-12-24", "2026-12-31"]',
                    )
            except CronqError as error:
                self._tell(error, "calendars", name)
        return texts

    def _check_locks(self, jobs: Iterable[FileJob], locks: tuple[LockWish, ...]) -> None:
        """Find jobs that want another number of holders than [locks], or than one another."""
        numbers = {wish.name: (wish.capacity, "[locks]") for wish in locks}
        for job in jobs:
            for wish in job.locks:
                if wish.capacity is None:
                    continue
                capacity, whose = numbers.setdefault(wish.name, (wish.capacity, f"job {job.name}"))
                if capacity != wish.capacity:
                    message = f"lock: {wish.name} has {capacity} holders in {whose}, not {wish.capacity}"
                    self._tell(UsageError(message), "jobs", job.name, "lock")

    # Jobs

    def _job(self, name: str, defaults: Mapping[str, object], calendars: Mapping[str, str]) -> FileJob | None:
        before = len(self._problems)
        job = None
        own = self._table("jobs", name)
        if wrong := check_name(name):
            self._tell(wrong, "jobs", name)
        for key in own:
            if key not in KEYS:
                self._tell(_unknown(key, KEYS, "key"), "jobs", name, key)
        given = {key: value for key, value in own.items() if key in KEYS}
        values = {**defaults, **given}
        if isinstance(defaults.get("env"), dict) and isinstance(given.get("env"), dict):
            values["env"] = {**defaults["env"], **given["env"]}  # type: ignore[dict-item]
        session = self._inside(name, values)
        try:
            job = self._define(name, session, values, calendars)
        except CronqError as error:
            for one in errors_in(error):
                self._tell_of_job(one, name, values)
        return job if len(self._problems) == before else None

    def _define(
        self, name: str, session: Session, values: Mapping[str, object], calendars: Mapping[str, str]
    ) -> FileJob:
        draft = draft_from(session, base=None)
        draft.values["path"] = values.get("path") or self._paths.get(name) or draft.values["path"]
        tz = session.tz(self._tz)
        schedule, known_tz = None, True
        text = str(values.get("schedule", ""))
        try:
            if not text.strip():
                raise ScheduleError("there is no schedule", hint="write: schedule = '0 2 * * *'")
            if re.match(r"in\b", text.strip()):
                raise ScheduleError(
                    "`in` counts from now, which is another one each time the file is read",
                    hint="write the instant: schedule = 'at 2026-12-24T18:00'",
                    text=text,
                    span=(0, 2),
                )
            dst = str(draft.values.get("dst", "cron"))
            schedule = read_schedule(text, tz=tz, name=name, dst=dst, now=session.started_at)
        except CronqError as error:
            draft.problems.insert(0, error)
            known_tz = not isinstance(error, TimezoneError)
        take_layers(draft, session, tz=tz if known_tz else None, now=session.started_at, calendars=calendars)
        draft.values["schedule"] = schedule.text if schedule else ""
        definition = draft.over(Definition(_NOTHING, "", tz=tz))
        if not session.fields.get("no_check") and (missing := program_warning(definition)):
            draft.warnings.append(missing)
        times = fire_times(definition, name, calendars)
        paused = values.get("paused")
        return FileJob(
            name,
            definition,
            times,
            paused if isinstance(paused, bool) else None,
            draft.locks,
            tuple(draft.warnings),
        )

    def _inside(self, name: str, values: Mapping[str, object]) -> Session:
        """Return a session in which the options of a job were given in the file's folder."""
        session = Session(self._session.environment._replace(cwd=lambda: self._folder))
        session.__dict__["started_at"] = self._session.started_at
        fields = {name: self._session.fields.get(name) for name in ("no_check", "elsewhere")}
        for key, value in values.items():
            if fields["elsewhere"] and _is_of_machine(key, value):
                continue
            try:
                if key in _LISTS:
                    fields[_LISTS[key]] = _texts(key, value)
                elif key in _SCALARS:
                    fields[_SCALARS[key]] = _scalar(key, value)
                elif key in _TEXTS:
                    fields[_TEXTS[key]] = _text(key, value)
                elif key == "env":
                    fields["env"] = _variables(value)
                elif key == "args":
                    fields["args"] = value if isinstance(value, str) else json.dumps(value)
                elif key == "command":
                    session.argv = ("true",)  # stands in if it is wrong
                    session.argv = _words(value)
                elif key == "paused" and not isinstance(value, bool):
                    raise UsageError("paused: not true or false")
                elif key in {"schedule", "tz", "path"}:
                    _text(key, value)
            except CronqError as error:
                self._tell_of_job(error, name, values, key)
        session.fields = fields
        tz = values.get("tz")
        session.options = session.options._replace(tz=tz if isinstance(tz, str) else None)
        return session

    # Errors

    def _tell_of_job(
        self, error: CronqError, name: str, values: Mapping[str, object], key: str | None = None
    ) -> None:
        key = key or _key_of(error, values)
        hint = _COMMAND_HINT if isinstance(error, CommandError) else _OPTION.sub(r"\1", error.hint)
        message = f"{name}: " + _OPTION.sub(r"\1", error.message)
        told = type(error)(message, hint=hint, text=error.text, span=error.span, details=error.details)
        own = self._table("jobs", name)
        if key is not None and key not in own and key in self._table("defaults"):
            self._tell(told, "defaults", key)
        else:
            self._tell(told, *("jobs", name, *(() if key is None else (key,))))

    def _tell(self, error: CronqError, *keys: str) -> None:
        located = self._document.located(error, *keys)
        if located.message not in {known.message for known in self._problems}:
            self._problems.append(located)


def _key_of(error: CronqError, values: Mapping[str, object]) -> str | None:
    """Return the key that an error of the command line's checks is about."""
    option = _OPTION.search(error.message)
    if option and option[1] in KEYS:
        return option[1]
    if isinstance(error, TimezoneError):
        return "tz"
    if isinstance(error, ScheduleError):
        return "schedule"
    return next((key for key in ("command", "shell", "python") if key in values), None)


def _is_of_machine(key: str, value: object) -> bool:
    """Return whether only the machine that runs a job can say if a value is right."""
    return (key == "user" and isinstance(value, str)) or (key == "nice" and str(value).startswith("-"))


def _unknown(key: str, known: Iterable[str], kind: str) -> UsageError:
    from difflib import get_close_matches

    near = get_close_matches(key, sorted(known), n=2, cutoff=0.6)
    hint = f"did you mean {' or '.join(f'`{name}`' for name in near)}?" if near else ""
    return UsageError(f"unknown {kind} `{plain(key)}`", hint=hint or f"known are: {', '.join(sorted(known))}")


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _text(key: str, value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, date) and key in {"from", "until"}:
        return value.isoformat()
    if isinstance(value, str):
        return value
    raise UsageError(f"{key}: not a text", hint=f"put it in quotes: {key} = '…'")


def _scalar(key: str, value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and key == "success-codes" and all(_is_int(code) for code in value):
        return ",".join(str(code) for code in value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise UsageError(f"{key}: neither a text nor a number")


def _texts(key: str, value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and all(isinstance(text, str) for text in value):
        return value
    raise UsageError(f"{key}: neither a text nor a list of texts", hint=f"write: {key} = ['…', '…']")


def _words(value: object) -> tuple[str, ...]:
    if isinstance(value, list) and all(isinstance(word, str) for word in value):
        return tuple(value)
    raise UsageError("command: not a list of words", hint=_COMMAND_HINT)


def _variables(value: object) -> list[str]:
    if not isinstance(value, dict):
        raise UsageError("env: not a table", hint="write: env = { NAME = 'value' }")
    for name, text in value.items():
        if not isinstance(text, str):
            raise UsageError(f"env: the value of {plain(name)} is not a text", hint="put it in quotes")
    return [f"{name}={text}" for name, text in value.items()]


def _dates(name: str, values: list[object]) -> str:
    from cronq.schedule.calendar_files import read_dates
    from cronq.schedule.calendars import DatedCalendar, check_name

    check_name(name)
    if not all(isinstance(value, str | date) for value in values):
        raise UsageError(f"{plain(name)}: not a list of dates", hint='write: ["2026-12-24", "2026-12-31"]')
    text = "\n".join(value.isoformat() if isinstance(value, date) else str(value) for value in values)
    return DatedCalendar(name, read_dates(text)).to_text()
