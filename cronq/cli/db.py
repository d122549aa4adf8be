"""`cronq db`: which database it is, bringing it up to date, and moving the ledger to another one."""

from __future__ import annotations

from typing import Annotated

import typer

from cronq.cli._session import Session
from cronq.errors import UsageError
from cronq.render.text import plain

USAGE = "db [url | migrate | move URL [--wait] [--plan] | stop]"
EXAMPLES = ("cronq db url", "cronq db move postgresql://cronq@db.example/cronq --plan")

_ACTIONS = {"url": (0, 0), "migrate": (0, 0), "move": (0, 1), "stop": (0, 0)}
_OPTIONS = {
    "wait": "move",
    "plan": "move",
    "logs": "move",
    "forget": "move",
    "force": "stop",
}


def command(
    ctx: typer.Context,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="url|migrate|move|stop", show_default=False)
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="move: say what would be copied, and change nothing.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="move: wait until schedulers, nodes and runs have ended.")
    ] = False,
    logs: Annotated[
        bool, typer.Option("--logs", help="move: what jobs printed goes into the server, too.")
    ] = False,
    forget: Annotated[
        bool, typer.Option("--forget", help="move: this ledger counts again, though it was moved.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="stop: also while nodes are at work.")] = False,
) -> int:
    """Say which database is in use, bring it up to date, or move the ledger to another one and back.

    url says where it is, which rule found it, and of which format it is. migrate makes the tables in a
    PostgreSQL server, or brings them up to date; of a database file every command does so by itself.

    move copies everything to URL, a PostgreSQL server or a file, with the same run numbers and history. The
    new place must hold no jobs, and nobody may be at work. The old one stays as it is, but `cronq run`
    refuses it from then on; with --forget it counts again.

    stop ends the server of postgresql+embedded.
    """
    from cronq.cli import _db

    session = Session.of(ctx)
    action, rest = _action(words or [])
    given = {"wait": wait, "plan": plan, "logs": logs, "forget": forget, "force": force}
    for name, is_given in given.items():
        if is_given and _OPTIONS[name] != action:
            raise UsageError(f"--{name} is for `cronq db {_OPTIONS[name]}`", hint=f"usage: cronq {USAGE}")
    if action == "url":
        return _db.tell_url(session)
    if action == "migrate":
        return _db.migrate(session)
    if action == "stop":
        return _db.stop(session, force=force)
    if forget:
        if rest or plan or wait or logs:
            raise UsageError("--forget takes nothing else", hint="the ledger is that of --db")
        return _db.forget(session)
    if not rest:
        raise UsageError("URL is missing", hint=f"usage: cronq {USAGE}")
    return _db.move(session, rest[0], plan=plan, wait=wait, with_logs=logs)


def _action(words: list[str]) -> tuple[str, list[str]]:
    action, *rest = words or ["url"]
    if "://" in action:
        raise UsageError("an address is no action", hint="cronq db move URL, or cronq --db URL db url")
    if action not in _ACTIONS:
        raise UsageError(f"`{plain(action)}` is not url, migrate, move or stop", hint=f"usage: cronq {USAGE}")
    if len(rest) > _ACTIONS[action][1]:
        # Not what it is: an address may hold a password.
        raise UsageError(f"`cronq db {action}` takes no more", hint=f"usage: cronq {USAGE}")
    return action, rest
