"""Unit files of systemd: sections, assignments, continued lines, drop-ins, lists that an empty value resets.

Source: systemd.syntax(7), systemd.unit(5).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from cronq.importing.found import Place

_SPAN_UNITS = {
    **dict.fromkeys(("usec", "us", "µs"), 1e-6),
    **dict.fromkeys(("msec", "ms"), 1e-3),
    **dict.fromkeys(("seconds", "second", "sec", "s", ""), 1.0),
    **dict.fromkeys(("minutes", "minute", "min", "m"), 60.0),
    **dict.fromkeys(("hours", "hour", "hr", "h"), 3600.0),
    **dict.fromkeys(("days", "day", "d"), 86_400.0),
    **dict.fromkeys(("weeks", "week", "w"), 604_800.0),
    **dict.fromkeys(("months", "month", "M"), 2_629_800.0),
    **dict.fromkeys(("years", "year", "y"), 31_557_600.0),
}
_SPAN = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-zA-Zµ]*)")


class Setting(NamedTuple):
    """One assignment."""

    section: str
    key: str
    value: str
    place: Place


class Unit:
    """A unit with its drop-ins.

    Attributes:
        name: Of the file, `backup.timer`.
        place: The file as a whole.
    """

    def __init__(self, name: str, place: Place, settings: Iterable[Setting]) -> None:
        self.name = name
        self.place = place
        self._settings: dict[tuple[str, str], list[Setting]] = {}
        for one in settings:
            known = self._settings.setdefault((one.section, one.key), [])
            if not one.value:
                known.clear()
            known.append(one)

    def all(self, section: str, key: str) -> list[Setting]:
        """Return what a list holds, in order, after the last reset."""
        return [one for one in self._settings.get((section, key), []) if one.value]

    def last(self, section: str, key: str) -> Setting | None:
        """Return the assignment that counts; None: there is none, or an empty one took it back."""
        found = self._settings.get((section, key), [])
        return found[-1] if found and found[-1].value else None

    def others(self, known: Mapping[str, Iterable[str]]) -> list[Setting]:
        """Return the assignments in force whose key is not among those known of its section."""
        return [
            each[-1]
            for (section, key), each in self._settings.items()
            if each[-1].value and key not in known.get(section, ()) and not key.startswith("X-")
        ]


def read_unit(name: str, files: Iterable[tuple[str, str]]) -> Unit:
    """Return a unit from its file and its drop-ins, each with a label and its text, in their order."""
    settings: list[Setting] = []
    labels = []
    for label, text in files:
        labels.append(label)
        settings += _settings(label, text)
    return Unit(name, Place(labels[0] if labels else name), settings)


def _settings(label: str, text: str) -> Iterable[Setting]:
    section = ""
    pending, started = "", 0
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if stripped.startswith(("#", ";")):
            continue
        if pending:
            stripped = f"{pending} {stripped}"
        started = started if pending else number
        if stripped.endswith("\\"):
            pending = stripped[:-1].rstrip()
            continue
        pending = ""
        if stripped.startswith("[") and stripped.endswith("]"):
            section = stripped[1:-1]
        elif "=" in stripped:
            key, _, value = stripped.partition("=")
            shown = "" if key.strip() == "Environment" else stripped
            span = (len(key) + 1, len(stripped)) if shown else (0, 0)
            yield Setting(section, key.strip(), value.strip(), Place(label, started, shown, span))


def seconds_of(text: str) -> float | None:
    """Return the seconds of a time span such as `1h 30min`; None: it is none; infinity is `inf`."""
    if text.strip() == "infinity":
        return float("inf")
    total, at = 0.0, 0
    body = text.rstrip()
    while at < len(body):
        found = _SPAN.match(body, at)
        if found is None or found[2] not in _SPAN_UNITS:
            return None
        total += float(found[1]) * _SPAN_UNITS[found[2]]
        at = found.end()
    return total if body.strip() else None


def is_true(text: str) -> bool:
    """Return whether a text is one of the words for yes."""
    return text.lower() in {"1", "yes", "y", "true", "t", "on"}
