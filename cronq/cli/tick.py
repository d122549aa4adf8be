"""`cronq tick`: what became due since the last tick, and then the end; scheduling without a daemon."""

from __future__ import annotations

from typing import Annotated

import typer

from cronq.cli._session import Session

USAGE = "tick [--file FILE] [--state FILE] [options]"
EXAMPLES = (
    "cronq tick --file cronq.toml --state .cronq-state",
    "cronq tick --budget 20m --max-age 6h --junit report.xml",
)

Text = str | None


def command(
    ctx: typer.Context,
    file: Annotated[
        Text,
        typer.Option("--file", metavar="FILE", help="The jobs (default: cronq.toml, unless --db is given)."),
    ] = None,
    state: Annotated[
        Text,
        typer.Option("--state", metavar="FILE", help="Keep the cursor in this file, and not in a database."),
    ] = None,
    on_missing: Annotated[
        str,
        typer.Option(
            "--on-missing",
            metavar="now|since=TIME|fail",
            help="Without a cursor, begin now, then, or not at all (default: now).",
        ),
    ] = "now",
    max_age: Annotated[
        Text, typer.Option("--max-age", metavar="DURATION", help="Run no fire time that is older than this.")
    ] = None,
    budget: Annotated[
        Text, typer.Option("--budget", metavar="DURATION", help="Start nothing more after this long.")
    ] = None,
    drain: Annotated[
        Text,
        typer.Option("--drain", metavar="DURATION", help="How long what runs then may go on (default: 30s)."),
    ] = None,
    now: Annotated[
        Text, typer.Option("--now", metavar="TIME", help="Let it be this instant (default: it is).")
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="NAME", help="Look at this job alone; may be repeated."),
    ] = None,
    tags: Annotated[
        list[str] | None,
        typer.Option("--tag", metavar="TAG", help="Look only at jobs with this tag; may be repeated."),
    ] = None,
    fail_on: Annotated[
        Text,
        typer.Option(
            "--fail-on", metavar="missed,skipped,late=DURATION", help="Exit 1 if there are such fire times."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be decided, and change nothing.")
    ] = False,
    wait: Annotated[
        Text,
        typer.Option("--wait", metavar="DURATION", help="Wait so long for another tick to end."),
    ] = None,
    workers: Annotated[
        int, typer.Option("--workers", metavar="N", help="Runs at a time (default: 32).")
    ] = 32,
    output: Annotated[
        str,
        typer.Option(
            "--output", metavar="fail|all|none", help="Show the last lines of which runs (default: fail)."
        ),
    ] = "fail",
    junit: Annotated[
        Text, typer.Option("--junit", metavar="FILE", help="Write a test case for each fire time.")
    ] = None,
    logs: Annotated[
        Text, typer.Option("--logs", metavar="DIR", help="Copy what the jobs printed into this folder.")
    ] = None,
) -> int:
    """Run what became due since the last tick, wait for it, and exit with a status that a pipeline can use.

    Fire times that fall due meanwhile belong to the next tick. A late or dropped tick is caught up as after
    any other outage, by the catch-up policy of each job.
    """
    session = Session.of(ctx)
    from cronq.cli._tick import Typed, tick

    return tick(
        session,
        Typed(
            file=file,
            state=state,
            on_missing=on_missing,
            max_age=max_age,
            budget=budget,
            drain=drain,
            now=now,
            only=tuple(only or ()),
            tags=tuple(tags or ()),
            fail_on=fail_on,
            dry_run=dry_run,
            wait=wait,
            workers=workers,
            output=output,
            junit=junit,
            logs=logs,
        ),
    )
