"""`cronq lock`: named locks, who holds them, and taking one for a command outside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cronq.cli._app import CronqCommand
from cronq.cli._session import Session
from cronq.errors import CommandError, CronqError, ExitCode, UsageError
from cronq.model import SECOND, Micros
from cronq.named_locks import MOST, parse_lock
from cronq.render.table import Column, table
from cronq.render.text import Tone, Word, joined, plain
from cronq.render.times import iso, span

if TYPE_CHECKING:
    from cronq.store import LockState, LockUser, Store

USAGE = "lock [NAME...] [options] [-- COMMAND [ARG...]]"
EXAMPLES = ("cronq lock db -- pg_dump shop", "cronq lock gpu --holders 2")
_COLUMNS = (
    Column("LOCK"),
    Column("HELD", right=True),
    Column("BY", least=12, fair=30),
    Column("WAITING", least=10, fair=30),
)


class LockCommand(CronqCommand):
    """Takes a command after `--`."""

    takes_argv = True


COMMAND_CLASS = LockCommand


def command(
    ctx: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME", show_default=False)] = None,
    holders: Annotated[
        int | None,
        typer.Option("--holders", metavar="N", min=1, max=MOST, help="How many may hold it at a time."),
    ] = None,
    timeout: Annotated[
        str | None, typer.Option("--timeout", metavar="DURATION", help="Wait no longer: exit code 124.")
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Forget a lock that nobody uses.")] = False,
) -> int:
    """Take the locks that jobs take with --lock, for a command outside; or show who holds them.

    The command after `--` starts when all of the locks are free, and it is its turn: runs of jobs and other
    commands stand in the same line. Its exit code is passed on. The locks are held until the command ends,
    however it ends.
    """
    session = Session.of(ctx)
    asked = list(dict.fromkeys(names or ()))
    _check(session, asked, holders=holders, timeout=timeout, remove=remove)
    if session.argv is not None:
        return _execute(session, asked, session.argv, timeout)
    if holders is not None:
        return _set(session, asked[0], holders)
    if remove:
        return _remove(session, asked[0])
    return _show(session, asked)


def _check(
    session: Session, asked: list[str], *, holders: int | None, timeout: str | None, remove: bool
) -> None:
    for name in asked:
        if parse_lock(name).capacity is not None:
            raise UsageError(
                f"`{plain(name)}` is no name", hint="the number of holders is set with --holders"
            )
    if session.argv is not None and (holders is not None or remove):
        raise UsageError("--holders and --remove take no command")
    if holders is not None and remove:
        raise UsageError("--holders and --remove contradict each other", hint="give one of them")
    if (holders is not None or remove) and len(asked) != 1:
        raise UsageError("there is no name" if not asked else "give one name", hint=f"usage: cronq {USAGE}")
    if session.argv is not None and not asked:
        raise UsageError("there is no name", hint=f"usage: cronq {USAGE}")
    if session.argv is not None and (not session.argv or not session.argv[0].strip()):
        raise CommandError(
            "the command is empty", hint="put it after `--`: cronq lock NAME -- COMMAND [ARG…]"
        )
    if timeout is not None and session.argv is None:
        raise UsageError("--timeout needs a command after `--`")


def _execute(session: Session, names: list[str], argv: tuple[str, ...], timeout: str | None) -> int:
    import shlex

    from cronq.lock import is_held
    from cronq.schedule.duration import parse_duration
    from cronq.worker.outside import Outside, interrupted_by_signals

    session.refuse_server(
        "named locks of commands outside need the database file of one machine",
        "what only jobs share: cronq set NAME --lock LOCK",
    )
    limit = None if timeout is None else parse_duration(timeout)
    place = session.place
    with session.store() as store:
        outside = Outside(place, store, lambda: is_held(place.lock))
        try:
            with interrupted_by_signals(), outside.in_line(names, shlex.join(argv)):
                if not outside.wait(min(limit, 0.2) if limit is not None else 0.2):
                    _tell_wait(session, store, names)
                    if not outside.wait(None if limit is None else max(0.0, limit - 0.2)):
                        session.tell(f"time ran out; {joined(names)} could not be had")
                        return int(ExitCode.WAIT_TIMEOUT)
                return outside.run(argv, session.environment.environ)
        except OSError as error:
            raise CronqError(f"cannot stand in line: {error.strerror}: {error.filename}") from error


def _tell_wait(session: Session, store: Store, names: list[str]) -> None:
    held = [state for state in store.lock_states(session.environment.now()) if state.name in names]
    by = [f"{state.name} is held by {_users(state.holders)}" for state in held if state.holders]
    session.tell(f"waiting for {joined(names)}" + (f"; {'; '.join(by)}" if by else ""))


def _set(session: Session, name: str, holders: int) -> int:
    with session.store(create=True) as store:
        before = {state.name: state.capacity for state in store.lock_states(session.started_at)}.get(name)
        store.set_lock(name, holders, now=session.environment.now())
    session.ring()
    if session.options.json:
        session.json({"lock": {"name": name, "holders": holders}})
    elif session.options.quiet:
        session.line(name)
    elif before is None:
        session.line(f"added lock {name}: {holders} at a time")
    else:
        session.line(f"changed lock {name}: {before} → {holders} at a time")
        session.tell(f"undo: cronq lock {name} --holders {before}")
    return 0


def _remove(session: Session, name: str) -> int:
    with session.store() as store:
        store.remove_lock(name)
    if session.options.json:
        session.json({"removed": [name]})
    else:
        session.line(name if session.options.quiet else f"removed lock {name}")
    return 0


def _show(session: Session, names: list[str]) -> int:
    with session.store(read_only=True) as store:
        store.require_locks(names)
        states = [s for s in store.lock_states(session.started_at) if not names or s.name in names]
    if session.options.json:
        session.json({"locks": [lock_document(state) for state in states]})
    elif session.options.quiet:
        session.lines(state.name for state in states)
    elif session.for_people:
        rows = [
            (
                Word(state.name, Tone.BOLD),
                Word(f"{len(state.holders)}/{state.capacity}"),
                Word(_users(state.holders, session.started_at)),
                Word(_users(state.waiting, session.started_at)),
            )
            for state in states
        ]
        if rows:
            session.lines(table(_COLUMNS, rows, session.terminal.style, header=session.header))
    else:
        session.rows(
            ["lock", "holders", "held", "held_by", "waiting"],
            (
                [
                    *(state.name, str(state.capacity), str(len(state.holders))),
                    *(_users(state.holders), _users(state.waiting)),
                ]
                for state in states
            ),
        )
    if not states:
        session.tell("No locks yet.")
        session.tell("A job takes one: cronq set NAME --lock db:1")
    return 0


def _users(users: tuple[LockUser, ...], now: Micros | None = None) -> str:
    """Return `backup #12 for 5m, pg_dump shop`."""
    return ", ".join(
        plain(user.label if user.run_id is None else f"{user.label} #{user.run_id}")
        + ("" if now is None else f" for {span(max(0, now - user.since) / SECOND)}")
        for user in users
    )


def lock_document(state: LockState) -> dict[str, object]:
    """Return a lock for JSON."""
    return {
        "name": state.name,
        "holders": state.capacity,
        "held_by": [_user_document(user) for user in state.holders],
        "waiting": [_user_document(user) for user in state.waiting],
    }


def _user_document(user: LockUser) -> dict[str, object]:
    return {
        "job": user.label if user.run_id is not None else None,
        "run_id": user.run_id,
        "command": user.label if user.run_id is None else None,
        "since": iso(user.since),
    }
