"""Ringing wakes whoever listens, and never blocks, fails or writes into anything that is no doorbell."""

from __future__ import annotations

import os
import select
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from cronq.doorbell import Doorbell, ring

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cronq.db.bell"


@pytest.fixture
def bell(path: Path) -> Iterator[Doorbell]:
    made = Doorbell(path)
    yield made
    made.close()


def is_readable(bell: Doorbell) -> bool:
    return bool(select.select([bell.fileno()], [], [], 0)[0])


def test_ring_wakes_the_listener(path: Path, bell: Doorbell) -> None:
    assert not is_readable(bell)
    assert ring(path)
    assert is_readable(bell)
    assert bell.answer()
    assert not is_readable(bell)
    assert not bell.answer()


def test_ring_many_times_is_answered_once(path: Path, bell: Doorbell) -> None:
    for _ in range(10_000):
        assert ring(path)
    assert bell.answer()
    assert not bell.answer()


def test_ring_with_a_full_pipe_neither_blocks_nor_fails(path: Path, bell: Doorbell) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    with pytest.raises(BlockingIOError):
        write_for_ever(fd)
    os.close(fd)
    assert ring(path)
    assert bell.answer()
    assert not is_readable(bell)


def write_for_ever(fd: int) -> None:
    while True:
        os.write(fd, b"!" * 4096)


def test_ring_is_no_end_of_file_for_the_listener(path: Path, bell: Doorbell) -> None:
    ring(path)
    bell.answer()
    assert not is_readable(bell), "the ringing end was closed, which must not look like news"


def test_ring_without_a_bell_is_heard_by_nobody(path: Path) -> None:
    assert not ring(path)
    assert not path.exists()


def test_ring_at_a_bell_that_was_left_is_heard_by_nobody(path: Path) -> None:
    Doorbell(path).close()
    assert stat.S_ISFIFO(path.lstat().st_mode)
    assert not ring(path)


def test_ring_in_a_folder_that_cannot_be_is_heard_by_nobody(tmp_path: Path) -> None:
    assert not ring(tmp_path / "missing" / "bell")
    assert not ring(tmp_path / ("x" * 300))


def test_bell_that_was_left_is_taken_over(path: Path) -> None:
    Doorbell(path).close()
    before = path.lstat().st_ino
    again = Doorbell(path)
    assert path.lstat().st_ino == before
    assert ring(path)
    assert again.answer()
    again.close()


def test_bell_is_for_its_owner_alone(path: Path, bell: Doorbell) -> None:
    assert stat.S_IMODE(path.lstat().st_mode) == 0o600


def plant(path: Path, what: str) -> Path:
    """Put something else into the bell's place; return the file that must not be written."""
    victim = path.with_name("victim")
    victim.write_text("precious", encoding="utf-8")
    if what == "file":
        os.link(victim, path)
    elif what == "symlink":
        path.symlink_to(victim)
    elif what == "symlink to a bell":
        os.mkfifo(path.with_name("other"))
        path.symlink_to(path.with_name("other"))
    elif what == "socket":
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
    return victim


PLANTED = ["file", "symlink", "symlink to a bell", "socket"]


@pytest.mark.parametrize("what", PLANTED)
def test_ring_at_something_planted_touches_nothing(path: Path, what: str) -> None:
    victim = plant(path, what)
    before = path.lstat()
    assert not ring(path)
    assert victim.read_text(encoding="utf-8") == "precious"
    assert path.lstat().st_ino == before.st_ino


@pytest.mark.parametrize("what", PLANTED)
def test_bell_in_the_place_of_something_planted_is_a_new_one(path: Path, what: str) -> None:
    victim = plant(path, what)
    bell = Doorbell(path)
    assert stat.S_ISFIFO(path.lstat().st_mode)
    assert ring(path)
    assert bell.answer()
    assert victim.read_text(encoding="utf-8") == "precious"
    bell.close()


def test_bell_in_the_place_of_a_folder_is_refused(path: Path) -> None:
    (path / "inside").mkdir(parents=True)
    with pytest.raises(OSError):  # noqa: PT011 - which one depends on the system
        Doorbell(path)
    assert (path / "inside").is_dir()


@needs_root
def test_bell_of_somebody_else_is_not_rung_and_not_used(path: Path) -> None:
    os.mkfifo(path, 0o666)
    os.chown(path, 65534, 65534)
    theirs = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    assert not ring(path)
    bell = Doorbell(path)
    assert ring(path)
    assert bell.answer()
    os.close(theirs)
    bell.close()
