"""Locks: who lives, in all combinations."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cronq.store.location import Place
from cronq.worker import kernel, liveness, spool
from cronq.worker.liveness import AttemptLock, Hint
from tests.unit.worker.rig import open_files_limited, place_at

KEY = (12, 3)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return place_at(tmp_path)


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def lock_attempt(place: Place, worker: str, key: tuple[int, int]) -> int:
    return AttemptLock(place, worker, kernel.boot_id()).take(key)


def name_attempt(place: Place, worker: str, hint: Hint) -> None:
    with liveness.attempt_file(place, worker).open("r+b") as file:
        liveness.write_hint(file.fileno(), replace(hint, key=KEY))


def hint_of(pid: int) -> Hint:
    return Hint(1, pid, kernel.start_ticks(pid), kernel.boot_id(), 5.25)


def test_nothing_is_known_of_what_never_was(place: Place) -> None:
    assert not liveness.is_worker_alive(place, "w")
    assert not liveness.is_attempt_alive(place, KEY, "w")
    assert not liveness.was_started(place, KEY, "w")
    assert liveness.attempt_hint(place, KEY, "w") is None
    liveness.remove_attempt(place, "w")


@pytest.mark.parametrize("worker_lives", [True, False])
@pytest.mark.parametrize("attempt", ["missing", "held", "free"])
def test_locks_answer_for_each_on_its_own(place: Place, worker_lives: bool, attempt: str) -> None:
    worker_fd = liveness.take_lock(liveness.worker_file(place, "w"))
    attempt_fd = -1
    if attempt != "missing":
        attempt_fd = lock_attempt(place, "w", KEY)
        if attempt == "free":
            os.close(attempt_fd)
    if not worker_lives:
        os.close(worker_fd)
    assert liveness.is_worker_alive(place, "w") is worker_lives
    assert liveness.is_attempt_alive(place, KEY, "w") is (attempt == "held")
    assert liveness.was_started(place, KEY, "w") is (attempt != "missing")
    if worker_lives:
        os.close(worker_fd)
    if attempt == "held":
        os.close(attempt_fd)


def test_lock_lives_in_a_process_that_inherited_it(place: Place) -> None:
    fd = lock_attempt(place, "w", KEY)
    with subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(fd,)
    ) as process:
        os.close(fd)
        assert liveness.is_attempt_alive(place, KEY, "w")
        process.communicate(b"\n")
    assert not liveness.is_attempt_alive(place, KEY, "w")
    assert liveness.was_started(place, KEY, "w")


def test_command_that_gave_up_the_lock_is_known_by_its_hint(
    place: Place, child: subprocess.Popen[bytes]
) -> None:
    fd = lock_attempt(place, "w", KEY)
    hint = replace(hint_of(child.pid), key=KEY)
    name_attempt(place, "w", hint)
    os.close(fd)
    assert liveness.attempt_hint(place, KEY, "w") == hint
    assert liveness.is_attempt_alive(place, KEY, "w")
    child.communicate(b"\n")
    assert not liveness.is_attempt_alive(place, KEY, "w")


def test_without_descriptors_nothing_is_taken_for_dead(place: Place, child: subprocess.Popen[bytes]) -> None:
    kernel.boot_id()
    worker_fd = liveness.take_lock(liveness.worker_file(place, "w"))
    attempt_fd = lock_attempt(place, "w", KEY)
    with open_files_limited(0):
        assert liveness.is_worker_alive(place, "w")
        assert liveness.is_attempt_alive(place, KEY, "w")
        assert liveness.attempt_hint(place, KEY, "w") is None
    os.close(worker_fd)
    os.close(attempt_fd)
    assert not liveness.is_worker_alive(place, "w")
    assert not liveness.is_attempt_alive(place, KEY, "w")


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.EACCES])
def test_error_that_says_nothing_is_no_death(
    place: Place, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fail(_path: Path, _flags: int) -> int:
        raise OSError(number, os.strerror(number))

    os.close(liveness.take_lock(liveness.worker_file(place, "w")))
    os.close(lock_attempt(place, "w", KEY))
    monkeypatch.setattr(liveness, "open_private", fail)
    assert liveness.is_worker_alive(place, "w")
    assert liveness.is_attempt_alive(place, KEY, "w")
    assert liveness.sweep_workers(place) == spool.sweep(place, held=()) == 0


def test_planted_file_is_nobodys_lock(place: Place, tmp_path: Path) -> None:
    place.attempts.mkdir(mode=0o700)
    liveness.worker_file(place, "link").symlink_to(tmp_path)
    liveness.worker_file(place, "folder").mkdir()
    os.mkfifo(liveness.worker_file(place, "fifo"))
    assert not any(liveness.is_worker_alive(place, name) for name in ("link", "folder", "fifo"))


def test_process_that_cannot_be_looked_at_is_not_taken_for_dead(
    place: Place, child: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    fd = lock_attempt(place, "w", KEY)
    name_attempt(place, "w", hint_of(child.pid))
    os.close(fd)
    monkeypatch.setattr(kernel, "process_info", lambda _pid: None)
    assert liveness.is_attempt_alive(place, KEY, "w")
    child.kill()
    child.wait()
    assert not liveness.is_attempt_alive(place, KEY, "w")


def test_pid_that_was_used_again_is_another_process(child: subprocess.Popen[bytes]) -> None:
    hint = hint_of(child.pid)
    assert liveness.is_same_process(hint)
    assert hint.start_ticks is not None
    assert not liveness.is_same_process(replace(hint, start_ticks=hint.start_ticks + 1))
    assert not liveness.is_same_process(replace(hint, boot_id="another"))
    assert not liveness.is_same_process(replace(hint, start_ticks=None))


def test_one_file_serves_one_attempt_after_the_other(place: Place) -> None:
    lock = AttemptLock(place, "w", kernel.boot_id())
    fd = lock.take(KEY)
    inode = os.fstat(fd).st_ino
    lock.name(replace(hint_of(os.getpid()), key=KEY))
    assert liveness.attempt_hint(place, KEY, "w") is not None
    os.close(fd)
    fd = lock.take((13, 1))
    assert os.fstat(fd).st_ino == inode
    assert not liveness.was_started(place, KEY, "w")
    assert liveness.was_started(place, (13, 1), "w")
    assert liveness.attempt_hint(place, (13, 1), "w") is None  # it is about to be started
    assert liveness.is_attempt_alive(place, (13, 1), "w")
    os.close(fd)
    assert not liveness.is_attempt_alive(place, (13, 1), "w")


def test_file_that_a_survivor_holds_is_replaced(place: Place) -> None:
    lock = AttemptLock(place, "w", kernel.boot_id())
    survivor = lock.take(KEY)
    fd = lock.take((13, 1))
    os.close(survivor)
    assert liveness.is_attempt_alive(place, (13, 1), "w")
    os.close(fd)
    assert not liveness.is_attempt_alive(place, (13, 1), "w")
    assert list(liveness.last_attempts(place)) == [("w", ((13, 1),))]


def test_file_that_somebody_removed_is_made_anew_and_names_the_attempt(place: Place) -> None:
    lock = AttemptLock(place, "w", kernel.boot_id())
    os.close(lock.take(KEY))
    liveness.attempt_file(place, "w").unlink()
    fd = lock.take((13, 1))
    lock.name(replace(hint_of(os.getpid()), key=(13, 1)))
    assert liveness.attempt_hint(place, (13, 1), "w") is not None
    os.close(fd)


def test_file_that_was_made_and_never_written_started_nothing(place: Place) -> None:
    place.attempts.mkdir(mode=0o700)
    liveness.attempt_file(place, "w").touch(0o600)
    assert not liveness.was_started(place, KEY, "w")


def test_descriptor_that_a_command_inherits_cannot_be_written_through(place: Place) -> None:
    fd = lock_attempt(place, "w", KEY)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.pwrite(fd, b"{}", 0)
    os.close(fd)


def test_held_lock_is_not_taken_twice(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveness, "_LOCK_BOUND_S", 0.02)
    path = liveness.worker_file(place, "w")
    fd = liveness.take_lock(path)
    with pytest.raises(BlockingIOError):
        liveness.take_lock(path)
    os.close(fd)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}', "null"])
def test_hint_that_makes_no_sense_is_none(place: Place, text: str) -> None:
    path = liveness.attempt_file(place, "w")
    path.parent.mkdir(mode=0o700)
    path.write_text(text)
    assert liveness.attempt_hint(place, KEY, "w") is None


def test_planted_lock_file_is_refused(place: Place, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    place.attempts.mkdir(mode=0o700)
    liveness.attempt_file(place, "w").symlink_to(victim)
    with pytest.raises(OSError, match="symbolic link"):
        lock_attempt(place, "w", KEY)
    liveness.attempt_file(place, "w").unlink()
    os.link(victim, liveness.attempt_file(place, "w"))
    with pytest.raises(PermissionError):
        lock_attempt(place, "w", KEY)
    assert victim.read_text() == "precious"


def test_sweep_removes_what_is_dead_and_recorded(place: Place) -> None:
    alive = liveness.take_lock(liveness.worker_file(place, "alive"))
    for number, worker in enumerate(("dead", "dead2", "dead3"), start=1):
        os.close(liveness.take_lock(liveness.worker_file(place, worker)))
        os.close(lock_attempt(place, worker, (number, 1)))
    # Its worker is dead, and something that it started lives.
    running = lock_attempt(place, "orphan", (4, 1))
    os.close(lock_attempt(place, "alive", (5, 1)))
    for name in ("1.1.end.json", "2.1.end.json", "7.1.end.draft"):
        (place.attempts / name).touch()
    assert liveness.sweep_workers(place) == 3
    assert liveness.sweep_left_ends(place, held={(1, 1)}) == 2
    assert spool.sweep(place, held={(1, 1)}) == 2
    assert sorted(path.name for path in place.attempts.iterdir()) == [
        "1.1.end.json",
        "alive.attempt",
        "alive.worker",
        "dead.attempt",
        "orphan.attempt",
    ]
    os.close(alive)
    os.close(running)


def test_lock_of_a_file_that_is_swept_away_before_it_is_locked_is_taken_anew(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = liveness.outside_file(place, "one")
    flock = fcntl.flock

    def sweep_first(fd: int, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", flock)
        path.unlink()
        flock(fd, operation)

    monkeypatch.setattr(fcntl, "flock", sweep_first)
    fd = liveness.take_lock(path)
    assert liveness.is_outside_alive(place, "one")
    os.close(fd)


@pytest.mark.parametrize("file", [liveness.outside_file, liveness.worker_file])
def test_file_cannot_be_locked_while_it_is_swept_away(
    place: Place, monkeypatch: pytest.MonkeyPatch, file: Callable[[Place, str], Path]
) -> None:
    path = file(place, "one")
    os.close(liveness.take_lock(path))
    late = os.open(path, os.O_RDWR)
    unlink = os.unlink
    swept: list[str] = []

    def lock_first(victim: str | Path) -> None:
        if os.fspath(victim) == str(path):
            with pytest.raises(BlockingIOError):
                fcntl.flock(late, fcntl.LOCK_EX | fcntl.LOCK_NB)
            swept.append(str(victim))
        unlink(victim)

    monkeypatch.setattr(os, "unlink", lock_first)
    liveness.sweep_workers(place)
    os.close(late)
    assert swept
    assert not path.exists()


def test_file_that_was_made_anew_since_a_sweep_looked_at_it_stays(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = liveness.outside_file(place, "one")
    os.close(liveness.take_lock(path))
    flock = fcntl.flock
    taken: list[int] = []

    def replace_first(fd: int, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", flock)
        path.unlink()
        taken.append(liveness.take_lock(path))
        flock(fd, operation)

    monkeypatch.setattr(fcntl, "flock", replace_first)
    liveness.sweep_workers(place)
    assert liveness.is_outside_alive(place, "one")
    os.close(taken[0])
