"""What a tick says at its end: to people, to programs, to the runner, and to files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cronq.errors import ExitCode
from cronq.model import Outcome
from cronq.render.times import iso
from cronq.report.cases import Tick, sentence_of

if TYPE_CHECKING:
    from cronq.cli._session import Session


def tell_tick(session: Session, tick: Tick, code: ExitCode) -> None:
    """Tell what a tick did."""
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
