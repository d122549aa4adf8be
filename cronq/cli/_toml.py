"""TOML and JSON files as people write them, and where in them a key stands, for errors to point at it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from cronq.errors import CronqError, UsageError

MOST_BYTES = 256 * 1024 * 1024
_HEADER = re.compile(r"\s*\[\[?([^\[\]]+)\]\]?\s*(?:#.*)?$")
_NAME = r"(?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*')"
_KEY = re.compile(rf"\s*({_NAME}(?:\s*\.\s*{_NAME})*)\s*=")
_PART = re.compile(r"\"([^\"]*)\"|'([^']*)'|([A-Za-z0-9_-]+)")
_SECRETS = "env"
_HIDDEN_URL = "ping"
"""The values of keys of these names are nobody else's business: their lines are not shown."""
_MAY_HOLD_SECRETS = re.compile(r"\b(?:env|ping)[\"']?\s*[=.:]")
_WHERE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


class Spot(NamedTuple):
    """A place in a file.

    Attributes:
        line: From 1.
        span: Of the key within `text`.
        text: The line.
    """

    line: int
    span: tuple[int, int]
    text: str


class Document:
    """A file that was read.

    Attributes:
        label: What it is called in errors.
        values: What it holds.
    """

    def __init__(self, label: str, text: str, values: dict[str, object]) -> None:
        self.label = label
        self.values = values
        self._text = text
        self._spots: dict[tuple[str, ...], Spot] | None = None

    def spot(self, *keys: str) -> Spot | None:
        """Return where a key, or the nearest one above it, stands; None: in no line of its own."""
        if self._spots is None:
            self._spots = _spots(self._text)  # only when something is wrong
        while keys:
            found = self._spots.get(keys)
            # A table that is only named by those within it stands where the first of them does.
            inside = (spot for path, spot in self._spots.items() if path[: len(keys)] == keys)
            if (found := found or next(inside, None)) is not None:
                return found
            keys = keys[:-1]
        return None

    def located(self, error: CronqError, *keys: str) -> CronqError:
        """Return an error that names the file and the place of a key, and points at what is wrong there."""
        spot = self.spot(*keys)
        if spot is None:
            return type(error)(
                f"{self.label}: {error.message}",
                hint=error.hint,
                text=error.text,
                span=error.span,
                details=error.details,
            )
        span = spot.span
        if _SECRETS in keys or keys[-1:] == (_HIDDEN_URL,) or _MAY_HOLD_SECRETS.search(spot.text):
            message = f"{self.label}:{spot.line}:{span[0] + 1}: {error.message}"
            return type(error)(message, hint=error.hint, details=error.details)
        if error.text and error.span is not None:
            offset = spot.text.find(error.text, spot.span[1])
            if offset >= 0:
                span = (offset + error.span[0], offset + error.span[1])
        message = f"{self.label}:{spot.line}:{span[0] + 1}: {error.message}"
        return type(error)(message, hint=error.hint, text=spot.text, span=span, details=error.details)


def read_document(path: Path, label: str) -> Document:
    """Return what a TOML file, or a JSON file of the same shape (`.json`), holds.

    Raises:
        UsageError: It cannot be read, or is neither; names line and column.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise UsageError(f"{label} is larger than {MOST_BYTES // 1024**2} MiB")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{label} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{label} is not UTF-8 text", hint="save it as UTF-8") from error
    return parse_document(text, label, is_json=path.suffix.lower() == ".json")


def parse_document(text: str, label: str, *, is_json: bool = False) -> Document:
    """Return what a text holds. Raises: UsageError."""
    if is_json:
        return Document(label, text, _json(text, label))
    import tomllib

    try:
        return Document(label, text, tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise _syntax_error(str(error), text, label) from None
    except RecursionError:
        raise UsageError(f"{label}: it is nested too deeply") from None


def _json(text: str, label: str) -> dict[str, object]:
    import json

    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        line = text.splitlines()[error.lineno - 1] if text else ""
        # Where its objects begin and end is not known: it cannot be read.
        shown = None if _MAY_HOLD_SECRETS.search(text) else line
        raise UsageError(
            f"{label}:{error.lineno}:{error.colno}: {error.msg}",
            text=shown,
            span=(error.colno - 1, error.colno),
        ) from None
    except (RecursionError, ValueError) as error:
        raise UsageError(f"{label}: {error}") from None
    if not isinstance(values, dict):
        raise UsageError(f"{label}: it is not an object")
    return values


def _syntax_error(message: str, text: str, label: str) -> UsageError:
    where = _WHERE.search(message)
    what = message[: where.start()] if where else message
    what = what[:1].lower() + what[1:]
    lines = text.splitlines() or [""]
    number, column = len(lines), len(lines[-1]) + 1
    if where and where[1]:
        number, column = int(where[1]), int(where[2])
    number = min(number, len(lines))
    shown = None if _lies_in_secrets(lines, number) else lines[number - 1]
    return UsageError(f"{label}:{number}:{column}: {what}", text=shown, span=(column - 1, column))


def _lies_in_secrets(lines: list[str], number: int) -> bool:
    """Return whether a line of a text that cannot be read may be one of variables."""
    if _MAY_HOLD_SECRETS.search(lines[number - 1]):
        return True
    # A text of several lines whose end is missing, or a table, holds it; the last key before it says which.
    before = "\n".join(lines[:number])
    path = next(reversed(_spots(before)), ())
    headers = [line for line in lines[:number] if line.lstrip().startswith("[")]
    if path[-1:] == (_HIDDEN_URL,):
        return True
    return _SECRETS in path or bool(headers and re.search(rf"\b{_SECRETS}\b", headers[-1]))


def _spots(text: str) -> dict[tuple[str, ...], Spot]:
    """Return where each key stands. A line inside a text of several lines is not told apart: first wins."""
    found: dict[tuple[str, ...], Spot] = {}
    table: tuple[str, ...] = ()
    closing = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if closing:
            closing = "" if closing in line else closing
            continue
        header = _HEADER.match(line)
        key = _KEY.match(line)
        if header:
            table = _parts(header[1])
            found.setdefault(table, Spot(number, header.span(1), line))
        elif key:
            found.setdefault((*table, *_parts(key[1])), Spot(number, key.span(1), line))
        for quotes in ('"""', "'''"):
            if line.count(quotes) % 2:
                closing = quotes
    return found


def _parts(text: str) -> tuple[str, ...]:
    return tuple(next(part for part in match if part is not None) for match in _parts_of(text))


def _parts_of(text: str) -> list[tuple[str | None, ...]]:
    return [match.groups() for match in _PART.finditer(text)]
