"""Reading schedules as people type them, and knowing what their shell did to an unquoted `*`."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cronq.clock import datetime_from_us
from cronq.errors import ScheduleError, StoreCorrupt, TimezoneError
from cronq.model import Job, Micros
from cronq.render.text import plain

if TYPE_CHECKING:
    from cronq.schedule import Schedule

_FIELDS = 5


def schedule_of(job: Job) -> Schedule:
    """Return a stored job's schedule.

    Raises:
        TimezoneError: Its zone is gone from the zone data.
        StoreCorrupt: What is stored cannot be read.
    """
    from cronq.schedule import parse

    definition = job.definition
    try:
        return parse(definition.schedule, tz=definition.tz, name=job.name, dst=definition.dst)
    except TimezoneError as error:
        raise TimezoneError(
            f"{job.name}: {error.message}",
            hint=f"the zone data has lost it; choose another: cronq set {job.name} --tz ZONE",
        ) from error
    except ScheduleError as error:
        raise StoreCorrupt(f"the schedule of {job.name} cannot be read: {error.message}") from error


def read_schedule(text: str, *, tz: str, name: str, dst: str, now: Micros) -> Schedule:
    """Return the schedule that a person typed. Raises: ScheduleError, TimezoneError and their like."""
    from cronq.schedule import parse

    return parse(text, tz=tz, name=name, dst=dst, now=datetime_from_us(now))


def one_schedule(words: Sequence[str], *, before: str, after: str, cwd: Path) -> str:
    """Return the schedule's text, if it is one word.

    Args:
        words: What stands where the schedule is expected.
        before: The command line up to the schedule, for the hint.
        after: The command line from there on.
        cwd: Where the shell looked for file names.

    Raises:
        ScheduleError: There is none, it was not quoted, or the shell turned `*` into file names.
    """
    if len(words) == 1 and words[0].strip():
        return words[0]
    if not words or not words[0].strip():
        raise ScheduleError("there is no schedule", hint=f"{before} '0 2 * * *'{after}")
    if was_expanded(words, cwd):
        found = " ".join(_leading_fields(words, cwd))
        quoted = _restored(words, cwd)
        raise ScheduleError(
            f"the schedule has {_count(found)}, not 5: `{plain(found)}`",
            hint=f"your shell turned `*` into file names; quote it: {before} '{quoted}'{after}",
        )
    raise ScheduleError(
        f"the schedule must be one word: `{plain(' '.join(words))}`",
        hint=f"quote it: {before} {shlex.quote(' '.join(words))}{after}",
    )


def was_expanded(words: Sequence[str], cwd: Path) -> bool:
    """Return whether the words look as if a shell had put file names in the place of `*`."""
    return any(_is_file_name(word, cwd) for word in words[1:])


def _is_file_name(word: str, cwd: Path) -> bool:
    return bool(word) and not set(word) <= set("0123456789*/,-") and os.path.lexists(cwd / word)


def _leading_fields(words: Sequence[str], cwd: Path) -> list[str]:
    kept: list[str] = []
    for word in words:
        if _is_file_name(word, cwd):
            break
        kept.append(word)
    return kept


def _restored(words: Sequence[str], cwd: Path) -> str:
    """Return the words with each stretch of file names as `*`, filled up to five fields."""
    fields: list[str] = []
    stretch = 0
    names = sum(1 for path in cwd.iterdir() if not path.name.startswith("."))
    for word in words:
        if not _is_file_name(word, cwd):
            fields.append(word)
            continue
        if stretch % max(1, names) == 0:
            fields.append("*")
        stretch += 1
    return " ".join([*fields, *["*"] * (_FIELDS - len(fields))][:6])


def _count(text: str) -> str:
    fields = len(text.split())
    return "1 field" if fields == 1 else f"{fields} fields"


def read_future_schedule(text: str, *, tz: str, name: str, dst: str, now: Micros) -> Schedule:
    """Return the schedule that a person typed for a job: one that has a fire time to come.

    Raises:
        ScheduleError: It cannot be read, or all its fire times are past.
        TimezoneError: There is no such zone.
    """
    schedule = read_schedule(text, tz=tz, name=name, dst=dst, now=now)
    if schedule.next_us(now) is None and not schedule.at_startup:
        raise ScheduleError(
            "the schedule has no fire time that is still to come",
            hint=f"its last ones: cronq next {shlex.quote(text)} --prev",
            text=text,
            span=(0, len(text)),
        )
    return schedule
