"""What a tick says at its end: to people, to programs, to the runner, and to files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cronq.errors import ExitCode
from cronq.model import Outcome
from cronq.render.times import iso
from cronq.report.cases import Tick, sentence_of

if TYPE_CHECKING:
    from cronq.cli._session import Session


def tell_tick(session: Session, tick: Tick, code: ExitCode) -> None:
    """Tell what a tick did: the runner it runs in, and who reads."""
    _tell_runner(session, tick)
    counts = tick.counts()
    if session.options.json:
        session.json_line(
            {
                "event": "tick",
                "at": iso(tick.at),
                "fire_times": sum(counts.values()),
                "outcomes": {outcome.value: counts[outcome] for outcome in Outcome},
                "waiting": len(tick.waiting),
                "budget_spent": tick.is_spent,
                "duration_s": round(tick.took_s, 3),
                "exit_code": int(code),
            }
        )
        return
    session.tell(f"tick: {sentence_of(tick)}" + (f" · exit {int(code)}" if code else ""))


def _tell_runner(session: Session, tick: Tick) -> None:
    """Use the forms of the CI that this runs in, if it is one that has some."""
    environ = session.environment.environ
    # With --json standard output is for programs; runners read standard error as well.
    stream = session.terminal.err if session.options.json else session.terminal.out
    if environ.get("GITHUB_ACTIONS"):
        from cronq.report.github import commands, summary

        stream.write("".join(f"{line}\n" for line in commands(tick)))
        if path := environ.get("GITHUB_STEP_SUMMARY"):
            try:
                with Path(path).open("a", encoding="utf-8", errors="replace") as file:
                    file.write(summary(tick))
            except OSError as error:
                session.warn(f"the summary {path} cannot be written: {error.strerror}")
    elif environ.get("GITLAB_CI"):
        from cronq.report.gitlab import sections

        stream.write("".join(f"{line}\n" for line in sections(tick)))
