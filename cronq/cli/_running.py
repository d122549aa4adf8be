"""What `cronq run` and `cronq worker` have in common: options of whoever executes, and how it is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, TypedDict

import typer

from cronq.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cronq import events
    from cronq.cli._session import Session
    from cronq.model import Outcome

MAX_WORKERS = 10_000


class LogFormat(StrEnum):
    """How events are written."""

    AUTO = "auto"
    TEXT = "text"
    JSON = "json"


class Output(StrEnum):
    """Whose last lines of output are shown."""

    FAIL = "fail"
    ALL = "all"
    NONE = "none"


ForOption = Annotated[str | None, typer.Option("--for", metavar="DURATION", help="Stop after this long.")]
DrainOption = Annotated[
    str,
    typer.Option(
        "--drain", metavar="DURATION", help="How long running jobs may finish at the end (default: 30s)."
    ),
]
LogDirOption = Annotated[
    str | None,
    typer.Option(
        "--log-dir", metavar="DIR", help="On PostgreSQL: put logs here, a folder that all hosts share."
    ),
]
LogFormatOption = Annotated[
    LogFormat,
    typer.Option("--log-format", metavar="auto|text|json", help="How to write events (default: auto)."),
]
OutputOption = Annotated[
    Output,
    typer.Option(
        "--output", metavar="fail|all|none", help="Show the last lines of which runs (default: fail)."
    ),
]


class Shown(TypedDict):
    """The arguments of `run_scheduler` and `run_node` that say how to tell of what happens, and the world."""

    tell: events.Sink
    redraw: Callable[[events.Snapshot], None] | None
    flush: Callable[[], None]
    wants_tail: Callable[[Outcome], bool]
    environ: Mapping[str, str]


def check_slots(option: str, count: int) -> None:
    """Raise UsageError if nobody can execute so many runs at a time."""
    if not 1 <= count <= MAX_WORKERS:
        raise UsageError(f"{option} must be 1 to {MAX_WORKERS}, not {count}")


def asked_format(session: Session, log_format: LogFormat) -> LogFormat:
    """Return how events are written; `--json` is a way to say it, too."""
    return LogFormat.JSON if session.options.json else log_format


@contextmanager
def shown(session: Session, log_format: LogFormat, output: Output) -> Iterator[Shown]:
    """Show events, and a live footer where there is a terminal, for as long as the block lasts."""
    from cronq.model import Outcome
    from cronq.render.live import make_display

    display = make_display(log_format, output, session.terminal)
    try:
        yield Shown(
            tell=display.event,
            redraw=display.redraw if display.animated else None,
            flush=display.flush,
            wants_tail=lambda outcome: (
                output is Output.ALL or (output is Output.FAIL and outcome is not Outcome.SUCCESS)
            ),
            environ=session.environment.environ,
        )
    finally:
        display.close()
