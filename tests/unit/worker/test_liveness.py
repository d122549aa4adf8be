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
from cronq.worker import kernel, liveness
from cronq.worker.liveness import AttemptLocks, Hint
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
    return AttemptLocks(place, worker).take(key)


def hint_of(pid: int) -> Hint:
    return Hint(1, pid, kernel.start_ticks(pid), kernel.boot_id(), 5.25)


def test_nothing_is_known_of_what_never_was(place: Place) -> None:
    assert not liveness.is_worker_alive(place, "w")
    assert not liveness.is_attempt_alive(place, KEY)
    assert not liveness.was_started(place, KEY)
    assert liveness.attempt_hint(place, KEY) is None
    liveness.remove_attempt(place, KEY)


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
    assert liveness.is_attempt_alive(place, KEY) is (attempt == "held")
    assert liveness.was_started(place, KEY) is (attempt != "missing")
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
        assert liveness.is_attempt_alive(place, KEY)
        process.communicate(b"\n")
    assert not liveness.is_attempt_alive(place, KEY)
    assert liveness.was_started(place, KEY)


def test_command_that_gave_up_the_lock_is_known_by_its_hint(
    place: Place, child: subprocess.Popen[bytes]
) -> None:
    fd = lock_attempt(place, "w", KEY)
    hint = hint_of(child.pid)
    liveness.write_hint(fd, hint)
    os.close(fd)
    assert liveness.attempt_hint(place, KEY) == hint
    assert liveness.is_attempt_alive(place, KEY)
    child.communicate(b"\n")
    assert not liveness.is_attempt_alive(place, KEY)


def test_without_descriptors_nothing_is_taken_for_dead(place: Place, child: subprocess.Popen[bytes]) -> None:
    kernel.boot_id()
    worker_fd = liveness.take_lock(liveness.worker_file(place, "w"))
    attempt_fd = lock_attempt(place, "w", KEY)
    with open_files_limited(0):
        assert liveness.is_worker_alive(place, "w")
        assert liveness.is_attempt_alive(place, KEY)
        assert liveness.attempt_hint(place, KEY) is None
    os.close(worker_fd)
    os.close(attempt_fd)
    assert not liveness.is_worker_alive(place, "w")
    assert not liveness.is_attempt_alive(place, KEY)


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
    assert liveness.is_attempt_alive(place, KEY)
    assert liveness.sweep_workers(place) == liveness.sweep_attempts(place, held=()) == 0


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
    liveness.write_hint(fd, hint_of(child.pid))
    os.close(fd)
    monkeypatch.setattr(kernel, "process_info", lambda _pid: None)
    assert liveness.is_attempt_alive(place, KEY)
    child.kill()
    child.wait()
    assert not liveness.is_attempt_alive(place, KEY)


def test_pid_that_was_used_again_is_another_process(child: subprocess.Popen[bytes]) -> None:
    hint = hint_of(child.pid)
    assert liveness.is_same_process(hint)
    assert hint.start_ticks is not None
    assert not liveness.is_same_process(replace(hint, start_ticks=hint.start_ticks + 1))
    assert not liveness.is_same_process(replace(hint, boot_id="another"))
    assert not liveness.is_same_process(replace(hint, start_ticks=None))


def test_file_goes_round(place: Place) -> None:
    fd = lock_attempt(place, "w", KEY)
    inode = os.fstat(fd).st_ino
    liveness.write_hint(fd, hint_of(os.getpid()))
    os.close(fd)
    AttemptLocks(place, "w").give_back(KEY)
    assert not liveness.was_started(place, KEY)
    fd = lock_attempt(place, "w", (13, 1))
    assert os.fstat(fd).st_ino == inode
    assert liveness.attempt_hint(place, (13, 1)) is None
    os.close(fd)


def test_file_that_a_survivor_holds_is_replaced(place: Place) -> None:
    survivor = lock_attempt(place, "w", KEY)
    AttemptLocks(place, "w").give_back(KEY)
    fd = lock_attempt(place, "w", (13, 1))
    os.close(survivor)
    assert liveness.is_attempt_alive(place, (13, 1))
    os.close(fd)
    assert not liveness.is_attempt_alive(place, (13, 1))


def test_held_lock_is_not_taken_twice(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveness, "_LOCK_BOUND_S", 0.02)
    path = liveness.worker_file(place, "w")
    fd = liveness.take_lock(path)
    with pytest.raises(BlockingIOError):
        liveness.take_lock(path)
    os.close(fd)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}', "null"])
def test_hint_that_makes_no_sense_is_none(place: Place, text: str) -> None:
    path = liveness.attempt_file(place, KEY)
    path.parent.mkdir(mode=0o700)
    path.write_text(text)
    assert liveness.attempt_hint(place, KEY) is None


def test_planted_lock_file_is_refused(place: Place, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    place.attempts.mkdir(mode=0o700)
    liveness.spare_file(place, "w").symlink_to(victim)
    with pytest.raises(OSError, match="symbolic link"):
        lock_attempt(place, "w", KEY)
    liveness.spare_file(place, "w").unlink()
    os.link(victim, liveness.spare_file(place, "w"))
    with pytest.raises(PermissionError):
        lock_attempt(place, "w", KEY)
    assert victim.read_text() == "precious"


def test_sweep_removes_what_is_dead_and_recorded(place: Place) -> None:
    alive = liveness.take_lock(liveness.worker_file(place, "alive"))
    for worker in ("dead", "dead2"):
        os.close(liveness.take_lock(liveness.worker_file(place, worker)))
    for number in (1, 2):
        os.close(lock_attempt(place, "dead", (number, 1)))
    running = lock_attempt(place, "alive", (3, 1))
    for name in ("unknown.lock", "1.1.end.json", "2.1.end.json", "4.1.end.draft"):
        (place.attempts / name).touch()
    assert liveness.sweep_workers(place) == 2
    assert liveness.sweep_attempts(place, held={(1, 1)}) == 3
    assert sorted(path.name for path in place.attempts.iterdir()) == [
        "1.1.end.json",
        "1.1.lock",
        "3.1.lock",
        "alive.worker",
        "unknown.lock",
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
