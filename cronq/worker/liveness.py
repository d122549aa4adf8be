"""Does it live? Answered by the kernel: whoever lives holds a lock, and death frees it.

Each worker holds `<worker>.worker`. Each attempt has `<run>.<attempt>.lock`, locked before the command is
started, and the command inherits the open file description (flock(2)), so the lock is held as long
as either of them lives, and it cannot be taken over by a pid that was used again. What is written in the
files (pid, start, boot) is for signals and for people.

==============  =============  ==========================================================
worker's lock   attempt file   meaning
==============  =============  ==========================================================
held            any            the worker looks after it, and will record the end
free            missing        the command was never started
free            held           the command lives, without its worker
free            free           both are dead; if nothing is recorded, how it ended is not known
==============  =============  ==========================================================
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path

from cronq import clock
from cronq.model import AttemptKey
from cronq.store.location import Place
from cronq.worker import kernel
from cronq.worker.files import open_private

_LOCK_BOUND_S = 1.0
_NO_LOCK = frozenset(
    {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EPERM, errno.EISDIR, errno.ENXIO},
)
"""What says that nobody holds a lock: there is no such file, or something else was planted in its place.

Any other error (no descriptor left, no memory, a disk that fails) says nothing about who lives.
"""
_LOCK_RETRY_S = 0.005


@dataclass(frozen=True, slots=True)
class Hint:
    """Who executes an attempt, or who a worker is.

    Attributes:
        start_ticks: See `kernel.ProcessInfo`.
        monotonic: When it was started, on the monotonic clock, which all processes of a boot share.
    """

    worker_pid: int
    pid: int
    start_ticks: int | None
    boot_id: str
    monotonic: float


def worker_file(place: Place, worker: str) -> Path:
    """Return the lock file of a worker."""
    return place.attempts / f"{worker}.worker"


def attempt_file(place: Place, key: AttemptKey) -> Path:
    """Return the lock file of an attempt."""
    return place.attempts / f"{key[0]}.{key[1]}.lock"


def spare_file(place: Place, worker: str) -> Path:
    """Return the file that becomes the lock of a worker's next attempt."""
    return place.attempts / f"{worker}.spare"


def outside_file(place: Place, holder: str) -> Path:
    """Return the lock file of a process outside, such as `cronq lock`, which its command inherits."""
    return place.attempts / f"{holder}.outside"


def is_outside_alive(place: Place, holder: str) -> bool:
    """Return whether a process outside, or its command, lives or may live."""
    return _is_locked(outside_file(place, holder))


def living_outside(place: Place) -> list[str]:
    """Return the processes outside that live or may live."""
    return [path.stem for path in place.attempts.glob("*.outside") if _is_locked(path)]


def living_workers(place: Place) -> list[str]:
    """Return the workers that live or may live."""
    return [path.stem for path in place.attempts.glob("*.worker") if _is_locked(path)]


def is_outside_stopped(holder: str) -> bool:
    """Return whether one that waits was stopped, as by Ctrl-Z; False where that is not known."""
    info = kernel.process_info(int(holder.partition("-")[0]))
    return info is not None and info.state in {"T", "t"}


class AttemptLocks:
    """The locks of one worker's attempts, one after the other.

    One file goes round: spare, lock, spare. To make and remove a file for each attempt is the dearest part of
    a start on some file systems (ext4 without a journal passes over recently freed inodes one by one).
    """

    def __init__(self, place: Place, worker: str) -> None:
        # Text and not Path: these are put together for each attempt.
        self._folder = f"{place.attempts}/"
        self._spare = str(spare_file(place, worker))

    def take(self, key: AttemptKey, *, read_only: bool = False) -> int:
        """Return a descriptor that holds the lock of an attempt.

        Args:
            key: The attempt.
            read_only: Whoever inherits the descriptor shall not be able to write into the file.

        Dies: The file gets the attempt's name when it is locked already, so nobody finds it unlocked.

        Raises:
            OSError: It cannot be made.
        """
        flags = os.O_CREAT | (os.O_RDONLY if read_only else os.O_RDWR)
        try:
            fd = _lock(open_private(self._spare, flags), 0.0)
        except BlockingIOError:
            # A process that outlived its attempt still has it.
            _unlink(self._spare)
            fd = _lock(open_private(self._spare, flags | os.O_EXCL), 0.0)
        try:
            os.rename(self._spare, self._path(key))  # noqa: PTH104 - for each attempt
        except OSError:
            os.close(fd)
            raise
        return fd

    def give_back(self, key: AttemptKey) -> None:
        """Take the file of an attempt whose end is in the store for the next one."""
        path = self._path(key)
        try:
            os.truncate(path, 0)
            os.rename(path, self._spare)  # noqa: PTH104 - for each attempt
        except OSError:
            _unlink(path)

    def _path(self, key: AttemptKey) -> str:
        return f"{self._folder}{key[0]}.{key[1]}.lock"


