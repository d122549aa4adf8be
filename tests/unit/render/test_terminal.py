"""What streams can show."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from cronq.render.terminal import is_journal, is_tty, speaks_unicode, wants_color, width_of_terminal


@pytest.mark.parametrize(
    ("environ", "tty", "choice", "wanted"),
    [
        ({}, True, "auto", True),
        ({}, False, "auto", False),
        ({"TERM": "dumb"}, True, "auto", False),
        ({"NO_COLOR": "1"}, True, "auto", False),
        ({"NO_COLOR": ""}, True, "auto", True),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, True, "auto", False),
        ({"FORCE_COLOR": "1", "TERM": "dumb"}, False, "auto", True),
        ({"CLICOLOR_FORCE": "1"}, False, "auto", True),
        ({"CLICOLOR_FORCE": "0"}, False, "auto", False),
        ({"NO_COLOR": "1"}, False, "always", True),
        ({"FORCE_COLOR": "1"}, True, "never", False),
    ],
)
def test_wants_color(environ: dict[str, str], tty: bool, choice: str, wanted: bool) -> None:
    assert wants_color(tty, environ, choice) is wanted


@pytest.mark.parametrize(
    ("columns", "width"), [("120", 120), ("", 80), ("0", 80), ("-5", 80), ("x", 80), ("9" * 30, 999_999_999)]
)
def test_width_comes_from_columns(columns: str, width: int) -> None:
    assert width_of_terminal(io.StringIO(), {"COLUMNS": columns}) == width


def test_width_of_a_real_terminal() -> None:
    leader, follower = os.openpty()
    with os.fdopen(follower, "w") as stream:
        assert is_tty(stream)
        assert width_of_terminal(stream, {}) == 80  # a new one says 0
    os.close(leader)


def test_missing_and_closed_streams_are_no_terminals() -> None:
    closed = io.StringIO()
    closed.close()
    assert not is_tty(None)
    assert not is_tty(closed)
    assert width_of_terminal(None, {}) == 80


def test_unicode_is_judged_by_the_encoding(tmp_path: Path) -> None:
    with (
        (tmp_path / "a").open("w", encoding="UTF-8") as utf8,
        (tmp_path / "b").open("w", encoding="ascii") as other,
    ):
        assert speaks_unicode(utf8)
        assert not speaks_unicode(other)
    assert not speaks_unicode(None)


def test_journal_is_recognised_by_device_and_inode(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as stream:
        info = os.fstat(stream.fileno())
        assert is_journal(stream, {"JOURNAL_STREAM": f"{info.st_dev}:{info.st_ino}"})
        assert not is_journal(stream, {"JOURNAL_STREAM": f"{info.st_dev}:{info.st_ino + 1}"})
        assert not is_journal(stream, {})
    assert not is_journal(io.StringIO(), {"JOURNAL_STREAM": "1:2"})
    assert not is_journal(None, {"JOURNAL_STREAM": "1:2"})
