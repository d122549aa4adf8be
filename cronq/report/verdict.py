"""From what a tick did to its exit code."""

from __future__ import annotations

from typing import NamedTuple

from cronq.errors import ExitCode, UsageError
from cronq.model import Outcome
from cronq.report.cases import Case, Tick


class FailOn(NamedTuple):
    """What makes a tick fail besides a job that failed.

    Attributes:
        late_s: A run that started later than this; None: lateness is forgiven.
    """

    missed: bool = False
    skipped: bool = False
    late_s: float | None = None


def read_fail_on(text: str) -> FailOn:
    """Return what `missed,skipped,late=10m` asks for. Raises: UsageError."""
    from cronq.schedule.duration import parse_duration

    found = FailOn()
    for word in text.split(","):
        name, equals, value = word.strip().partition("=")
        if name == "late" and equals:
            found = found._replace(late_s=parse_duration(value))
        elif name in {"missed", "skipped"} and not equals:
            found = found._replace(**{name: True})
        else:
            raise UsageError(
                f"--fail-on: `{word.strip()}` is none of missed, skipped and late=DURATION",
                hint="--fail-on missed,late=10m",
            )
    return found


def exit_code(tick: Tick, fail_on: FailOn) -> ExitCode:
    """Return what a tick that came to its end returns."""
    if any(case.has_failed or _is_wrong(case, fail_on) for case in tick.cases):
        return ExitCode.FAILED
    return ExitCode.BUDGET if tick.is_spent else ExitCode.OK


def _is_wrong(case: Case, fail_on: FailOn) -> bool:
    if case.outcome is Outcome.MISSED:
        return fail_on.missed
    if case.outcome is Outcome.SKIPPED:
        return fail_on.skipped
    return fail_on.late_s is not None and case.lag_s is not None and case.lag_s > fail_on.late_s
