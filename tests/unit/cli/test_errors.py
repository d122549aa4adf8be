"""Errors as people read them."""

from __future__ import annotations

import inspect

import pytest

from cronq import errors
from cronq.cli._commands import ENTRIES, TOPICS
from cronq.cli._errors import Problems, error_lines
from cronq.cli._topics import topic_text
from cronq.errors import CronqError, ExitCode, ScheduleError, UsageError
from cronq.render.text import width_of


def test_error_points_at_the_place() -> None:
    error = ScheduleError("bad minute", text="*/60,61 * * * *", span=(5, 7), hint="0 to 59")
    assert error_lines(error) == ["error: bad minute", "  */60,61 * * * *", "       ^^", "hint: 0 to 59"]


def test_caret_stands_under_escaped_and_wide_characters() -> None:
    error = ScheduleError("bad", text="\x1b日x", span=(2, 3))
    assert error_lines(error)[1:] == ["  ^[日x", "      ^"]


def test_empty_span_gets_one_caret() -> None:
    assert error_lines(ScheduleError("short", text="abc", span=(3, 3)))[2] == "     ^"


def test_long_text_is_shown_around_the_place() -> None:
    error = ScheduleError("bad", text="x" * 500 + "HERE" + "y" * 500, span=(500, 504))
    _, text, caret = error_lines(error, 80)
    assert width_of(text) <= 80
    assert text[caret.index("^") : caret.rindex("^") + 1] == "HERE"


def test_message_cannot_move_the_cursor() -> None:
    assert error_lines(CronqError("a\x1b[2Jb\nc", hint="d\re")) == ["error: a^[[2Jb\\nc", "hint: d\\re"]


def test_colour_is_only_on_the_word() -> None:
    assert error_lines(CronqError("x"), color=True) == ["\x1b[31merror:\x1b[0m x"]


def test_problems_take_the_code_of_the_first() -> None:
    assert Problems([UsageError("a"), CronqError("b")]).exit_code is ExitCode.USAGE


def test_every_exit_code_is_explained() -> None:
    text = topic_text("exit-codes")
    for code in ExitCode:
        assert f"{int(code):>3}  " in text


@pytest.mark.parametrize("topic", sorted(TOPICS))
def test_topics_fit_the_screen(topic: str) -> None:
    assert all(len(line) <= 88 for line in topic_text(topic).splitlines())


def test_every_error_class_has_an_exit_code_of_the_table() -> None:
    classes = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, CronqError)]
    assert {c.exit_code for c in classes} <= set(ExitCode)


def test_names_and_aliases_are_unique() -> None:
    names = [name for entry in ENTRIES for name in (entry.name, *entry.aliases)]
    assert len(names) == len(set(names))
