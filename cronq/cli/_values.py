"""Values of a definition in words, what differs between two, and what to type to go back."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from cronq.cli._command import shown
from cronq.cli._layers import LABELS, NONE
from cronq.model import Command, CommandKind, Definition, Micros
from cronq.names import DEFAULT_QUEUE
from cronq.ping_urls import variable_in
from cronq.render.text import plain
from cronq.sizes import format_size

if TYPE_CHECKING:
    from cronq.cli._session import Session

LAYERS = frozenset({"calendars", "blackouts", "assertions"})
LISTS = LAYERS | {"locks", "secrets", "tags"}
"""Fields that hold several texts, each given by an option of its own."""
_SIZES = frozenset({"max_output", "memory"})


def instant_of(session: Session, text: str, tz: str | None = None) -> Micros:
    """Return the instant that a person typed; without a zone of its own it is in --tz, else in this one.

    Raises:
        InstantError: It cannot be read; points at the place.
        TimezoneError: There is no such zone.
    """
    from cronq.clock import datetime_from_us, us_from_datetime
    from cronq.schedule.instant import parse_instant

    now = datetime_from_us(session.started_at)
    return us_from_datetime(parse_instant(text, tz=session.tz(tz), now=now))


def differences(old: Definition, new: Definition) -> list[tuple[str, str, str]]:
    """Return (field, old, new) in words; values of variables are not shown."""
    found = []
    for field in Definition._fields:
        before, after = getattr(old, field), getattr(new, field)
        if before != after:
            found.append((label_of(field), value_words(field, before), value_words(field, after)))
    return found


def label_of(name: str) -> str:
    """Return what a field of a definition is called: as its option, without the dashes."""
    return LABELS.get(name, name.removesuffix("_s").replace("_", "-"))


def value_words(name: str, value: object) -> str:
    """Return a definition's value as it would be typed; variables by name only."""
    if value is None:
        return DEFAULT_QUEUE if name == "queue" else "none"
    if isinstance(value, Command):
        return shown(value)
    if name == "env" and isinstance(value, tuple):
        return ", ".join(key for key, _ in value) or "none"
    if name == "ping" and isinstance(value, str):
        from cronq.ping_urls import masked

        return plain(masked(value))
    if name in LISTS and isinstance(value, tuple):
        return "; ".join(plain(str(item)) for item in value) or NONE
    if name in _SIZES and isinstance(value, int):
        return format_size(value)
    if isinstance(value, tuple):
        return ",".join(str(item) for item in value)
    if name.endswith("_s") and isinstance(value, int | float):
        from cronq.schedule.duration import format_duration

        return format_duration(value)
    if isinstance(value, float):
        return f"{value:g}"
    return plain(str(value))


def undo_words(old: Definition, new: Definition) -> list[str]:
    """Return the words after `cronq set NAME` that bring the old definition back, as far as words can.

    Left out are former values of variables and of --ping, which are never printed, and one-offs, whose time
    has passed or soon will; see `beyond_undo`.
    """
    words: list[str] = []
    command: list[str] = []
    for field in Definition._fields:
        before, after = getattr(old, field), getattr(new, field)
        if before == after or field == "path":
            continue
        if field == "schedule":
            if not _is_one_off(before):
                words.insert(0, shlex.quote(before))
        elif isinstance(before, Command):
            command = _undo_command(before)
        elif field == "env":
            words += [f"--unset-env {name}" for name, _ in after if name not in dict(before)]
        elif field == "ping" and before is not None and variable_in(before) is None:
            continue
        elif field in LISTS:
            words += [f"--{label_of(field)} {shlex.quote(plain(text))}" for text in before or (NONE,)]
        else:
            words.append(f"--{label_of(field)} {shlex.quote(value_words(field, before))}")
    return words + command


def _undo_command(command: Command) -> list[str]:
    text = shown(command)
    return [f"-- {text}" if command.kind is CommandKind.ARGV else text]


def beyond_undo(old: Definition, new: Definition) -> list[str]:
    """Return what `undo_words` cannot bring back, in words."""
    lost = [f"the former value of {name}" for name, value in old.env if dict(new.env).get(name) != value]
    if old.ping != new.ping and old.ping is not None and variable_in(old.ping) is None:
        lost.append("the former URL of --ping")
    if old.schedule != new.schedule and _is_one_off(old.schedule):
        lost.append(f"the schedule {plain(old.schedule)}")
    return lost


def _is_one_off(schedule: str) -> bool:
    return schedule.startswith("at ")
