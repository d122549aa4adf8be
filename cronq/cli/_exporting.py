"""Jobs as a document of the form that `cronq.cli._job_file` reads, and that document as TOML."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from cronq.cli._values import LISTS, label_of, value_words
from cronq.model import CommandKind, Definition, Job
from cronq.render.text import json_safe
from cronq.store import LockState
from cronq.timing import calendar_names

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_ALWAYS = frozenset({"tz", "cwd", "path"})
_BY_HAND = frozenset({"command", "schedule", "env", "success_codes"})
_NUMBERS = frozenset(
    {"max_running", "max_queued", "catch_up_limit", "retries", "priority", "nice", "open_files"}
)
_PLAIN_NUMBERS = frozenset({"retry_factor", "retry_jitter"})

Document = dict[str, dict[str, object]]


def document_of(jobs: Sequence[Job], locks: Sequence[LockState], calendars: Mapping[str, str]) -> Document:
    """Return the tables of a file with these jobs, and with the locks and calendars that they use."""
    named_locks = {name for job in jobs for name in job.definition.locks}
    uses = set[str]().union(*(calendar_names(job.definition) for job in jobs))
    document: Document = {
        "locks": {lock.name: lock.capacity for lock in locks if lock.name in named_locks},
        "calendars": {name: _calendar(text) for name, text in calendars.items() if name in uses},
        "jobs": {job.name: _job(job) for job in jobs},
    }
    return {name: table for name, table in document.items() if table}


def toml_of(document: Document) -> Iterator[str]:
    """Yield the lines of a document as TOML."""
    for name in ("locks", "calendars"):
        if name in document:
            yield f"[{name}]"
            yield from _pairs(document[name])
            yield ""
    if "defaults" in document:
        yield "[defaults]"
        yield from _pairs(document["defaults"])
        yield ""
    first = True
    for name, job in document.get("jobs", {}).items():
        if not first:
            yield ""
        first = False
        yield f"[jobs.{_key(name)}]"
        if isinstance(job, dict):
            yield from _pairs(job)


def _job(job: Job) -> dict[str, object]:
    definition = job.definition
    values: dict[str, object] = {"schedule": definition.schedule}
    command = definition.command
    if command.kind is CommandKind.ARGV:
        values["command"] = list(command.words)
    else:
        values[command.kind.value] = command.words[0]
    if command.args:
        # TOML has no null.
        values["args"] = command.args if "null" in command.args else json.loads(command.args)
    defaults = Definition._field_defaults
    for field in Definition._fields:
        value = getattr(definition, field)
        if field in _BY_HAND or (field not in _ALWAYS and value == defaults.get(field)):
            continue
        values[label_of(field)] = _value(field, value)
    if definition.env:
        values["env"] = dict(definition.env)
    if definition.success_codes != defaults["success_codes"]:
        values["success-codes"] = list(definition.success_codes)
    if job.paused_at is not None:
        values["paused"] = True
    return values


def _value(field: str, value: object) -> object:
    if field in LISTS and isinstance(value, tuple):
        return list(value)
    if field in _NUMBERS and isinstance(value, int):
        return value
    if field in _PLAIN_NUMBERS and isinstance(value, float):
        return value
    if field in {"cwd", "path", "env_file", "stdin", "ping"} and isinstance(value, str):
        return value
    return value_words(field, value)


def _calendar(text: str) -> object:
    from cronq.schedule.calendars import PACKAGE_PREFIX

    if text.startswith(PACKAGE_PREFIX):
        return text.removeprefix(PACKAGE_PREFIX).strip()
    return [line for line in text.splitlines() if line.strip()]


def _pairs(table: Mapping[str, object]) -> Iterator[str]:
    for name, value in table.items():
        yield f"{_key(name)} = {_toml(value)}"


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _string(name)


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, Mapping):
        return (
            "{ " + ", ".join(f"{_key(str(k))} = {_toml(v)}" for k, v in value.items()) + " }"
            if value
            else "{}"
        )
    if isinstance(value, Iterable):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    raise TypeError(f"{value!r} has no form in TOML")


def _string(text: str) -> str:
    # Source: toml.io/en/v1.0.0#string: a basic string escapes as JSON does, and DEL besides.
    if "'" not in text and ("\\" in text or '"' in text) and text.isprintable():
        return f"'{text}'"
    return json_safe(json.dumps(text, ensure_ascii=False))
