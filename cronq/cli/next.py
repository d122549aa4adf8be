"""`cronq next`: the fire times of a schedule or of jobs, with what clock changes do to them."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from cronq.cli._definition import NAME
from cronq.cli._errors import Problems
from cronq.cli._said import zone_label
from cronq.cli._schedules import one_schedule, read_schedule, schedule_of, was_expanded
from cronq.cli._session import Session
from cronq.clock import datetime_from_us, us_from_datetime
from cronq.errors import CronqError, ExitCode, JobNotFound, ScheduleError, StoreMissing, UsageError
from cronq.model import Job, Micros
from cronq.render.text import Tone, Word, plain
from cronq.render.times import full, iso, iso_local, offset, relative

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import tzinfo

    from cronq.schedule import Schedule

USAGE = "next SCHEDULE|NAME... [options]"
EXAMPLES = ("cronq next '0 9 13 * 5' --tz Europe/Berlin", "cronq next backup -n 3 --from '2026-10-20'")
_MANY = 1_000_000


class Asked(NamedTuple):
    """A schedule that was asked about."""

    label: str
    schedule: Schedule
    job: Job | None


class FireTime(NamedTuple):
    """A fire time and what is to be said about it."""

    at: Micros
    note: str


def command(
    ctx: typer.Context,
    what: Annotated[list[str] | None, typer.Argument(metavar="SCHEDULE|NAME", show_default=False)] = None,
    count: Annotated[
        int | None,
        typer.Option("-n", "--count", metavar="COUNT", min=1, max=_MANY, help="How many (default: 5)."),
    ] = None,
    start: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="Fire times after this (default: now).")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="TIME", help="Fire times before this; all, without -n.")
    ] = None,
    prev: Annotated[bool, typer.Option("--prev", help="Backwards: the last ones before.")] = False,
    dst: Annotated[
        str | None, typer.Option("--dst", metavar="cron|skip|both", help="Rule at clock changes.")
    ] = None,
) -> int:
    """Say what a schedule means, and when it fires.

    Takes schedules, quoted, and names of jobs; for schedules no database is needed. Times are in the job's
    zone, or in that of --tz (default: this machine's). Exit code 1 if there is no fire time.
    """
    session = Session.of(ctx)
    asked = _asked(session, what or [], dst)
    now = session.started_at
    tz = asked[0].schedule.tz
    after = _instant(session, start, tz) if start is not None else now
    before = _instant(session, until, tz) if until is not None else None
    found = [(one, list(_fire_times(one.schedule, after, before, count, prev=prev))) for one in asked]
    if session.options.json:
        session.json(_document(session, found))
    elif session.for_people:
        _tell(session, found, after)
    else:
        session.rows(
            ["utc", "local", "tz", "name", "note"],
            (_row(session, one, fire) for one, fires in found for fire in fires),
        )
    return int(ExitCode.OK if all(fires for _, fires in found) else ExitCode.FAILED)


def _asked(session: Session, words: list[str], dst: str | None) -> list[Asked]:
    if not words:
        raise UsageError("there is nothing to look at", hint=f"usage: cronq {USAGE}")
    jobs = _jobs(session, [word for word in words if NAME.fullmatch(word)], words)
    problems: list[CronqError] = []
    asked = []
    for word in words:
        job = jobs.get(word)
        try:
            if job is not None:
                asked.append(Asked(job.name, schedule_of(job), job))
                continue
            schedule = read_schedule(
                word, tz=session.tz(), name="", dst=dst or "cron", now=session.started_at
            )
            asked.append(Asked(schedule.text, schedule, None))
        except ScheduleError as error:
            _blame_shell(session, words)
            problems.append(error)
    if len(problems) == 1:
        raise problems[0]
    if problems:
        raise Problems(problems)
    return asked


def _jobs(session: Session, names: list[str], words: list[str]) -> dict[str, Job]:
    """Return the jobs among the words. A word that could be a name, and no schedule, is one."""
    if not names:
        return {}
    cwd = session.environment.cwd()
    if len(words) > 1 and was_expanded(words, cwd):
        _blame_shell(session, words)
    try:
        with session.store(read_only=True) as store:
            return {job.name: job for job in store.named_jobs(names)}
    except (JobNotFound, StoreMissing):
        if len(words) > 1 and _reads(session, " ".join(words)):
            _blame_shell(session, words)
        raise


def _reads(session: Session, text: str) -> bool:
    try:
        read_schedule(text, tz="UTC", name="", dst="cron", now=session.started_at)
    except CronqError:
        return False
    return True


def _blame_shell(session: Session, words: list[str]) -> None:
    """Raise if the words look like one schedule that was not quoted."""
    cwd = session.environment.cwd()
    if len(words) > 1 and (was_expanded(words, cwd) or _reads(session, " ".join(words))):
        one_schedule(words, before="cronq next", after="", cwd=cwd)


def _instant(session: Session, text: str, tz: str) -> Micros:
    from cronq.schedule.instant import parse_instant

    return us_from_datetime(parse_instant(text, tz=tz, now=datetime_from_us(session.started_at)))


def _fire_times(
    schedule: Schedule, after: Micros, before: Micros | None, count: int | None, *, prev: bool
) -> Iterator[FireTime]:
    limit = count or (5 if before is None else _MANY)
    times = _backwards(schedule, after, before) if prev else _forwards(schedule, after, before)
    for at in islice(times, limit):
        yield FireTime(at, schedule.notes_at(datetime_from_us(at)) or "")


def _forwards(schedule: Schedule, after: Micros, before: Micros | None) -> Iterator[Micros]:
    at = schedule.next_us(after)
    while at is not None and (before is None or at < before):
        yield at
        at = schedule.next_us(at)


def _backwards(schedule: Schedule, start: Micros, end: Micros | None) -> Iterator[Micros]:
    at = schedule.prev_us(start)
    while at is not None and (end is None or at > end):
        yield at
        at = schedule.prev_us(at)


def _tell(session: Session, found: list[tuple[Asked, list[FireTime]]], after: Micros) -> None:
    for index, (one, fires) in enumerate(found):
        if index:
            session.line()
        if one.job is not None:
            session.words(Word(plain(one.label), Tone.BOLD), f"  {plain(one.schedule.text)}")
        session.line(f"{one.schedule.explain()}  ({zone_label(session, one.schedule.tz)})")
        for warning in one.schedule.warnings(datetime_from_us(session.started_at)):
            session.words(Word(f"{warning.severity}:", Tone.YELLOW), f" {warning.message}")
        if one.job is not None and one.job.paused_at is not None:
            session.words(Word("note:", Tone.YELLOW), " the job is paused; none of these will run")
        if not fires:
            session.line("  no fire time")
        _lines(session, one, fires, after)


def _lines(session: Session, one: Asked, fires: list[FireTime], after: Micros) -> None:
    now = session.started_at
    zone = session.zone(one.schedule.tz)
    shown = [(full(f.at, zone), offset(f.at, zone), _away(f.at, now, zone), f.note) for f in fires]
    widths = [max((len(row[column]) for row in shown), default=0) for column in range(3)]
    before = offset(after, zone)
    for when, utc_offset, away, note in shown:
        change = f"({before} → {utc_offset})" if utc_offset != before else ""
        before = utc_offset
        remark = "  ".join(text for text in (change, note) if text)
        cells = (when, utc_offset, away)
        line = "  ".join(f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True) if width)
        session.words(f"  {line.rstrip()}" if not remark else f"  {line}  ", Word(remark, Tone.YELLOW))


def _away(at: Micros, now: Micros, zone: tzinfo) -> str:
    """Return `in 1d 4h`; nothing where that would be the date again."""
    text = relative(at, now, zone, units=2)
    return "" if text == full(at, zone)[4:14] else text


def _row(session: Session, one: Asked, fire: FireTime) -> list[str]:
    zone = session.zone(one.schedule.tz)
    tz = session.tz(one.schedule.tz)
    return [iso(fire.at) or "", iso_local(fire.at, zone), tz, one.label, fire.note]


def _document(session: Session, found: list[tuple[Asked, list[FireTime]]]) -> dict[str, object]:
    return {
        "fire_times": [
            {
                "at": iso(fire.at),
                "local": iso_local(fire.at, session.zone(one.schedule.tz)),
                "tz": session.tz(one.schedule.tz),
                "schedule": one.schedule.text,
                "job": one.job.name if one.job else None,
                "note": fire.note or None,
            }
            for one, fires in found
            for fire in fires
        ],
        "schedules": [
            {
                "schedule": one.schedule.text,
                "job": one.job.name if one.job else None,
                "tz": one.schedule.tz,
                "sentence": one.schedule.explain(),
                "warnings": [w.message for w in one.schedule.warnings(datetime_from_us(session.started_at))],
            }
            for one, _ in found
        ],
    }
