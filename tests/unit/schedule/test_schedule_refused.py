"""Everything that is refused, with the exact message, the place and the hint."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from cronq.errors import ScheduleError, TimezoneError
from cronq.schedule import parse

NOW = datetime(2026, 3, 28, 12, tzinfo=UTC)
BLOCKS = Path(__file__).with_name("refused.txt").read_text(encoding="utf-8").split("\n\n")


def case(block: str) -> tuple[str, str, str, str]:
    """Text, caret line, message and hint of one block."""
    _, text, caret, message, hint = [line for line in block.splitlines() if not line.startswith("#")]
    return text[2:], caret[2:], message, hint


CASES = [case(block) for block in BLOCKS if "rule" in block and not block.startswith("#")]


@pytest.mark.parametrize(("text", "caret", "message", "hint"), CASES, ids=[case[0] for case in CASES])
def test_refused_text_is_pointed_at(text: str, caret: str, message: str, hint: str) -> None:
    with pytest.raises(ScheduleError) as raised:
        parse(text, now=NOW, name="x")
    error = raised.value
    assert error.span is not None
    assert error.text == text
    start, end = error.span
    assert " " * start + "^" * (end - start) == caret
    assert (error.message, error.hint) == (message, hint)


def test_there_are_many_cases() -> None:
    assert len(CASES) > 90


@pytest.mark.parametrize(
    ("text", "span", "message"),
    [
        ("0 0 * * *\n", (9, 10), "the schedule holds a line break"),
        ("0 0 *\n* *", (5, 6), "the schedule holds a line break"),
        ("\0 * * * *", (0, 1), "the schedule holds the character U+0000"),
        ("* * * * \u0663", (8, 9), "the schedule holds the character U+0663"),
        ("", (0, 0), "the schedule is empty"),
        (" \t ", (0, 3), "the schedule is empty"),
        ("* * * * " + "1," * 130 + "1", (256, 269), "the schedule has 269 characters, more than 256"),
        (" ; ".join(["@daily"] * 17), (144, 150), "more than 16 schedules in one"),
        ("x" * 5000, (60, 61), "the schedule has 5000 characters; 256 are enough"),
    ],
)
def test_rule_3_no_line_of_ascii(text: str, span: tuple[int, int], message: str) -> None:
    with pytest.raises(ScheduleError) as raised:
        parse(text)
    assert (raised.value.message, raised.value.span) == (message, span)
    assert raised.value.text is not None
    assert "\n" not in raised.value.text


def test_rule_3_the_longest_text_is_read() -> None:
    text = "0 0 * * " + "1," * 123 + "5"
    assert len(text) == 255
    assert parse(text + " ").text == text


def test_unknown_policy_is_refused_with_a_guess() -> None:
    with pytest.raises(ScheduleError) as raised:
        parse("@daily", dst="skips")
    assert raised.value.hint == "did you mean `skip`?"


def test_unknown_zone_is_refused_with_a_guess() -> None:
    with pytest.raises(TimezoneError) as raised:
        parse("@daily", tz="Europe/Berln")
    assert raised.value.message == "unknown time zone `Europe/Berln`"
    assert raised.value.hint.startswith("did you mean `Europe/Berlin`")
