"""Logs, and ends that wait in files."""

from __future__ import annotations

import errno
import os
import resource
from pathlib import Path

import pytest

from cronq.model import AttemptEnd, Outcome, Usage
from cronq.worker import endings
from cronq.worker.files import open_private, tail_lines
from cronq.worker.left_ends import end_file, leave_end, read_left_end, read_left_ends, remove_left_end
from tests.unit.worker.rig import claim_of, definition, place_at


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", ()),
        (b"a\nb\nc\nd\n", ("b", "c", "d")),
        (b"a\nb", ("a", "b")),
        (b"a\n\n  \nb\n\n", ("a", "b")),
        (b"x" * 5000 + b"\nend\n", ("x" * (4096 - 5), "end")),
        (b"\xff\xfe\n", ("\ufffd\ufffd",)),
        (b"10%\r100%\n", ("10%", "100%")),
    ],
)
def test_last_lines_of_a_file(tmp_path: Path, data: bytes, expected: tuple[str, ...]) -> None:
    path = tmp_path / "log"
    path.write_bytes(data)
    assert tail_lines(path) == expected


def test_no_lines_of_what_cannot_be_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("/etc/passwd")
    for name in ("none", "fifo", "link", "."):
        assert tail_lines(tmp_path / name) == ()


def test_file_that_is_to_be_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_private(tmp_path / "none" / "file", os.O_RDONLY)
    assert not (tmp_path / "none").exists()


def test_end_that_was_left_is_read_again(tmp_path: Path) -> None:
    place = place_at(tmp_path)
    usage = Usage(1.5, 0.25, 0.125, 4096)
    full = AttemptEnd(
        (2, 1), Outcome.FAILURE, 99, "exit 3", 50, 77, 3, None, usage, retry_at=200, survivors=("1 a",)
    )
    bare = AttemptEnd((1, 7), Outcome.ABANDONED, 99, counts=False)
    for end in (full, bare):
        leave_end(place, end)
    end_file(place, (3, 1)).write_text("{")
    assert read_left_ends(place) == [bare, full]
    assert read_left_end(end_file(place, (9, 9))) is None
    remove_left_end(place, (1, 7))
    remove_left_end(place, (1, 7))
    assert read_left_ends(place) == [full]


def test_end_for_which_there_is_no_room_leaves_nothing(tmp_path: Path) -> None:
    place = place_at(tmp_path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # The first write is cut short, and only the next one fails; as on a disk that becomes full.
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            leave_end(place, AttemptEnd((1, 7), Outcome.ABANDONED, 99))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(place.attempts.iterdir()) == []


@pytest.mark.parametrize("number", sorted(endings.NOT_THE_JOBS_FAULT))
def test_machine_without_room_costs_no_retry(number: int) -> None:
    claim = claim_of(definition("x"), attempt=3)
    end = endings.end_of_spawn_error(claim, OSError(number, os.strerror(number)), now=1_000_000)
    assert (end.outcome, end.counts, end.retry_at) == (Outcome.FAILURE, False, 5_000_000)
    assert end.reason.startswith(f"spawn_error: {errno.errorcode[number]} ")


def test_delay_without_blame_doubles_to_half_a_minute() -> None:
    assert [endings.free_delay_s(attempt) for attempt in (1, 2, 5, 6, 1000)] == [1, 2, 16, 30, 30]


def test_run_that_is_to_stop_is_not_put_back_for_free() -> None:
    claim = claim_of(definition("x"), stop_reason="enough")
    end = endings.end_of_spawn_error(claim, OSError(errno.EAGAIN, "again"), now=1)
    assert (end.outcome, end.reason, end.retry_at) == (Outcome.CANCELLED, "enough", None)


def test_signal_without_a_name_is_its_number() -> None:
    assert endings.signal_name(9) == "KILL"
    assert endings.signal_name(40) == "40"
