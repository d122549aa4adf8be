"""What is simulated: the jobs of the database or of a file, a period, and times without a scheduler."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from cronq.cli._errors import raise_all
from cronq.cli._playing import RECENT
from cronq.cli._session import Session
from cronq.clock import datetime_from_us, us_from_datetime
from cronq.errors import CronqError, StoreMissing, UsageError
from cronq.model import SECOND, Definition, Micros
from cronq.render.text import plain
from cronq.schedule.instant import parse_instant
from cronq.virtual.simulation import Window

DAY_S = 86_400
MOST_S = 10 * 366 * DAY_S


class Subject(NamedTuple):
    """Jobs to be simulated: a copy, with which nothing stored is touched.

    Attributes:
        paused: Those that do not fire.
        history: Durations of each job's newest successes, in seconds; only of jobs that have any.
    """

    definitions: Mapping[str, Definition]
    paused: frozenset[str]
    calendars: Mapping[str, str]
    locks: Mapping[str, int]
    history: Mapping[str, Sequence[float]]


def read_subject(session: Session, file: str | None) -> Subject:
    """Return the jobs of a file, else those of the database.

    A file is read as `cronq apply` does; how long its jobs take is known of those that the database has.

    Raises:
        StoreMissing: A database was named, and there is none.
        Problems: All that is wrong with the file.
    """
    try:
        stored = _stored(session)
    except StoreMissing:
        if session.options.db or session.environment.environ.get("CRONQ_DB"):
            raise
        stored = Subject({}, frozenset(), {}, {}, {})
    return stored if file is None else _of_file(session, file, stored)


def _stored(session: Session) -> Subject:
    with session.store(read_only=True) as store:
        jobs = [overview.job for overview in store.overviews(recent=0)]
        locks = {state.name: state.capacity for state in store.lock_states(session.started_at)}
        return Subject(
            {job.name: job.definition for job in jobs},
            frozenset(job.name for job in jobs if job.paused_at is not None),
            store.calendars(),
            locks,
            {job.name: past for job in jobs if (past := store.durations(job.id, limit=RECENT))},
        )


def _of_file(session: Session, file: str, stored: Subject) -> Subject:
    from cronq.cli._files import read_alone

    path = Path(file).expanduser()
    path = path if path.is_absolute() else session.environment.cwd() / path
    if not path.is_file():
        raise UsageError(f"there is no file {plain(str(path))}", hint="`cronq export` writes one")
    session.fields = {"no_check": True}  # nothing is executed
    read = read_alone(session, path, calendars=stored.calendars)
    wishes = [*(wish for job in read.jobs for wish in job.locks), *read.locks]
    locks = {wish.name: wish.capacity for wish in wishes if wish.capacity is not None}
    return Subject(
        {job.name: job.definition for job in read.jobs},
        frozenset(job.name for job in read.jobs if job.paused),
        {**stored.calendars, **read.calendars},
        {**stored.locks, **locks},
        stored.history,
    )


def read_period(session: Session, start: str | None, end: str | None) -> Window:
    """Return the period; by default a day from now on. Raises: InstantError, UsageError."""
    tz = session.tz()
    first = session.started_at if start is None else _instant(start, tz, session.started_at)
    last = first + DAY_S * SECOND if end is None else _instant(end, tz, first)
    if last <= first:
        raise UsageError("--to is not after --from", hint="write --to 2026-12-31, or --to 'in 7d' after it")
    if last - first > MOST_S * SECOND:
        raise UsageError("--to is more than ten years after --from")
    return Window(first, last)


def read_down(session: Session, texts: Sequence[str], period: Window) -> list[Window]:
    """Return the times without a scheduler, ascending and within the period; what overlaps is one.

    Raises:
        UsageError: Naming all that is wrong.
    """
    tz = session.tz()
    problems: list[CronqError] = []
    windows = []
    for text in texts:
        first, dots, last = text.partition("..")
        try:
            if not dots:
                raise UsageError(
                    f"--down: `{plain(text[:60])}` is no window", hint="write --down 02:00..04:00"
                )
            start = _instant(first, tz, period.start - 1)
            end = _instant(last, tz, start)
            if end <= start:
                raise UsageError(f"--down: `{plain(text[:60])}` ends before it begins")
            if end <= period.start or start >= period.end:
                raise UsageError(f"--down: `{plain(text[:60])}` lies outside of the period")
            windows.append(Window(max(start, period.start), min(end, period.end)))
        except CronqError as error:
            problems.append(error)
    raise_all(problems)
    joined: list[Window] = []
    for window in sorted(windows):
        if joined and window.start <= joined[-1].end:
            joined[-1] = Window(joined[-1].start, max(joined[-1].end, window.end))
        else:
            joined.append(window)
    return joined


def _instant(text: str, tz: str, now: Micros) -> Micros:
    return us_from_datetime(parse_instant(text, tz=tz, now=datetime_from_us(now)))
