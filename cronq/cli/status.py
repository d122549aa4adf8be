"""`cronq status`: is a scheduler alive, which database is it, and is anything stuck."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import typer

from cronq.cli._session import Session
from cronq.errors import ExitCode, StoreMissing
from cronq.lock import Holder, is_held, read_holder
from cronq.model import SECOND
from cronq.render.table import facts
from cronq.render.text import Tone, Word, count_of, plain
from cronq.render.times import iso, span
from cronq.store import Totals

USAGE = "status [--check]"
EXAMPLES = ("cronq status", "cronq status --check -q || systemctl --user restart cronq")


class _Contents(NamedTuple):
    """What is in the database.

    Attributes:
        limited: Jobs whose history has limits.
    """

    totals: Totals
    limited: int


def command(
    ctx: typer.Context,
    check: Annotated[bool, typer.Option("--check", help="Exit code 1 if no scheduler is running.")] = False,
) -> int:
    """Show whether a scheduler is alive, where the database is and why there, and what is in it."""
    from cronq.schedule.zones import tzdata_version

    session = Session.of(ctx)
    if session.place.address is not None:
        from cronq.cli._nodes import answer_nodes

        return answer_nodes(session, check=check)
    alive = is_held(session.place.lock)
    holder = read_holder(session.place.lock) if alive else None
    contents = _contents(session)
    version = tzdata_version()
    if session.options.json:
        session.json(_document(session, holder, contents, alive=alive, tzdata=version.version))
    elif session.options.quiet:
        session.line("running" if alive else "stopped")
    else:
        pairs = _pairs(session, holder, contents, alive=alive)
        pairs.append(("zone data", Word(f"{version.version} ({version.source})")))
        if session.for_people:
            session.lines(facts(pairs, session.terminal.style))
        else:
            session.rows(["key", "value"], ([label, word.text] for label, word in pairs))
        if not alive:
            session.hint("start a scheduler with `cronq run`")
    return int(ExitCode.FAILED if check and not alive else ExitCode.OK)


def _contents(session: Session) -> _Contents | None:
    try:
        with session.store(read_only=True) as store:
            return _Contents(store.totals(), store.limited_jobs())
    except StoreMissing:
        return None


def _pairs(
    session: Session, holder: Holder | None, contents: _Contents | None, *, alive: bool
) -> list[tuple[str, Word]]:
    now = session.started_at
    scheduler = Word("running" if alive else "not running", Tone.PLAIN if alive else Tone.YELLOW)
    if holder is not None:
        age = span(max(0, now - holder.since) / SECOND, units=2)
        scheduler = Word(f"running, pid {holder.pid} on {plain(holder.host)}, since {age} ago")
    place = session.place
    database = session.tilde(str(place.database)) if session.for_people else str(place.database)
    missing = "" if contents is not None else ", not there yet"
    pairs = [
        ("scheduler", scheduler),
        ("database", Word(f"{database}  ({place.rule}{missing})")),
        ("logs", Word(session.tilde(str(place.logs)) if session.for_people else str(place.logs))),
    ]
    if contents is not None:
        totals, limited = contents
        paused = f", {totals.paused} paused" if totals.paused else ""
        queue = f"{totals.queued} queued"
        if totals.oldest_queued_at is not None:
            queue += f", the oldest for {span(max(0, now - totals.oldest_queued_at) / SECOND, units=2)}"
        pairs += [
            ("jobs", Word(f"{totals.jobs}{paused}")),
            ("runs", Word(f"{totals.running} running, {queue}")),
            ("history", Word(history_kept(limited))),
        ]
    return pairs


def history_kept(limited: int) -> str:
    """Return how much of the history is kept, if so many jobs have limits."""
    if not limited:
        return "everything is kept"
    return f"{count_of(limited, 'job')} with limits (--keep); all else is kept"


def _document(
    session: Session, holder: Holder | None, contents: _Contents | None, *, alive: bool, tzdata: str
) -> dict[str, object]:
    place = session.place
    totals, limited = contents or (None, 0)
    return {
        "scheduler": {
            "running": alive,
            "pid": holder.pid if holder else None,
            "host": holder.host if holder else None,
            "since": iso(holder.since) if holder else None,
        },
        "database": {
            "path": str(place.database),
            "rule": place.rule,
            "exists": contents is not None,
            "logs": str(place.logs),
        },
        "totals": None
        if totals is None
        else {
            "jobs": totals.jobs,
            "paused": totals.paused,
            "queued": totals.queued,
            "running": totals.running,
            "oldest_queued_at": iso(totals.oldest_queued_at),
        },
        "history": None if totals is None else {"limited_jobs": limited},
        "tzdata": tzdata,
    }
