"""Where an attempt prints: the spool that goes from one attempt to the next, and the name it gets."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from cronq.store.location import Place
from cronq.worker import kernel
from cronq.worker.liveness import AttemptLock, attempt_file, take_lock, worker_file
from cronq.worker.spool import Log, Spool, log_now, open_log, put_away, spool_file, sweep
from tests.unit.worker.rig import Rig, definition, place_at, shell

KEY = (12, 3)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return place_at(tmp_path)


def inode_of_next(found: Spool) -> int:
    fd = found.open()
    try:
        return os.fstat(fd).st_ino
    finally:
        os.close(fd)


def test_spool_that_stayed_empty_serves_again(place: Place) -> None:
    found = Spool(place, "w")
    first = inode_of_next(found)
    assert inode_of_next(found) == first
    assert stat.S_IMODE(spool_file(place, "w").stat().st_mode) == 0o600


def spoil_by_reader(path: Path) -> int:
    return os.open(path, os.O_RDONLY)


def spoil_by_writer(path: Path) -> int:
    return os.open(path, os.O_WRONLY)


def spoil_by_mode(path: Path) -> int:
    path.chmod(0o644)
    return -1


def spoil_by_text(path: Path) -> int:
    path.write_text("of an attempt whose end could not be put down")
    return -1


@pytest.mark.parametrize("spoil", [spoil_by_reader, spoil_by_writer, spoil_by_mode, spoil_by_text])
def test_spool_that_somebody_else_has_or_changed_does_not(
    place: Place, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Path], int]
) -> None:
    found = Spool(place, "w")
    path = spool_file(place, "w")
    os.close(found.open())
    first = path.with_suffix(".first")
    fd = spoil(path)
    opened = []
    unlink = os.unlink

    def keep(victim: str) -> None:
        opened.append(victim == str(path))
        path.rename(first)  # or the number of the inode could be given again

    monkeypatch.setattr(os, "unlink", keep)
    os.close(found.open())
    monkeypatch.setattr(os, "unlink", unlink)
    assert opened == [True]
    assert path.stat().st_size == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    if fd != -1:
        os.close(fd)


def test_where_the_kernel_does_not_tell_a_spool_serves_once(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("fcntl.F_SETLEASE")
    found = Spool(place, "w")
    fd = found.open()
    assert inode_of_next(found) != os.fstat(fd).st_ino
    os.close(fd)


def test_log_gets_its_name_when_it_is_needed(place: Place) -> None:
    lock = AttemptLock(place, "w", kernel.boot_id())
    found = Spool(place, "w")
    for key, text in (((1, 1), b""), ((2, 1), b"hello"), ((3, 1), b"")):
        os.close(lock.take(key))
        log = Log(place, key, "w")
        fd = log.open(found)
        os.write(fd, text)
        os.close(fd)
        assert Path(log.path) == log_now(place, key, "w") == spool_file(place, "w")
        log.settle(is_needed=bool(text))
        assert place.log_file(*key).exists() is bool(text)
    assert not place.log_file(1, 1).exists()
    assert place.log_file(2, 1).read_bytes() == b"hello"
    assert log_now(place, (2, 1), "w") == place.log_file(2, 1)
    assert stat.S_IMODE(place.log_file(2, 1).parent.stat().st_mode) == 0o700


def test_log_that_has_its_name_already_is_continued(place: Place) -> None:
    found = Spool(place, "w")
    for text in (b"one", b"two"):
        log = Log(place, KEY, "w")
        fd = log.open(found)
        os.write(fd, text)
        os.close(fd)
        log.settle(is_needed=True)
    assert place.log_file(*KEY).read_bytes() == b"onetwo"
    assert not spool_file(place, "w").exists()


def test_of_an_attempt_that_has_not_begun_nothing_is_read(place: Place) -> None:
    assert open_log(place, KEY, "w") == (place.log_file(*KEY), None)
    os.close(AttemptLock(place, "w", kernel.boot_id()).take((11, 1)))
    fd = Spool(place, "w").open()
    os.write(fd, b"of another")
    assert open_log(place, KEY, "w") == (place.log_file(*KEY), None)
    os.close(fd)


def test_spool_of_the_dead_gets_the_name_of_their_last_attempt(place: Place) -> None:
    os.close(AttemptLock(place, "w", kernel.boot_id()).take(KEY))
    os.close(take_lock(worker_file(place, "w")))
    fd = Spool(place, "w").open()
    os.write(fd, b"last words")
    os.close(fd)
    assert sweep(place, held={KEY}) == 0
    assert sweep(place, held=()) == 1
    assert place.log_file(*KEY).read_bytes() == b"last words"
    assert not attempt_file(place, "w").exists()


def test_spool_of_nobody_goes(place: Place) -> None:
    os.close(Spool(place, "w").open())
    put_away(place, "w")
    assert not spool_file(place, "w").exists()
    put_away(place, "w")


def test_attempts_that_print_nothing_make_no_files(rig: Rig) -> None:
    rig.execute(definition("true"))
    before = sorted(rig.place.logs.rglob("*"))
    for _ in range(5):
        rig.execute(definition("true"))
    assert sorted(rig.place.logs.rglob("*")) == before
    assert not list(rig.place.logs.rglob("*.log"))


def test_what_got_away_with_the_output_prints_into_no_other_attempt(rig: Rig) -> None:
    # It opens the file anew, and is gone when the attempt ends; the test plays whom it gave that to.
    start = rig.started(shell("sleep 60"))
    stolen = os.open(f"/proc/{start.pid}/fd/1", os.O_WRONLY | os.O_APPEND)
    rig.pool.kill(start.key)
    rig.end_of(start.key)
    next_start = rig.started(shell("echo mine; sleep 60"))
    rig.wait_for_line(next_start.key, "mine")
    os.write(stolen, b"of the first\n")
    os.close(stolen)
    assert rig.log(next_start.key) == "mine\n"
