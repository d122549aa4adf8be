"""`cronq next`: the fire times of schedules and jobs, with what clock changes do to them."""

from collections.abc import Iterator
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from cronq.cli._app import CronqCommand
from cronq.cli._asked import USAGE, Asked, common_zone, read_asked
from cronq.cli._said import zone_label
from cronq.cli._session import Session
from cronq.cli._starts import Start, start_of
from cronq.clock import datetime_from_us, us_from_datetime
from cronq.errors import ExitCode, UsageError
from cronq.model import Micros
from cronq.render.text import Tone, Word, pad, plain
from cronq.render.times import full, iso, iso_local, offset, relative

if TYPE_CHECKING:
    from datetime import tzinfo

__all__ = ["USAGE"]
EXAMPLES = ("cronq next '0 9 13 * 5' --tz Europe/Berlin", "cronq next backup -n 3 --from '2026-10-20'")
_MANY = 1_000_000


class Unit(StrEnum):
    """What fire times are counted by."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


def trial_options(
    uses: Annotated[
        list[str] | None,
        typer.Option("--use", metavar="CALENDAR:RULE", help="Try a calendar, such as us-holidays:skip."),
    ] = None,
    blackouts: Annotated[
        list[str] | None, typer.Option("--blackout", metavar="WINDOW", help="Try a blackout window.")
    ] = None,
    jitter: Annotated[
        str | None, typer.Option("--jitter", metavar="SPAN", help="Try a jitter, such as 5m.")
    ] = None,
) -> None:
    """Declare what can be tried on schedules."""


class AskingCommand(CronqCommand):
    """A command that takes schedules, and what to try on them."""

    template = staticmethod(trial_options)


COMMAND_CLASS = AskingCommand


class FireTime(NamedTuple):
    """A fire time and what is to be said about it."""

    asked: Asked
    at: Micros
    note: str
    start: Start


class Window(NamedTuple):
    """Which fire times are wanted: the first `limit` after `after`, or the last ones before it."""

    after: Micros
    before: Micros | None
    limit: int
    is_backwards: bool


def command(
    ctx: typer.Context,
    what: Annotated[list[str] | None, typer.Argument(metavar="SCHEDULE|NAME", show_default=False)] = None,
    limit: Annotated[
        int | None, typer.Option("-n", metavar="COUNT", min=1, max=_MANY, help="How many (default: 5).")
    ] = None,
    start: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="Fire times after this (default: now).")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="TIME", help="Fire times before this; all, without -n.")
    ] = None,
    prev: Annotated[bool, typer.Option("--prev", help="Backwards: the last ones before.")] = False,
    count: Annotated[
        Unit | None,
        typer.Option("--count", metavar="day|week|month", help="How many there are in each; -n: how often."),
    ] = None,
    calendar: Annotated[
        bool, typer.Option("--calendar", help="Months with a count for each day; -n: how many months.")
    ] = False,
    dst: Annotated[
        str | None, typer.Option("--dst", metavar="cron|skip|both", help="Rule at clock changes.")
    ] = None,
) -> int:
    """Say what schedules mean, and when they fire.

    Takes schedules, quoted, and names of jobs; of several, the fire times are merged. For schedules no
    database is needed. Times are in the job's zone, or in that of --tz (default: this machine's).
    With --count and --calendar whole days, weeks from Monday, and months are counted.
    Exit code 1 if there is no fire time.
    """
    session = Session.of(ctx)
    asked = read_asked(session, what or [], dst)
    after = session.started_at if start is None else _instant(session, start, asked[0].tz)
    before = None if until is None else _instant(session, until, asked[0].tz)
    if prev + calendar + (count is not None) > 1:
        raise UsageError("--prev, --count and --calendar contradict one another", hint="give one of them")
    if calendar or count is not None:
        from cronq.cli import _periods

        if count is None:
            return _periods.answer_months(session, asked, after, before, limit)
        return _periods.answer_counts(session, asked, count.value, after, before, limit)
    return _answer(session, asked, Window(after, before, limit or (5 if before is None else _MANY), prev))


def _instant(session: Session, text: str, tz: str) -> Micros:
    from cronq.schedule.instant import parse_instant

    return us_from_datetime(parse_instant(text, tz=tz, now=datetime_from_us(session.started_at)))


def _answer(session: Session, asked: list[Asked], window: Window) -> int:
    found = [list(_fire_times(session, one, window)) for one in asked]
    fires = sorted((f for each in found for f in each), key=lambda f: f.at, reverse=window.is_backwards)
    fires = fires[: window.limit]
    if session.options.json:
        session.json(_document(session, asked, fires))
    elif session.for_people:
        _tell(session, asked, fires, window.after)
    else:
        _warn_aside(session, asked, found)
        session.rows(["utc", "local", "tz", "name", "note"], (_row(session, fire) for fire in fires))
    return int(ExitCode.OK if all(found) else ExitCode.FAILED)


def _warn_aside(session: Session, asked: list[Asked], found: list[list[FireTime]]) -> None:
    """Say beside a piped answer what a terminal shows within it."""
    for one, fires in zip(asked, found, strict=True):
        which = f"{one.label}: " if len(asked) > 1 else ""
        for severity, message in one.warnings(session.started_at):
            session.tell(f"{severity}: {which}{message}")
        if not fires:
            session.tell(f"{which}no fire time")


def _fire_times(session: Session, one: Asked, window: Window) -> Iterator[FireTime]:
    times = _backwards(one, window) if window.is_backwards else _forwards(one, window)
    zone = session.zone(one.tz)
    for at in islice(times, window.limit):
        yield FireTime(one, at, one.note(at), start_of(one.placement, at, zone))


def _forwards(one: Asked, window: Window) -> Iterator[Micros]:
    at = one.times.next_us(window.after)
    while at is not None and (window.before is None or at < window.before):
        yield at
        at = one.times.next_us(at)


def _backwards(one: Asked, window: Window) -> Iterator[Micros]:
    at = one.times.prev_us(window.after)
    while at is not None and (window.before is None or at > window.before):
        yield at
        at = one.times.prev_us(at)


def tell_what(session: Session, asked: list[Asked], tz: str) -> None:
    """Say what each schedule means, and warn about it."""
    widest = max(len(plain(one.label)) for one in asked)
    for one in asked:
        label = zone_label(session, one.tz)
        if session.tz(one.tz) != tz:
            label = f"{one.tz}; times in {tz}"
        sentence = f"{plain(one.sentence)}  ({label})"
        if len(asked) > 1:
            session.words(Word(pad(plain(one.label), widest), Tone.BOLD), f"  {sentence}")
            continue
        if one.job is not None:
            session.words(Word(plain(one.label), Tone.BOLD), f"  {plain(one.text)}")
        session.line(sentence)
    for one in asked:
        which = f"{plain(one.label)}: " if len(asked) > 1 else ""
        for severity, message in one.warnings(session.started_at):
            session.words(Word(f"{severity}:", Tone.YELLOW), f" {which}{message}")
        if one.job is not None and one.job.paused_at is not None:
            session.words(Word("note:", Tone.YELLOW), f" {which}the job is paused; none of these will run")


def _tell(session: Session, asked: list[Asked], fires: list[FireTime], after: Micros) -> None:
    tz = common_zone(session, asked)
    tell_what(session, asked, tz)
    if not fires:
        session.line("  no fire time")
    now = session.started_at
    zone = session.zone(tz)
    shown = [(full(f.at, zone), offset(f.at, zone), _away(f.at, now, zone), _label(asked, f)) for f in fires]
    widths = [max((len(row[column]) for row in shown), default=0) for column in range(4)]
    before = offset(after, zone)
    for fire, cells in zip(fires, shown, strict=True):
        change = f"({before} → {cells[1]})" if cells[1] != before else ""
        before = cells[1]
        remark = "  ".join(text for text in (change, fire.note, fire.start.note) if text)
        line = "  ".join(f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True) if width)
        session.words(f"  {line.rstrip()}" if not remark else f"  {line}  ", Word(remark, Tone.YELLOW))


def _label(asked: list[Asked], fire: FireTime) -> str:
    return plain(fire.asked.label) if len(asked) > 1 else ""


def _away(at: Micros, now: Micros, zone: "tzinfo") -> str:
    """Return `in 1d 4h`; nothing where that would be the date again."""
    text = relative(at, now, zone, units=2)
    return "" if text == full(at, zone)[4:14] else text


def _note(fire: FireTime) -> str:
    return "; ".join(text for text in (fire.note, fire.start.note) if text)


def _row(session: Session, fire: FireTime) -> list[str]:
    one = fire.asked
    local = iso_local(fire.at, session.zone(one.tz))
    return [iso(fire.at) or "", local, session.tz(one.tz), one.label, _note(fire)]


def _document(session: Session, asked: list[Asked], fires: list[FireTime]) -> dict[str, object]:
    return {
        "fire_times": [
            {
                "at": iso(fire.at),
                "local": iso_local(fire.at, session.zone(fire.asked.tz)),
                "tz": session.tz(fire.asked.tz),
                "schedule": fire.asked.text,
                "job": fire.asked.job.name if fire.asked.job else None,
                "starts_at": iso(fire.start.at),
                "note": _note(fire) or None,
            }
            for fire in fires
        ],
        "schedules": schedule_documents(session, asked),
    }


def schedule_documents(session: Session, asked: list[Asked]) -> list[dict[str, object]]:
    """Return what was asked about, for JSON."""
    return [
        {
            "schedule": one.text,
            "job": one.job.name if one.job else None,
            "tz": one.tz,
            "sentence": one.sentence,
            "warnings": [message for _, message in one.warnings(session.started_at)],
        }
        for one in asked
    ]
