"""`cronq doctor`: is everything in order, and if not, what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from cronq.cli._session import Session
from cronq.errors import ExitCode
from cronq.render.text import Tone, Word, plain

if TYPE_CHECKING:
    from cronq.doctor import Finding

USAGE = "doctor"
EXAMPLES = ("cronq doctor", "cronq doctor --json")

_MARKS = {"ok": ("✓", "ok", Tone.PLAIN), "warning": ("!", "!", Tone.YELLOW), "error": ("✗", "FAIL", Tone.RED)}


def command(ctx: typer.Context) -> int:
    """Look at the database, its files, the disk, the zone data and the jobs; change nothing.

    The exit code is 1 if anything is wrong; a warning alone is not.
    """
    from cronq.doctor import examine

    session = Session.of(ctx)
    findings = list(examine(session.place, session.environment.environ))
    if session.options.json:
        session.json({"findings": [finding._asdict() for finding in findings]})
    elif session.for_people:
        for finding in findings:
            _show(session, finding)
    else:
        session.rows(
            ["check", "level", "message", "hint"],
            ([f.check, f.level, plain(f.message), plain(f.hint)] for f in findings),
        )
    return int(ExitCode.FAILED if any(f.level == "error" for f in findings) else ExitCode.OK)


def _show(session: Session, finding: Finding) -> None:
    symbol, word, tone = _MARKS[finding.level]
    mark = word if session.terminal.ascii_only else symbol
    session.words(Word(mark, tone), f" {finding.check}: {plain(finding.message)}")
    if finding.hint:
        session.line(f"  hint: {plain(finding.hint)}")
