"""Bounds, calendars, windows, jitter and assertions that are refused, with the exact message and place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cronq.errors import UsageError
from cronq.schedule.assertions import parse_assertion
from cronq.schedule.blackout import read_blackouts
from cronq.schedule.bounds import read_bounds
from cronq.schedule.calendar_uses import read_use, read_uses
from cronq.schedule.calendars import calendar_from_text, check_name
from cronq.schedule.ics import read_ics
from cronq.schedule.placement import parse_jitter

BLOCKS = Path(__file__).with_name("layers_refused.txt").read_text(encoding="utf-8").split("\n\n")
KNOWN = {"shutdown": calendar_from_text("shutdown", "2026-12-24..2027-01-02\n")}


def pair(text: str) -> list[str]:
    return text.split(" | ")


READERS: dict[str, Callable[[str], object]] = {
    "bounds": lambda text: read_bounds(text, None, tz="Europe/Berlin"),
    "range": lambda text: read_bounds(*pair(text), tz="Europe/Berlin"),
    "use": lambda text: read_use(text, KNOWN),
    "uses": lambda text: read_uses(pair(text), KNOWN),
    "name": check_name,
    "file": lambda text: calendar_from_text("x", text),
    "ics": read_ics,
    "window": lambda text: read_blackouts((text,), "UTC"),
    "windows": lambda text: read_blackouts(tuple(pair(text)), "UTC"),
    "jitter": parse_jitter,
    "assertion": parse_assertion,
}


def case(block: str) -> tuple[str, str, str, str, str, str]:
    """Kind, input, shown text, caret line, message and hint of one block."""
    lines = [line for line in block.splitlines() if not line.startswith("#")]
    return lines[0], lines[1][2:], lines[2][2:], lines[3][2:], lines[4], lines[5].removeprefix("-")


CASES = [case(block) for block in BLOCKS if block.strip() and not block.startswith("#")]


@pytest.mark.parametrize(
    ("kind", "text", "shown", "caret", "message", "hint"),
    CASES,
    ids=[f"{case[0]}: {case[1][-40:]}" for case in CASES],
)
def test_refused_layer_is_pointed_at(
    kind: str, text: str, shown: str, caret: str, message: str, hint: str
) -> None:
    if kind == "use" and "-holidays:" in text:
        pytest.importorskip("holidays", reason="the extra `calendars` is not installed")
    with pytest.raises(UsageError) as raised:
        READERS[kind](text.replace("\\n", "\n"))
    error = raised.value
    start, end = error.span or (0, 0)
    assert (error.text or "", " " * start + "^" * (end - start)) == (shown, caret)
    assert (error.message, error.hint) == (message, hint)


def test_there_are_many_refused_layers() -> None:
    assert len(CASES) > 130