def take_lock(path: Path) -> int:
    """Return a descriptor that holds the lock of a file, which is made.

    Raises:
        OSError: The file cannot be made, or somebody else holds the lock.
    """
    while True:
        fd = _lock(open_private(path, os.O_RDWR | os.O_CREAT), _LOCK_BOUND_S)
        if _is_at(fd, path):
            return fd
        os.close(fd)  # a sweep was faster: nobody would find our lock where it looks for it


def _lock(fd: int, bound_s: float) -> int:
    deadline = clock.monotonic() + bound_s
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return fd
        except OSError:
            # Somebody who only asks whether we live holds it for some microseconds.
            if clock.monotonic() >= deadline:
                os.close(fd)
                raise
            clock.sleep(_LOCK_RETRY_S)


def write_hint(fd: int, hint: Hint) -> None:
    """Write who holds a lock into its file; a full disk is no reason to fail."""
    ticks = "null" if hint.start_ticks is None else hint.start_ticks
    line = (
        f'{{"worker_pid": {hint.worker_pid}, "pid": {hint.pid}, "start_ticks": {ticks}, '
        f'"boot_id": {json.dumps(hint.boot_id)}, "monotonic": {hint.monotonic!r}}}\n'
    )
    try:
        os.pwrite(fd, line.encode(), 0)
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EIO}:
            raise


def write_attempt_hint(place: Place, key: AttemptKey, hint: Hint) -> None:
    """Write who executes an attempt, where the descriptor that holds its lock cannot be written to."""
    # The command runs already; without the hint it is known by its lock, its environment and its parent.
    with contextlib.suppress(OSError):
        fd = open_private(attempt_file(place, key), os.O_WRONLY)
        try:
            write_hint(fd, hint)
        finally:
            os.close(fd)


def is_worker_alive(place: Place, worker: str) -> bool:
    """Return whether a worker process lives, or may live: what cannot be told now is asked again later."""
    return _is_locked(worker_file(place, worker))


def is_attempt_alive(place: Place, key: AttemptKey, pid: int | None = None) -> bool:
    """Return whether the worker or the command of an attempt lives, or may live.

    A command that closed all inherited descriptors gave up the lock; it is then known by its pid, start
    and boot. False while the worker has not begun with it, so ask `is_worker_alive` first.

    Args:
        place: Where the locks are.
        key: The attempt.
        pid: Of its command, as the ledger has it: asked if somebody removed the lock file.
    """
    if _is_locked(attempt_file(place, key)):
        return True
    if pid is not None and not is_there(attempt_file(place, key)):
        return is_of_attempt(place, key, pid)
    try:
        hint = _read_hint(attempt_file(place, key))
    except OSError:
        return True
    return hint is not None and not is_gone(hint)


def is_same_process(hint: Hint) -> bool:
    """Return whether the process of a hint still exists, and is not a zombie."""
    if hint.start_ticks is None or hint.boot_id != kernel.boot_id():
        return False
    info = kernel.process_info(hint.pid)
    return info is not None and info.start_ticks == hint.start_ticks and info.state not in {"Z", "X"}


def is_gone(hint: Hint) -> bool:
    """Return whether the process of a hint is certainly dead, or was never known well enough to say more."""
    if is_same_process(hint):
        return False
    if hint.start_ticks is None or hint.boot_id != kernel.boot_id():
        return True
    # A process that is there and cannot be looked at just now may be the one.
    return kernel.process_info(hint.pid) is not None or not kernel.exists(hint.pid)


def was_started(place: Place, key: AttemptKey) -> bool:
    """Return whether the command may have been started: the lock file is there."""
    return is_there(attempt_file(place, key))


def is_there(path: Path) -> bool:
    """Return whether a file exists, or may exist."""
    try:
        path.lstat()
    except OSError as error:
        return error.errno not in _NO_LOCK
    return True


def says_free(error: OSError) -> bool:
    """Return whether a file could not be opened because it is not there, or is not ours."""
    return error.errno in _NO_LOCK


