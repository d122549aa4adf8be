"""Definitions as JSON text: the form in which every revision of a job is kept.

Reading is strict. A database is executable content, so a document with an unknown key, a missing one or a
value of the wrong type is refused (StoreCorrupt), never filled in by guessing. Only fields that came after
format 1 may be missing: then the document was written before them, and what was true then is the default.
"""

from __future__ import annotations

import json
from enum import StrEnum
from functools import lru_cache
from typing import cast

from cronq.errors import StoreCorrupt
from cronq.model import CatchUp, Command, CommandKind, Definition, OnCrash, Overlap

_ENUMS: dict[str, type[StrEnum]] = {"overlap": Overlap, "catch_up": CatchUp, "on_crash": OnCrash}
_TEXTS = frozenset({"schedule", "tz", "dst", "cwd", "path"})
_OPTIONAL_TEXTS = frozenset(
    {"env_file", "stdin", "valid_from", "valid_until", "jitter", "keep", "umask", "user", "ping", "queue"}
)
_TEXT_LISTS = frozenset({"calendars", "blackouts", "assertions", "locks", "secrets", "tags"})
_NUMBERS = frozenset(
    {
        "kill_after_s",
        "grace_s",
        "catch_up_window_s",
        "retry_delay_s",
        "retry_factor",
        "retry_max_delay_s",
        "retry_jitter",
    }
)
_OPTIONAL_NUMBERS = frozenset({"timeout_s", "cpu_time_s"})
_INTEGERS = frozenset({"max_queued", "catch_up_limit", "retries", "priority"})
_OPTIONAL_INTEGERS = frozenset({"max_running", "max_output", "nice", "memory", "open_files"})
_NAMES = frozenset(Definition._fields)
_FORMAT_2 = frozenset({"valid_from", "valid_until", "calendars", "blackouts", "jitter", "assertions"})
_FORMAT_3 = frozenset(
    {
        "keep",
        "max_output",
        "nice",
        "memory",
        "cpu_time_s",
        "open_files",
        "umask",
        "user",
        "locks",
        "secrets",
        "ping",
        "tags",
    }
)
_FORMAT_4 = frozenset({"queue"})
_LATER = _FORMAT_2 | _FORMAT_3 | _FORMAT_4
"""Fields that format 1 did not have."""


def document_from_definition(definition: Definition) -> str:
    """Return canonical JSON: sorted keys, no spaces; equal definitions give equal text."""
    values: dict[str, object] = {name: getattr(definition, name) for name in _NAMES}
    command = definition.command
    values["command"] = {"kind": command.kind, "words": command.words, "args": command.args}
    return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


@lru_cache(maxsize=4096)
def definition_from_document(text: str) -> Definition:
    """Return the definition that a document holds; remembered by its text.

    A job is read each time it falls due, and reading its text again would be most of that.

    Raises:
        StoreCorrupt: The document is not one that `document_from_definition` wrote.
    """
    try:
        values = json.loads(text, parse_constant=_no_constant)
        if not isinstance(values, dict) or not _NAMES - _LATER <= values.keys() <= _NAMES:
            raise ValueError("its keys are not those of a definition")
        return Definition(**{name: _value(name, value) for name, value in values.items()})  # type: ignore[arg-type]
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise StoreCorrupt(
            f"a definition cannot be read: {error}", hint="restore a backup: this program did not write it"
        ) from error


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON number")


def _value(name: str, value: object) -> object:
    if name in _ENUMS:
        return _ENUMS[name](str(_checked(name, value, str)))
    if name in _TEXTS:
        return _checked(name, value, str)
    if name in _OPTIONAL_TEXTS:
        return None if value is None else _checked(name, value, str)
    if name in _NUMBERS:
        return float(_checked(name, value, int, float))  # type: ignore[arg-type]
    if name in _OPTIONAL_NUMBERS:
        return None if value is None else float(_checked(name, value, int, float))  # type: ignore[arg-type]
    if name in _INTEGERS:
        return _checked(name, value, int)
    if name in _OPTIONAL_INTEGERS:
        return None if value is None else _checked(name, value, int)
    if name in _TEXT_LISTS:
        return tuple(_checked(name, text, str) for text in _list(name, value))
    return _STRUCTURES[name](value)


def _checked(name: str, value: object, *types: type) -> object:
    if not isinstance(value, types) or isinstance(value, bool):
        raise TypeError(f"{name} is {value!r}")
    return value


def _list(name: str, value: object) -> list[object]:
    return cast("list[object]", _checked(name, value, list))


def _command(value: object) -> Command:
    if not isinstance(value, dict) or value.keys() != {"kind", "words", "args"}:
        raise TypeError("command is not an object of kind, words and args")
    kind = CommandKind(str(_checked("kind", value["kind"], str)))
    words = tuple(str(_checked("words", word, str)) for word in _list("words", value["words"]))
    if not words or (kind is not CommandKind.ARGV and len(words) > 1):
        raise ValueError(f"command of kind {kind} has {len(words)} words")
    return Command(kind, words, str(_checked("args", value["args"], str)))


def _env(value: object) -> tuple[tuple[str, str], ...]:
    pairs = []
    for pair in _list("env", value):
        key, text = _list("env", pair)
        pairs.append((str(_checked("env", key, str)), str(_checked("env", text, str))))
    return tuple(pairs)


def _success_codes(value: object) -> tuple[int, ...]:
    codes = _list("success_codes", value)
    return tuple(cast("int", _checked("success_codes", code, int)) for code in codes)


_STRUCTURES = {
    "command": _command,
    "env": _env,
    "success_codes": _success_codes,
}
