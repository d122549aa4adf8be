"""`cronq calendars`: named sets of dates that jobs share."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Annotated

import typer

from cronq.cli._calendars import AHEAD, Known, known_calendar, read_source, store_calendar, today, uses_of
from cronq.cli._schedules import NO_CALENDARS
from cronq.cli._session import Session
from cronq.errors import ConflictError, NotFoundError, ScheduleError, StoreMissing, UsageError
from cronq.render.table import Column, table
from cronq.render.text import Tone, Word, count_of, joined, plain
from cronq.render.times import full, iso, local

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cronq.cli._calendars import Use
    from cronq.model import Job, Micros

USAGE = "calendars [add NAME FILE|HOLIDAYS | show NAME | remove NAME]"
EXAMPLES = ("cronq calendars add office closed.txt", "cronq calendars show us-holidays --until 2027-12-31")
_ACTIONS = {"add": ("NAME", "FILE|HOLIDAYS"), "show": ("NAME",), "remove": ("NAME",)}
_COLUMNS = (
    Column("NAME"),
    Column("IN A YEAR", right=True),
    Column("NEXT", least=12, fair=40),
    Column("JOBS", least=8, fair=30),
)


def command(
    ctx: typer.Context,
    words: Annotated[list[str] | None, typer.Argument(metavar="ACTION", show_default=False)] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="add: if there is a calendar of that name, change it.")
    ] = False,
    start: Annotated[
        str | None, typer.Option("--from", metavar="DATE", help="show: dates from this on (default: today).")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="DATE", help="show: dates up to this (default: a year).")
    ] = None,
) -> int:
    """Show the calendars that jobs use with --calendar NAME:RULE, or add, show or remove one.

    A file has a date or a range of dates a line (2026-12-24..2027-01-02, *-12-25), each perhaps with a label,
    or is an .ics file. It is read now; later changes of it need `add --replace`, which moves the next runs of
    the jobs that use it. Holidays such as us-holidays, de-by-holidays or nyse-holidays need no definition.
    """
    session = Session.of(ctx)
    action, rest = _action(words or [])
    for option, value, needed in (
        ("--replace", replace, "add"),
        ("--from", start, "show"),
        ("--until", until, "show"),
    ):
        if value and action != needed:
            raise UsageError(f"{option} is for `cronq calendars {needed}`", hint=f"usage: cronq {USAGE}")
    if action == "add":
        return _add(session, *rest, replace=replace)
    if action == "remove":
        return _remove(session, *rest)
    if action == "show":
        return _show(session, *rest, start=start, until=until)
    return _list(session)


def _action(words: list[str]) -> tuple[str, list[str]]:
    if not words:
        return "", []
    action, *rest = words
    wanted = _ACTIONS.get(action)
    if wanted is None:
        hint = f"did you mean cronq calendars show {plain(action)}?" if not rest else f"usage: cronq {USAGE}"
        raise UsageError(f"`{plain(action)}` is not add, show or remove", hint=hint)
    if len(rest) != len(wanted):
        problem = (
            f"{wanted[len(rest)]} is missing"
            if len(rest) < len(wanted)
            else f"`{plain(rest[-1])}` is too much"
        )
        raise UsageError(problem, hint=f"usage: cronq calendars {action} {' '.join(wanted)}")
    return action, rest


def _stored(session: Session) -> tuple[Mapping[str, str], dict[str, list[Use]]]:
    """Return the stored calendars and who uses which; nothing where there is no database yet."""
    try:
        with session.store(read_only=True) as store:
            return store.calendars(), uses_of(overview.job for overview in store.overviews(recent=0))
    except StoreMissing:
        if session.options.db or session.environment.environ.get("CRONQ_DB"):
            raise
        return NO_CALENDARS, {}


def _list(session: Session) -> int:
    texts, uses = _stored(session)
    every = [known_calendar(name, texts, uses) for name in sorted(_named(texts, uses))]
    first = today(session)
    dated = [(one, _ahead(one, first)) for one in every]
    if session.options.json:
        session.json({"calendars": [_document(one) | _ahead_document(dates) for one, dates in dated]})
    elif session.options.quiet:
        session.lines(one.name for one in every)
    elif session.for_people:
        _table(session, dated)
    else:
        session.rows(
            ["name", "source", "ahead", "next", "jobs"],
            (
                [one.name, one.source, str(len(dates)), str(dates[0][0]) if dates else "", _jobs(one)]
                for one, dates in dated
            ),
        )
    return 0


def _named(texts: Mapping[str, str], uses: Mapping[str, list[Use]]) -> set[str]:
    """Return the names that mean something; `cronq check` tells about jobs that use others."""
    from cronq.schedule.holiday_package import is_spec

    return {name for name in {*texts, *uses} if name in texts or is_spec(name)}


def _ahead(one: Known, first: date) -> list[tuple[date, str]]:
    try:
        return one.dates(first, first + AHEAD)
    except ScheduleError:
        return []  # the package is gone; `show` says so


def _jobs(one: Known) -> str:
    return ",".join(use.job.name for use in one.uses)


def _table(session: Session, dated: Sequence[tuple[Known, list[tuple[date, str]]]]) -> None:
    if not dated:
        session.tell("No calendars yet.")
        session.tell("Add one: cronq calendars add office closed.txt")
        return
    rows = [
        [
            Word(plain(one.name), Tone.BOLD),
            Word(str(len(dates))),
            Word(plain(one.problem), Tone.YELLOW) if one.problem else _next(dates),
            Word(", ".join(use.job.name for use in one.uses) or "-"),
        ]
        for one, dates in dated
    ]
    session.lines(table(_COLUMNS, rows, session.terminal.style, header=session.header))


def _next(dates: Sequence[tuple[date, str]]) -> Word:
    if not dates:
        return Word("-", Tone.DIM)
    on, label = dates[0]
    return Word(f"{on:%a %Y-%m-%d} {plain(label)}".rstrip())


def _document(one: Known) -> dict[str, object]:
    return {
        "name": one.name,
        "source": one.source,
        "is_defined": one.text is not None,
        "problem": one.problem or None,
        "jobs": [{"name": use.job.name, "rule": use.rule} for use in one.uses],
    }


def _ahead_document(dates: Sequence[tuple[date, str]]) -> dict[str, object]:
    return {"dates_ahead": len(dates), "next": _date_documents(dates[:1])[0] if dates else None}


def _date_documents(dates: Sequence[tuple[date, str]]) -> list[dict[str, object]]:
    return [{"date": on.isoformat(), "label": label or None} for on, label in dates]


def _show(session: Session, name: str, *, start: str | None, until: str | None) -> int:
    texts, uses = _stored(session)
    try:
        one = known_calendar(name, texts, uses)
    except ScheduleError as error:
        raise NotFoundError(error.message, hint=error.hint) from error
    if one.problem:
        raise ScheduleError(one.problem)
    first = _date(session, start) if start is not None else today(session)
    last = _date(session, until) if until is not None else first + AHEAD
    dates = one.dates(first, last)
    if session.options.json:
        text = {"text": one.text, "dates": _date_documents(dates)}
        session.json({"calendar": _document(one) | text})
    elif session.for_people:
        used = joined([f"{use.job.name} ({use.rule})" for use in one.uses])
        session.words(
            Word(plain(name), Tone.BOLD), f"  {count_of(len(dates), 'date')} from {first} to {last}"
        )
        session.line(f"used by {used}" if used else "used by no job")
        if dates:
            session.line()
        session.lines(f"  {on:%a %Y-%m-%d}  {plain(label)}".rstrip() for on, label in dates)
    else:
        session.rows(["date", "label"], ([on.isoformat(), label] for on, label in dates))
    return 0


def _date(session: Session, text: str) -> date:
    from cronq.clock import datetime_from_us, us_from_datetime
    from cronq.schedule.instant import parse_instant

    at = parse_instant(text, tz=session.tz(), now=datetime_from_us(session.started_at))
    return local(us_from_datetime(at), session.zone()).date()


def _add(session: Session, name: str, source: str, *, replace: bool) -> int:
    text = read_source(session, name, source)
    with session.made_store() as store:
        before = store.calendars().get(name)
        if before is not None and before != text and not replace:
            raise ConflictError(
                f"there is a calendar named `{name}` already",
                hint=f"to change it: cronq calendars add {name} {plain(source)} --replace",
            )
        moved = [] if before == text else store_calendar(session, store, name, text)
        texts, uses = store.calendars(), uses_of(overview.job for overview in store.overviews(recent=0))
    one = known_calendar(name, texts, uses)
    if session.options.json:
        document = _document(one) | _ahead_document(_ahead(one, today(session)))
        session.json({"calendar": document, "changed": before != text, "moved": _moved_documents(moved)})
    elif session.options.quiet:
        session.line(name)
    elif before == text:
        session.line(f"{name} is so already; nothing was changed")
    else:
        _tell_added(session, one, moved, is_new=before is None)
    return 0


def _tell_added(session: Session, one: Known, moved: Sequence[tuple[Job, Job]], *, is_new: bool) -> None:
    dates = _ahead(one, today(session))
    ahead = f", next {_next(dates).text}" if dates else ""
    verb = "added" if is_new else "changed"
    session.line(f"{verb} {one.name} · {count_of(len(dates), 'date')} within a year{ahead}")
    for was, now in moved:
        _tell_moved(session, was, now)
    if not dates:
        session.warn(f"{one.name} has no dates ahead")
    if is_new and not one.uses:
        session.tell(f"undo: cronq calendars remove {one.name}")


def _tell_moved(session: Session, was: Job, now: Job) -> None:
    if now.paused_at is not None:
        return
    tz = session.tz(now.definition.tz)
    zone = session.shown_zone(tz)

    def when(at: Micros | None) -> str:
        return "never" if at is None else full(at, zone)

    session.line(f"  {now.name}: next run {when(was.next_fire_at)} → {when(now.next_fire_at)} ({tz})")
    if now.next_fire_at is None:
        session.warn(f"{now.name}: its calendars leave no fire time")


def _moved_documents(moved: Sequence[tuple[Job, Job]]) -> list[dict[str, object]]:
    return [
        {"name": now.name, "before": iso(was.next_fire_at), "next_fire_at": iso(now.next_fire_at)}
        for was, now in moved
    ]


def _remove(session: Session, name: str) -> int:
    with session.store() as store:
        texts = store.calendars()
        if name not in texts:
            from cronq.schedule.calendars import unknown_calendar

            message, hint = unknown_calendar(plain(name), texts)
            raise NotFoundError(message, hint=hint)
        using = uses_of(overview.job for overview in store.overviews(recent=0)).get(name, [])
        if using:
            names = [use.job.name for use in using]
            raise ConflictError(
                f"calendar `{name}` is used by {joined(names)}",
                hint=f"let them do without it first: cronq set {names[0]} --calendar none",
            )
        store.remove_calendar(name, now=session.environment.now())
    if session.options.json:
        session.json({"removed": [name]})
    else:
        session.line(name if session.options.quiet else f"removed {name}")
    return 0
