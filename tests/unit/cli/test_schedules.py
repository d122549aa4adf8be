"""Recognising what a shell does to an unquoted star."""

from __future__ import annotations

from pathlib import Path

import pytest

from cronq.cli._schedules import one_schedule, times_of, was_expanded
from cronq.errors import ScheduleError, StoreCorrupt, TimezoneError
from cronq.model import Command, CommandKind, Definition, Job


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.txt", "b.txt", ".hidden", "7"):
        (tmp_path / name).touch()
    return tmp_path


def refused(words: list[str], cwd: Path) -> ScheduleError:
    with pytest.raises(ScheduleError) as caught:
        one_schedule(words, before="cronq add b", after=" -- true", cwd=cwd)
    return caught.value


@pytest.mark.parametrize("text", ["@daily", "*/5 * * * *", " every 5m "])
def test_one_word_is_taken_as_it_is(text: str, folder: Path) -> None:
    assert one_schedule([text], before="", after="", cwd=folder) == text


@pytest.mark.parametrize("words", [[], [""], ["  "]])
def test_no_schedule(words: list[str], folder: Path) -> None:
    assert refused(words, folder).message == "there is no schedule"


@pytest.mark.parametrize(
    ("words", "restored"),
    [
        (["*/5", *["7", "a.txt", "b.txt"] * 4], "*/5 7 * * * *"),
        (["0", "2", *["a.txt", "b.txt"] * 3], "0 2 * * *"),
        (["a.txt", "b.txt"], "* * * * *"),
    ],
)
def test_expanded_star_is_put_back(words: list[str], restored: str, folder: Path) -> None:
    error = refused(words, folder)
    assert "your shell turned `*` into file names" in error.hint
    assert error.hint.startswith("your shell")
    if "7" not in words:
        assert f"cronq add b '{restored}' -- true" in error.hint


def test_number_that_is_a_file_too_does_not_mean_expansion(folder: Path) -> None:
    assert not was_expanded(["0", "7", "*", "*", "*"], folder)


def test_words_that_only_miss_quotes(folder: Path) -> None:
    error = refused(["every", "5m"], folder)
    assert error.hint == "quote it: cronq add b 'every 5m' -- true"


def job(**definition: str) -> Job:
    values = {"schedule": "@daily", "tz": "UTC", **definition}
    return Job(1, "a", 1, Definition(Command(CommandKind.ARGV, ("x",)), **values), 0, 0)  # type: ignore[arg-type]


def test_stored_zone_that_is_gone_names_the_way_out() -> None:
    with pytest.raises(TimezoneError) as caught:
        times_of(job(tz="Mars/Base"))
    assert "cronq set a --tz" in caught.value.hint


def test_stored_schedule_that_cannot_be_read_is_corruption() -> None:
    with pytest.raises(StoreCorrupt):
        times_of(job(schedule="nonsense"))
