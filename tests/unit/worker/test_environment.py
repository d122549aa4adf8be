"""The environment of a command."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cronq.clock import us_from_datetime
from cronq.model import Trigger
from cronq.worker.environment import (
    MAX_FILE_BYTES,
    EnvironmentFileError,
    command_environment,
    inherited_part,
    read_env_file,
)
from tests.unit.worker.rig import claim_of, definition

FIRE = us_from_datetime(datetime(2026, 7, 1, 10, 0, tzinfo=UTC))


def test_only_the_user_and_the_language_are_inherited() -> None:
    environ = {"HOME": "/h", "LC_TIME": "C", "LANG": "C", "TMPDIR": "/t", "SECRET": "x", "PYTHONPATH": "/p"}
    assert set(inherited_part(environ)) == {"HOME", "LC_TIME", "LANG", "TMPDIR"}


def test_later_sources_win(tmp_path: Path) -> None:
    file = tmp_path / "vars"
    file.write_text("LANG=file\nHOME=file\nPATH=/file\n")
    what = definition("x", path="/job", env_file=str(file), env=(("HOME", "own"), ("CRONQ_JOB", "fake")))
    found = command_environment(claim_of(what), {"LANG": "a", "HOME": "b", "USER": "c"}, FIRE)
    assert [found[name] for name in ("LANG", "HOME", "USER", "PATH")] == ["file", "own", "c", "/file"]
    assert found["CRONQ_JOB"] == "job"


def test_scheduled_run_is_told_its_fire_time_and_lag() -> None:
    claim = claim_of(
        definition("x", tz="Europe/Berlin"),
        7,
        trigger=Trigger.CATCH_UP,
        fire_at=FIRE,
        logical_at=FIRE,
        queued_at=FIRE + 5_000_000,
        attempt=3,
    )
    found = command_environment(claim, {}, FIRE + 90_500_000)
    assert {name: value for name, value in found.items() if name.startswith("CRONQ_")} == {
        "CRONQ_JOB": "job",
        "CRONQ_RUN_ID": "7",
        "CRONQ_ATTEMPT": "3",
        "CRONQ_FIRE_TIME": "2026-07-01T10:00:00Z",
        "CRONQ_FIRE_TIME_LOCAL": "2026-07-01T12:00:00+02:00",
        "CRONQ_LAG": "90.500",
        "CRONQ_LAST_SUCCESS": "",
        "CRONQ_TRIGGER": "catch_up",
    }


def test_zone_that_left_the_zone_data_becomes_utc() -> None:
    claim = claim_of(definition("x", tz="Europe/Atlantis"), fire_at=FIRE, logical_at=FIRE)
    assert command_environment(claim, {}, FIRE)["CRONQ_FIRE_TIME_LOCAL"] == "2026-07-01T10:00:00+00:00"


def test_lag_of_a_manual_run_counts_from_the_request() -> None:
    claim = claim_of(definition("x"), logical_at=FIRE - 10**12, queued_at=FIRE)
    assert command_environment(claim, {}, FIRE + 250_000)["CRONQ_LAG"] == "0.250"
    assert command_environment(claim, {}, FIRE - 250_000)["CRONQ_LAG"] == "0.000"


def test_fractions_of_a_second_are_shown_when_there_are_any() -> None:
    claim = claim_of(definition("x"), logical_at=FIRE + 1500)
    found = command_environment(claim, {}, FIRE)
    assert found["CRONQ_FIRE_TIME"] == "2026-07-01T10:00:00.001500Z"
    assert found["CRONQ_FIRE_TIME_LOCAL"] == "2026-07-01T10:00:00.001500+00:00"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("A=b", {"A": "b"}),
        ("export A=b", {"A": "b"}),
        ("  A = b c  ", {"A": "b c"}),
        ("A=", {"A": ""}),
        ("A=b#c # d", {"A": "b#c # d"}),
        ("A='b # \"c\" \\n'  # d", {"A": 'b # "c" \\n'}),
        ('A="b \\"c\\" \\n \\\\ \\$X \\z"', {"A": 'b "c" \n \\ $X \\z'}),
        ("A=a=b", {"A": "a=b"}),
        ("# A=b", {}),
        ("", {}),
        ("A=1\nA=2", {"A": "2"}),
        ("A=\u00fc", {"A": "\u00fc"}),
    ],
)
def test_line_of_a_file(tmp_path: Path, line: str, expected: dict[str, str]) -> None:
    file = tmp_path / "vars"
    file.write_text(line + "\n", encoding="utf-8")
    assert read_env_file(file) == expected


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("A", "no `=`"),
        ("1A=b", "no name before the `=`"),
        ("=b", "no name before the `=`"),
        ("A='b", "a quote is not closed"),
        ('A="b\\"', "a quote is not closed"),
        ("A='b' c", "something stands after the closing quote"),
        ("A=\0", "a null character"),
    ],
)
def test_wrong_line_is_pointed_at(tmp_path: Path, line: str, problem: str) -> None:
    file = tmp_path / "vars"
    file.write_text(f"OK=1\n{line}\n")
    with pytest.raises(EnvironmentFileError) as caught:
        read_env_file(file)
    assert str(caught.value) == f"{file} line 2: {problem}"


@pytest.mark.parametrize(
    "line", ['PW="hunter2"S3CRET', "S3CRET=1 = 2", "S3 CRET", "S3CRET 1=2", 'PW="S3CRET']
)
def test_nothing_of_a_wrong_line_is_told(tmp_path: Path, line: str) -> None:
    file = tmp_path / "vars"
    file.write_text(f"1{line}\n")
    with pytest.raises(EnvironmentFileError) as caught:
        read_env_file(file)
    assert "CRET" not in str(caught.value)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFileError, match=r"^ENOENT No such file or directory: "):
        read_env_file(tmp_path / "none")


@pytest.mark.parametrize(
    ("kind", "text"),
    [("fifo", "not a regular file"), ("device", "not a regular file"), ("long", "longer than")],
)
def test_file_that_would_not_end_is_refused(tmp_path: Path, kind: str, text: str) -> None:
    path = tmp_path / "vars"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        path = Path("/dev/zero")
    else:
        path.write_bytes(b"#" * (MAX_FILE_BYTES + 1))
    with pytest.raises(EnvironmentFileError, match=text):
        read_env_file(path)
