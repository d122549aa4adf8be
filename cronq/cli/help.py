"""`cronq help`: topics, and the help of commands."""

from __future__ import annotations

from typing import Annotated

import typer

from cronq.cli._app import load
from cronq.cli._commands import TOPICS, all_names, entry_named
from cronq.cli._help import command_help, short_help
from cronq.cli._session import Session
from cronq.errors import UsageError
from cronq.render.text import plain

USAGE = "help [TOPIC|COMMAND]"
EXAMPLES = ("cronq help schedules", "cronq help systemd > ~/.config/systemd/user/cronq.service")


def command(
    ctx: typer.Context,
    topic: Annotated[str | None, typer.Argument(metavar="TOPIC|COMMAND", show_default=False)] = None,
) -> int:
    """Explain a topic (schedules, exit-codes, environment, json, systemd), or a command."""
    session = Session.of(ctx)
    if topic is None:
        session.lines(short_help())
        return 0
    if topic in TOPICS:
        from cronq.cli._topics import topic_text

        session.terminal.out.write(topic_text(topic))
        return 0
    entry = entry_named(topic)
    if entry is None:
        raise _unknown(topic)
    session.lines(command_help(entry.module, load(entry).params))  # type: ignore[arg-type]
    return 0


def _unknown(topic: str) -> UsageError:
    from difflib import get_close_matches

    near = get_close_matches(topic, [*TOPICS, *all_names()], n=3, cutoff=0.6)
    hint = f"the topics: {', '.join(TOPICS)}"
    if near:
        hint = f"did you mean {' or '.join(f'`cronq help {match}`' for match in near)}?"
    return UsageError(f"no topic or command named `{plain(topic)}`", hint=hint)
