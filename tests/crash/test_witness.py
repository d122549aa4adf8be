"""The comparison of ledger and witness: it sees each kind of contradiction."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.crash.witness import Done, Findings, Ledger, Line, compare

FIRST = datetime(2026, 3, 2, tzinfo=UTC)

Rows = list[dict[str, Any]]


def fire(number: int) -> str:
    return (FIRST + timedelta(seconds=number)).isoformat()


def row(number: int, **changes: Any) -> dict[str, Any]:
    """Return the run with this number, for the fire time with this number."""
    found = {
        "id": number,
        "job": "job",
        "state": "done",
        "outcome": "success",
        "reason": None,
        "fire_at": fire(number),
        "fire_count": 1,
        "attempt": 1,
        "signal": None,
    }
    return {**found, **changes}


def line(number: int, word: str, code: int | None = None, **changes: Any) -> Line:
    return Line("job", number, 1, "schedule", fire(number), word, code)._replace(**changes)


def good() -> tuple[list[Line], Rows]:
    """Return a success, a failure, a killed command, a lost worker, a skip, and the success of a retry."""
    lines = [
        line(0, "start"),
        line(0, "end", 0),
        line(1, "start"),
        line(1, "end", 3),
        line(2, "start"),
        line(3, "start"),
        line(5, "start"),
        line(5, "end", 3),
        line(5, "start", attempt=2),
        line(5, "end", 0, attempt=2),
    ]
    rows = [
        row(0),
        row(1, outcome="failure"),
        row(2, outcome="failure", signal=9),
        row(3, outcome="abandoned"),
        row(4, outcome="skipped"),
        row(5, attempt=2),
    ]
    return lines, rows


def findings(lines: list[Line], rows: Rows, done: Done | None = None) -> Findings:
    ledger = Ledger(rows, 1, FIRST, FIRST + timedelta(seconds=5.5), FIRST + timedelta(seconds=6))
    return compare(lines, {"job": ledger}, done or Done(killed={(2, 1)}, orphaned={(3, 1)}, workers=1))


def test_what_agrees_is_not_found_fault_with() -> None:
    assert not findings(*good())


def test_a_gap_that_is_one_row_is_accounted_for() -> None:
    assert not findings([], [row(0, outcome="missed", fire_count=6)])


BROKEN: dict[str, tuple[str, Callable[[list[Line], Rows], object]]] = {
    "a missing fire time": ("lost", lambda _, rows: rows.pop(4)),
    "a missing last fire time": ("lost", lambda _, rows: rows.pop()),
    "a run that the ledger does not know": ("lost", lambda lines, _: lines.append(line(99, "start"))),
    "two rows of a fire time": (
        "doubled",
        lambda _, rows: rows.append(row(9, fire_at=fire(4), outcome="skipped")),
    ),
    "an attempt started twice": ("doubled", lambda lines, _: lines.append(line(0, "start"))),
    "an overlap": ("doubled", lambda lines, _: lines.append(line(0, "overlap"))),
    "a fire time with two runs": (
        "doubled",
        lambda lines, _: lines.append(line(1, "start", fire_time=fire(0))),
    ),
    "a run that still runs": ("stuck", lambda _, rows: rows[0].update(state="running", outcome=None)),
    "a success that nobody saw": ("wrong", lambda lines, _: lines.remove(line(0, "end", 0))),
    "a success that failed": ("wrong", lambda _, rows: rows[1].update(outcome="success")),
    "a failure that succeeded": ("wrong", lambda _, rows: rows[0].update(outcome="failure")),
    "a kill that was none": ("wrong", lambda _, rows: rows[0].update(outcome="failure", signal=9)),
    "a skip that ran": ("wrong", lambda lines, _: lines.append(line(4, "start"))),
    "an attempt too many": ("wrong", lambda lines, _: lines.append(line(0, "start", attempt=2))),
    "an end that nobody asked for": ("wrong", lambda _, rows: rows[0].update(outcome="cancelled")),
    "a fire time that is none": (
        "wrong",
        lambda _, rows: rows.append(row(9, fire_at=fire(-1), outcome="skipped")),
    ),
    "a fire time to come": ("wrong", lambda _, rows: rows.append(row(9, outcome="skipped"))),
    "an end that somebody should have seen": ("wrong", lambda _, rows: rows[0].update(outcome="abandoned")),
    "too many abandoned": ("wrong", lambda _, rows: rows[4].update(outcome="abandoned")),
    "a success that is run again": ("doubled", lambda lines, _: lines.append(line(5, "end", 0))),
}


@pytest.mark.parametrize("name", BROKEN)
def test_contradiction_is_found(name: str) -> None:
    kind, breaks = BROKEN[name]
    lines, rows = good()
    breaks(lines, rows)
    found = vars(findings(lines, rows))
    assert found[kind], found
