"""Reading schedules as people type them, and knowing what their shell did to an unquoted `*`."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cronq.clock import datetime_from_us
from cronq.errors import ScheduleError, StoreCorrupt, StoreMissing, TimezoneError
from cronq.model import Definition, Job, Micros
from cronq.render.text import plain

if TYPE_CHECKING:
    from cronq.cli._session import Session
    from cronq.schedule import Arrangement, Schedule
    from cronq.store import Store

    Times = Schedule | Arrangement

_FIELDS = 5
NO_CALENDARS: Mapping[str, str] = {}


def known_calendars(session: Session) -> Mapping[str, str]:
    """Return the named calendars; none where there is no database yet."""
    try:
        with session.store(read_only=True) as store:
            return store.calendars()
    except StoreMissing:
        if session.options.db or session.environment.environ.get("CRONQ_DB"):
            raise
        return NO_CALENDARS


def calendars_for(store: Store, definitions: Iterable[Definition]) -> Mapping[str, str]:
    """Return the named calendars, read only if one of the definitions uses any."""
    return store.calendars() if any(one.calendars for one in definitions) else NO_CALENDARS


def times_of(job: Job, calendars: Mapping[str, str] = NO_CALENDARS) -> Times:
    """Return a stored job's fire times.

    Raises:
        TimezoneError: Its zone is gone from the zone data.
        ScheduleError: A calendar of it is gone, or the package that knows its dates.
        StoreCorrupt: What is stored cannot be read.
    """
    from cronq.timing import times_of

    try:
        return times_of(job, calendars)
    except TimezoneError as error:
        raise TimezoneError(
            f"{job.name}: {error.message}",
            hint=f"the zone data has lost it; choose another: cronq set {job.name} --tz ZONE",
        ) from error
    except ScheduleError as error:
        if job.definition.calendars:
            raise ScheduleError(f"{job.name}: {error.message}", hint=error.hint) from error
        raise StoreCorrupt(f"the schedule of {job.name} cannot be read: {error.message}") from error


def schedule_in(times: Times) -> Schedule:
    """Return the schedule alone, without bounds and calendars."""
    from cronq.schedule import Schedule

    return times if isinstance(times, Schedule) else times.schedule


def sentence_of(times: Times, definition: Definition) -> str:
    """Return the whole sentence about when a job runs."""
    from cronq.schedule import Schedule
    from cronq.schedule.describe import describe

    blackouts = jitter = None
    if definition.blackouts:
        from cronq.schedule.blackout import read_blackouts

        blackouts = read_blackouts(definition.blackouts, definition.tz)
    if definition.jitter is not None:
        from cronq.schedule.placement import parse_jitter

        jitter = parse_jitter(definition.jitter)
    if isinstance(times, Schedule):
        return describe(times, None, (), blackouts, jitter)
    return describe(times.schedule, times.bounds, times.uses, blackouts, jitter)


def is_layered(definition: Definition) -> bool:
    """Return whether there is more to say about when it runs than its schedule."""
    d = definition
    return bool(d.valid_from or d.valid_until or d.calendars or d.blackouts or d.jitter)


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