def is_of_attempt(place: Place, key: AttemptKey, pid: int) -> bool:
    """Return whether a process was started by an attempt, however it got away from it.

    It has the attempt's environment, or, if it was forked by a callable and executed nothing, its lock.
    """
    environment = kernel.environment_of(pid)
    # The database is part of it: each one numbers its runs from 1, and another's must not be killed for ours.
    expected = (os.fsencode(place.database), b"%d" % key[0], b"%d" % key[1])
    if (
        tuple(environment.get(name) for name in (b"CRONQ_STORE", b"CRONQ_RUN_ID", b"CRONQ_ATTEMPT"))
        == expected
    ):
        return True
    return kernel.holds_file(pid, str(attempt_file(place, key)))


def attempt_hint(place: Place, key: AttemptKey) -> Hint | None:
    """Return who executes an attempt; None if that was never written, or cannot be read now."""
    with contextlib.suppress(OSError):
        return _read_hint(attempt_file(place, key))
    return None


def worker_hint(place: Place, worker: str) -> Hint | None:
    """Return who a worker is; None if that was never written, or cannot be read now."""
    with contextlib.suppress(OSError):
        return _read_hint(worker_file(place, worker))
    return None


def remove_attempt(place: Place, key: AttemptKey) -> None:
    """Remove the lock file of an attempt whose end is in the store."""
    _unlink(attempt_file(place, key))


def remove_worker(place: Place, worker: str) -> None:
    """Remove the files of a worker that is gone or goes."""
    _unlink(worker_file(place, worker))
    _unlink(spare_file(place, worker))


def remove_outside(place: Place, holder: str) -> None:
    """Remove the file of a process outside that is gone or goes."""
    _unlink(outside_file(place, holder))


def sweep_workers(place: Place) -> int:
    """Remove the files of dead workers, and of processes outside; return how many workers."""
    for path in place.attempts.glob("*.outside"):
        _remove_if_free(path)
    dead = [path.stem for path in place.attempts.glob("*.worker") if _remove_if_free(path)]
    for worker in dead:
        _unlink(spare_file(place, worker))
    return len(dead)


def sweep_attempts(place: Place, held: Container[AttemptKey]) -> int:
    """Remove the files of attempts that are dead and recorded; return how many.

    A lock stays if its worker was killed just after the end was recorded; a left end, if another end was
    recorded before it was found.

    Args:
        place: Where they are.
        held: Attempts whose end is not in the store; theirs stay.
    """
    removed = 0
    for path in place.attempts.glob("*.lock"):
        key = _key_of(path)
        if key is not None and key not in held and not _is_locked(path):
            _unlink(path)
            removed += 1
    for path in place.attempts.glob("*.end.*"):  # drafts too
        key = _key_of(path)
        if key is not None and key not in held:
            _unlink(path)
            removed += 1
    return removed


def _key_of(path: Path) -> AttemptKey | None:
    run_id, attempt = path.name.split(".")[:2]
    return (int(run_id), int(attempt)) if run_id.isdecimal() and attempt.isdecimal() else None


def _unlink(path: Path | str) -> None:
    try:
        os.unlink(path)  # noqa: PTH108 - once for each attempt
    except OSError:
        # Nothing depends on it: a lock file that stays is free, and the sweep comes again.
        return


def _remove_if_free(path: Path) -> bool:
    """Remove a file whose lock nobody holds, holding it meanwhile; return whether it was removed."""
    try:
        fd = open_private(path, os.O_RDWR)
    except OSError as error:
        is_planted = says_free(error) and error.errno != errno.ENOENT
        if is_planted:
            _unlink(path)
        return is_planted
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not _is_at(fd, path):
            return False
        _unlink(path)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def _is_at(fd: int, path: Path) -> bool:
    """Return whether a path still leads to a file that was opened by it."""
    try:
        return os.path.samestat(os.fstat(fd), path.lstat())
    except FileNotFoundError:
        return False


def _is_locked(path: Path) -> bool:
    """Return whether a lock is held, or may be."""
    try:
        fd = open_private(path, os.O_RDWR)
    except OSError as error:
        return not says_free(error)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False


def _read_hint(path: Path) -> Hint | None:
    """Return what stands in a file; None if it makes no sense.

    Raises:
        OSError: It cannot be read now.
    """
    try:
        fd = open_private(path, os.O_RDONLY)
    except OSError as error:
        if says_free(error):
            return None
        raise
    try:
        value = json.loads(os.pread(fd, 4096, 0))
        return Hint(**value)
    except (ValueError, TypeError):
        return None
    finally:
        os.close(fd)
