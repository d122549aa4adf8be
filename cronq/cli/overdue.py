"""`cronq overdue`: a dead man's switch for a monitoring agent, or for a second workflow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from cronq.cli._session import Session
from cronq.errors import CronqError, ExitCode, UsageError
from cronq.render.text import Tone, Word, count_of, plain
from cronq.render.times import full, iso, offset, relative

if TYPE_CHECKING:
    from cronq.overdue import Verdict

USAGE = "overdue [NAME...] [--within [NAME=]DURATION] [--state FILE]"
EXAMPLES = (
    "cronq overdue --within 2h --within backup=26h sync backup",
    "cronq overdue --file cronq.toml --state .cronq/state.txt --grace 6h",
)

_NAGIOS_CRITICAL, _NAGIOS_UNKNOWN = 2, 3
_NAMED = 10
"""So many jobs the last line names."""


def command(
    ctx: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME", show_default=False)] = None,
    within: Annotated[
        list[str] | None,
        typer.Option(
            "--within",
            metavar="[NAME=]DURATION",
            help="A success must have ended within this, of all jobs or of one; may be repeated.",
        ),
    ] = None,
    grace: Annotated[
        str | None,
        typer.Option(
            "--grace",
            metavar="DURATION",
            help="How late a success may come (default: as grace, timeout and retries say).",
        ),
    ] = None,
    file: Annotated[
        str | None,
        typer.Option("--file", metavar="FILE", help="With --state: the jobs (default: cronq.toml)."),
    ] = None,
    state: Annotated[
        str | None,
        typer.Option(
            "--state", metavar="FILE", help="Judge by what `cronq tick --state` keeps, no database."
        ),
    ] = None,
    nagios: Annotated[
        bool,
        typer.Option("--nagios", help="One line, and the exit codes of monitoring plugins: 0, 2, 3."),
    ] = False,
) -> int:
    """Say which jobs lack a success; exit code 1 if there is one. Looks at all jobs, if none is named.

    A job is overdue when the last fire time whose success should be there by now has none: its grace is
    over, its timeout, or the longest of its last 12 successes, and so are its retries. With --within the
    schedule does not count: the last success must have ended within that time. Paused jobs are not judged,
    nor those for which nothing was due yet. A database that is not there is an error (5), never silence,
    and so is one without jobs (1).

    With --state, a state that is not there is likewise an error (5), and a job that it does not know cannot
    be judged, which counts as overdue. Fire times are those that the last tick knew.
    """
    session = Session.of(ctx)
    try:
        found = _judged(session, names or [], within or [], grace, _Source(file, state))
    except CronqError as error:
        if not nagios:
            raise
        session.line(f"CRONQ UNKNOWN - {error.message}")
        return _NAGIOS_UNKNOWN
    alarming = [one for one in found if _is_alarming(one)]
    if session.options.json:
        session.json({"overdue": len(alarming), "jobs": [_document(one) for one in found]})
    elif session.options.quiet:
        session.lines(one.name for one in alarming)
    else:
        if not nagios:
            _tell(session, found)
        session.line(_summary(session, found, alarming))
    # No jobs at all: somebody who watches them wants to hear of it.
    if found and not alarming:
        return int(ExitCode.OK)
    return _NAGIOS_CRITICAL if nagios else int(ExitCode.FAILED)


class _Source(NamedTuple):
    """Where what is known of jobs comes from; without a state from the database."""

    file: str | None
    state: str | None


def _judged(
    session: Session, names: Sequence[str], within: Sequence[str], grace: str | None, source: _Source
) -> list[Verdict]:
    from cronq.schedule.duration import parse_duration

    windows = _windows(within)
    if grace is not None and None in windows:
        raise UsageError("--grace and --within contradict each other", hint="--within asks for no fire time")
    late_s = None if grace is None else parse_duration(grace)
    asked = list(dict.fromkeys(names))
    if source.file is not None and source.state is None:
        raise UsageError(
            "--file needs --state",
            hint="without a state the jobs are those of the database",
        )
    if source.state is not None:
        if session.options.db is not None:
            raise UsageError("--db and --state contradict each other", hint="a state needs no database")
        from cronq.cli import _watched_state

        file = source.file or "cronq.toml"
        return list(
            _watched_state.verdicts(session, file, source.state, asked, windows=windows, late_s=late_s)
        )
    from cronq.cli._watched import verdicts

    with session.store(read_only=True) as store, store.reading():
        store.named_jobs([name for name in windows if name is not None])
        return list(verdicts(store, asked, session.started_at, windows=windows, late_s=late_s))


def _windows(texts: Sequence[str]) -> Mapping[str | None, float]:
    """Return the windows that were given, each by the job that it is about; None: all others."""
    from cronq.schedule.duration import parse_duration

    windows: dict[str | None, float] = {}
    for text in texts:
        name, equals, span = text.rpartition("=")
        key = name if equals else None
        if key in windows:
            raise UsageError(f"--within is given twice for {plain(key) if key else 'all jobs'}")
        windows[key] = parse_duration(span)
    return windows


def _is_alarming(verdict: Verdict) -> bool:
    from cronq.overdue import ALARMING

    return verdict.standing in ALARMING


def _tell(session: Session, found: Sequence[Verdict]) -> None:
    if not session.for_people:
        session.rows(
            ["name", "standing", "last_success", "fire_time", "due_by", "trouble"],
            (
                [
                    *(one.name, one.standing.value, iso(one.success.ended_at) or "" if one.success else ""),
                    *(iso(one.fire_at) or "", iso(one.due_by) or "", plain(one.trouble)),
                ]
                for one in found
            ),
        )
        return
    for one in found:
        if _is_alarming(one) or session.options.verbose or one.standing.value == "paused":
            tone = Tone.RED if _is_alarming(one) else Tone.DIM
            session.words(
                Word(plain(one.name), Tone.BOLD),
                "  ",
                Word(one.standing.value, tone),
                f"  {_why(session, one)}",
            )


def _why(session: Session, one: Verdict) -> str:
    zone = session.zone()
    if one.trouble:
        return plain(one.trouble)
    text = _last(session, one)
    if one.fire_at is not None and _is_alarming(one):
        text += f"; its fire time {full(one.fire_at, zone)} {offset(one.fire_at, zone)} has none"
    return text


def _last(session: Session, one: Verdict) -> str:
    if one.success is None:
        return "never succeeded"
    return f"last success {relative(one.success.ended_at, session.started_at, session.zone())}"


def _summary(session: Session, found: Sequence[Verdict], alarming: Sequence[Verdict]) -> str:
    """Return one line as monitoring plugins write it: a status, a text, and after `|` figures.

    Source: the Monitoring Plugins Development Guidelines; `0` after `;;` means that more than 0 is critical.
    """
    figures = f"overdue={len(alarming)};;0;0;{len(found)} jobs={len(found)}"
    paused = sum(one.standing.value == "paused" for one in found)
    besides = f", {paused} paused" if paused else ""
    if not found:
        return f"CRONQ CRITICAL - there are no jobs | {figures}"
    if not alarming:
        judged = len(found) - paused
        return f"CRONQ OK - {count_of(judged, 'job')} in time{besides} | {figures}"
    named = [f"{plain(one.name)} ({_short(session, one)})" for one in alarming[:_NAMED]]
    if len(alarming) > _NAMED:
        named.append(f"and {len(alarming) - _NAMED} more")
    return (
        f"CRONQ CRITICAL - {len(alarming)} of {count_of(len(found), 'job')} overdue{besides}:"
        f" {', '.join(named)} | {figures}"
    )


def _short(session: Session, one: Verdict) -> str:
    if one.trouble:
        return "cannot be judged"
    return "never" if one.success is None else _last(session, one)


def _document(one: Verdict) -> dict[str, object]:
    return {
        "name": one.name,
        "overdue": _is_alarming(one),
        "standing": one.standing.value,
        "last_success_at": iso(one.success.ended_at) if one.success else None,
        "last_success_about": iso(one.success.about) if one.success else None,
        "fire_at": iso(one.fire_at),
        "due_by": iso(one.due_by),
        "trouble": one.trouble or None,
    }
