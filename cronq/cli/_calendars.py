"""Named calendars: read from files, used by jobs, and changed together with the jobs that use them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cronq.cli._change import change_jobs
from cronq.cli._schedules import times_of
from cronq.errors import CronqError, ScheduleError, UsageError
from cronq.model import Job, Micros
from cronq.plan import Launch
from cronq.redefine import redefine
from cronq.render.text import plain
from cronq.render.times import local
from cronq.store import DueJob, JobChange, Store
from cronq.store.base import text_after

if TYPE_CHECKING:
    from cronq.cli._session import Session
    from cronq.schedule.calendars import Calendar

AHEAD = timedelta(days=366)
"""How far ahead dates are counted and shown."""

_MOST_NAME = 63
_MOST_BYTES = 8_000_000


class Use(NamedTuple):
    """A job that uses a calendar, and what it does on its dates."""

    job: Job
    rule: str


class Known(NamedTuple):
    """A calendar that is defined or used.

    Attributes:
        text: As stored; None for holidays that jobs use without a definition.
        calendar: None if it cannot be read; then `problem` says why.
    """

    name: str
    text: str | None
    uses: list[Use]
    calendar: Calendar | None
    problem: str = ""

    @property
    def source(self) -> str:
        """What its dates are: `dates`, written down, or holidays such as `US` of a package."""
        from cronq.schedule.calendars import PACKAGE_PREFIX

        text = self.calendar.to_text() if self.calendar else self.text or ""
        return text if text.startswith(PACKAGE_PREFIX) else "dates"

    def dates(self, first: date, last: date) -> list[tuple[date, str]]:
        """Return its dates from one to another, both included. Raises: ScheduleError."""
        from cronq.schedule.calendars import listing

        return listing(self.calendar, first, last) if self.calendar else []


def today(session: Session) -> date:
    """Return the date in the zone in which times are shown."""
    return local(session.started_at, session.zone()).date()


def uses_of(jobs: Iterable[Job]) -> dict[str, list[Use]]:
    """Return who uses each calendar, by its name."""
    found: dict[str, list[Use]] = {}
    for job in jobs:
        for text in job.definition.calendars:
            name, _, rule = text.rpartition(":")
            found.setdefault(name, []).append(Use(job, rule))
    return found


def known_calendar(name: str, texts: Mapping[str, str], uses: Mapping[str, list[Use]]) -> Known:
    """Return a calendar that is stored, or whose name says what it holds.

    Raises:
        ScheduleError: Its name is none of both.
    """
    from cronq.schedule.calendars import unknown_calendar
    from cronq.schedule.holiday_package import is_spec, read_spec
    from cronq.timing import read_calendar

    text = texts.get(name)
    if text is None and not is_spec(name):
        message, hint = unknown_calendar(plain(name), texts)
        raise ScheduleError(message, hint=hint)
    using = uses.get(name, [])
    try:
        calendar = read_spec(name) if text is None else read_calendar(name, text)
    except CronqError as error:
        if not using and text is None:
            raise
        return Known(name, text, using, None, error.message)
    return Known(name, text, using, calendar)


def read_source(session: Session, name: str, source: str) -> str:
    """Return the text to store of a file, or of holidays such as `us-holidays`.

    Raises:
        ScheduleError: It cannot be read; names the line.
        UsageError: There is no such file.
    """
    from cronq.schedule.calendars import DatedCalendar, check_name
    from cronq.schedule.holiday_package import is_spec, read_spec

    check_name(name)
    if len(name) > _MOST_NAME:
        raise UsageError(f"the name of a calendar has at most {_MOST_NAME} characters")
    path = Path(source).expanduser()
    path = path if path.is_absolute() else session.environment.cwd() / path
    if not path.is_file():
        if is_spec(source):
            return read_spec(source).to_text()
        raise UsageError(
            f"there is no file {path}",
            hint="a file of dates (text or .ics), or holidays such as us-holidays or de-by-holidays",
        )
    text = _contents(path)
    is_ics = path.suffix.lower() == ".ics" or text.lstrip("\ufeff\r\n ").upper().startswith("BEGIN:VCALENDAR")
    try:
        if is_ics:
            from cronq.schedule.ics import read_ics

            return DatedCalendar(name, read_ics(text)).to_text()
        from cronq.schedule.calendar_files import read_dates

        return DatedCalendar(name, read_dates(text)).to_text()
    except ScheduleError as error:
        message = f"{plain(source)}: {error.message}"
        raise ScheduleError(message, hint=error.hint, text=error.text, span=error.span) from error


def _contents(path: Path) -> str:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise UsageError(f"{path} is larger than {_MOST_BYTES // 1_000_000} MB")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text", hint="save it as UTF-8") from error


def store_calendar(session: Session, store: Store, name: str, text: str) -> list[tuple[Job, Job]]:
    """Store a calendar, and let the jobs that use it fire by it.

    What is due already is settled under the calendars as they were.

    Returns:
        The jobs whose next fire time it moved, as they were and as they are.

    Raises:
        ScheduleError: A job cannot be computed with it; nothing was changed.
    """
    before = store.calendars()
    after = {**before, name: text}
    jobs = [overview.job for overview in store.overviews(recent=0)]
    using = [use.job for use in uses_of(jobs).get(name, [])]
    for job in using:
        times_of(job, after).next_us(session.started_at)
    if not using:
        store.set_calendar(name, text, now=session.environment.now())
        return []
    calendar = text_after(store.calendar_texts([name]), name, text, session.environment.now())

    def recompute(due: DueJob, launch: Launch, now: Micros) -> JobChange:
        since = max(due.since(now), calendar.since)
        return redefine(due, launch, due.job.definition, times_of(due.job, after), since)

    names = [job.name for job in using]
    changed = change_jobs(session, store, names, recompute, calendars=before, calendar=calendar)
    return [(was, now) for was, now in changed if was.next_fire_at != now.next_fire_at]
