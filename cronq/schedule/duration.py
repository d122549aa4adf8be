"""Durations such as `90s`, `1h30m` and `250ms`."""

from __future__ import annotations

import re

from cronq.errors import DurationError
from cronq.schedule.pieces import printable

_UNITS_MS = {"w": 604_800_000, "d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)([a-zA-Z]*)")
_LONG = {
    "w": ("week", "weeks"),
    "d": ("day", "days"),
    "h": ("hour", "hours", "hr", "hrs"),
    "m": ("min", "mins", "minute", "minutes"),
    "s": ("sec", "secs", "second", "seconds"),
    "ms": ("millis", "millisecond", "milliseconds"),
}
_UNIT_OF = {word: unit for unit, words in _LONG.items() for word in words} | {
    unit: unit for unit in _UNITS_MS
}
_HINT = "write numbers with units, largest first: 90s, 5m, 1h30m, 2d, 1w, 250ms"
_MAX_CHARS = 64
_MAX_MS = 200 * 366 * 86_400_000


def parse_duration(text: str) -> float:
    """Seconds of a duration; never negative.

    Units are w d h m s ms, each at most once and the larger first; a fraction may stand in the
    last part only.

    Raises:
        DurationError: With the span of the offending characters.
    """
    return _milliseconds(text) / 1000


def _milliseconds(text: str) -> float:
    if not text.strip():
        raise DurationError("a duration is missing", hint=_HINT, text=printable(text), span=(0, len(text)))
    if len(text) > _MAX_CHARS:
        raise DurationError(
            "the duration is too long to be one",
            hint=_HINT,
            text=printable(text[:_MAX_CHARS]),
            span=(0, _MAX_CHARS),
        )
    body = text.rstrip()
    at = len(body) - len(body.lstrip())
    total = 0.0
    previous = ""
    while at < len(body):
        found = _PART.match(body, at)
        if found is None:
            raise _error(text, f"`{body[at:]}` is not a duration", (at, len(body)))
        unit = _unit(text, found, previous)
        if "." in found[1] and found.end() != len(body):
            raise _error(text, "only the last part of a duration may have a fraction", found.span(1))
        total += float(found[1]) * _UNITS_MS[unit]
        previous = unit
        at = found.end()
    if total > _MAX_MS:
        raise _error(text, "the duration is longer than 200 years", (0, len(body)))
    return round(total, 3)


def _unit(text: str, found: re.Match[str], previous: str) -> str:
    number, word = found.groups()
    if not word:
        message = f"the duration `{number}` has no unit" if not previous else f"`{number}` has no unit"
        raise DurationError(
            message,
            hint=f"the unit is the point: {number}s, {number}m, {number}h or {number}d",
            text=printable(text),
            span=found.span(),
        )
    unit = _UNIT_OF.get(word.lower())
    if unit is None:
        raise _error(text, f"unknown unit `{word}`", found.span(2))
    if previous and _UNITS_MS[unit] >= _UNITS_MS[previous]:
        raise _error(text, f"`{found[0]}` comes after a smaller or equal unit", found.span())
    return unit


def _error(text: str, message: str, span: tuple[int, int]) -> DurationError:
    return DurationError(printable(message), hint=_HINT, text=printable(text), span=span)


def format_duration(seconds: float) -> str:
    """A duration in the syntax that `parse_duration` reads, to the millisecond: `1h30m`, `250ms`, `0s`.

    A negative one, such as the time since a fire time that is still to come, has a minus in front
    and is for display only.
    """
    rest = round(abs(seconds) * 1000)
    if rest == 0:
        return "0s"
    parts = ["-"] if seconds < 0 else []
    for unit, size in _UNITS_MS.items():
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)
