"""Does it live? Answered by the kernel: whoever lives holds a lock, and death frees it.

Each worker holds `<worker>.worker`. For its attempts, one after the other, it has `<worker>.attempt`, locked
before the command is started, and the command inherits the open file description (flock(2)), so the lock is
held as long as either of them lives, and it cannot be taken over by a pid that was used again. What is
written in the file says which attempt has begun last, and who it is (pid, start, boot). One file serves for
all attempts of a worker, and keeps its name, because to make, rename and remove files is the dearest part of
a start on some disks.

==============  =====================  ==========================================================
worker's lock   attempt file           meaning
==============  =====================  ==========================================================
held            any                    the worker looks after it, and will record the end
free            missing, or of others  the command was never started
free            held                   the command lives, without its worker
free            free, and names it     both are dead; if nothing is recorded, how it ended is not known
==============  =====================  ==========================================================
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path

from cronq import clock
from cronq.model import AttemptKey, Micros
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
_LINE_LENGTH = 384


@dataclass(frozen=True, slots=True)
class Hint:
    """Who executes an attempt, or who a worker is.

    Attributes:
        pid: 0: it is just about to be started.
        start_ticks: See `kernel.ProcessInfo`.
        monotonic: When it was started, on the monotonic clock, which all processes of a boot share.
        key: The attempt.
        at: When it was started, by the wall clock.
        before: Attempts that this worker has ended, and whose ends were not in the store when it began.
    """

    worker_pid: int
    pid: int
    start_ticks: int | None
    boot_id: str
    monotonic: float
    key: AttemptKey | None = None
    at: Micros = 0
    before: tuple[AttemptKey, ...] = ()

    @property
    def keys(self) -> tuple[AttemptKey, ...]:
        """The attempts that were started, as far as it matters."""
        return self.before if self.key is None else (self.key, *self.before)


def worker_file(place: Place, worker: str) -> Path:
    """Return the lock file of a worker."""
    return place.attempts / f"{worker}.worker"


def attempt_file(place: Place, worker: str) -> Path:
    """Return the lock file of a worker's attempts."""
    return place.attempts / f"{worker}.attempt"


def outside_file(place: Place, holder: str) -> Path:
    """Return the lock file of a process outside, such as `cronq lock`, which its command inherits."""
    return place.attempts / f"{holder}.outside"


def is_outside_alive(place: Place, holder: str) -> bool:
    """Return whether a process outside, or its command, lives or may live."""
    return is_locked(outside_file(place, holder))


def living_outside(place: Place) -> list[str]:
    """Return the processes outside that live or may live."""
    return [path.stem for path in place.attempts.glob("*.outside") if is_locked(path)]


def living_workers(place: Place) -> list[str]:
    """Return the workers that live or may live."""
    return [path.stem for path in place.attempts.glob("*.worker") if is_locked(path)]


def busy_workers(place: Place) -> list[str]:
    """Return the workers of which something lives, or may live, that they have begun; they may be dead."""
    return [path.stem for path in place.attempts.glob("*.attempt") if is_locked(path) or _is_at_large(path)]


def _is_at_large(path: Path) -> bool:
    """Return whether a command lives that has closed what it inherited, and the lock with it."""
    try:
        hint = _read_hint(path)
    except OSError:
        return True
    return hint is not None and hint.pid != 0 and not is_gone(hint)


def is_deserted(place: Place) -> bool:
    """Return whether no worker lives, and nothing that one has begun."""
    return not living_workers(place) and not busy_workers(place)


def is_outside_stopped(holder: str) -> bool:
    """Return whether one that waits was stopped, as by Ctrl-Z; False where that is not known."""
    info = kernel.process_info(int(holder.partition("-")[0]))
    return info is not None and info.state in {"T", "t"}


class AttemptLock:
    """The lock of one worker's attempts, one after the other.

    Attributes:
        before: See `Hint`; set before the next one is taken.
    """

    def __init__(self, place: Place, worker: str, boot_id: str) -> None:
        self.before: tuple[AttemptKey, ...] = ()
        self._path = str(attempt_file(place, worker))
        self._boot_id = boot_id
        self._pid = os.getpid()
        self._about = _about_worker(self._pid, boot_id)
        self._writer = -1
        self._inode = 0

    def take(self, key: AttemptKey) -> int:
        """Return a descriptor that holds the lock, and through which nothing can be written.

        Whoever inherits it shall not be able to write who is to be signalled.

        Dies: The file names the attempt before anything of it can be started.

        Raises:
            OSError: It cannot be made.
        """
        try:
            fd = self._open()
        except BlockingIOError:
            # A process that outlived its attempt still has it.
            _unlink(self._path)
            fd = self._open()
        try:
            inode = os.fstat(fd).st_ino
            if inode != self._inode:
                self._open_writer(inode)
            self._write(Hint(self._pid, 0, None, self._boot_id, 0.0, key))
        except OSError:
            os.close(fd)
            raise
        return fd

    def name(self, hint: Hint) -> None:
        """Write who executes the attempt whose lock is held; a full disk is no reason to fail."""
        # Without it the command is known by its lock, its environment and its parent.
        with contextlib.suppress(OSError):
            self._write(hint)

    def _open(self) -> int:
        try:
            fd = open_private(self._path, os.O_RDONLY)
        except FileNotFoundError:
            # Made first, and then opened as always, for reading alone.
            os.close(open_private(self._path, os.O_WRONLY | os.O_CREAT))
            fd = open_private(self._path, os.O_RDONLY)
        return _lock(fd, 0.0)

    def _open_writer(self, inode: int) -> None:
        if self._writer != -1:
            os.close(self._writer)
        self._writer = open_private(self._path, os.O_WRONLY)
        self._inode = inode

    def _write(self, hint: Hint) -> None:
        os.pwrite(self._writer, _line_of(hint, self._about, self.before), 0)


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
    try:
        os.pwrite(fd, _line_of(hint, _about_worker(hint.worker_pid, hint.boot_id), hint.before), 0)
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EIO}:
            raise


def _line_of(hint: Hint, about: str, before: tuple[AttemptKey, ...]) -> bytes:
    """Return a hint as it stands in a file: one line of one length, so that each covers the last one."""
    ticks = "null" if hint.start_ticks is None else hint.start_ticks
    key = "null" if hint.key is None else f"[{hint.key[0]}, {hint.key[1]}]"
    line = (
        f'{about}"pid": {hint.pid}, "start_ticks": {ticks}, '
        f'"monotonic": {hint.monotonic!r}, "key": {key}, "at": {hint.at}, "before": {[*map(list, before)]}}}'
    )
    return f"{line:<{_LINE_LENGTH - 1}}\n".encode()


def _about_worker(pid: int, boot_id: str) -> str:
    """Return the part of the line that is the same for all attempts of a worker."""
    return f'{{"worker_pid": {pid}, "boot_id": {json.dumps(boot_id)}, '


def is_worker_alive(place: Place, worker: str) -> bool:
    """Return whether a worker process lives, or may live: what cannot be told now is asked again later."""
    return is_locked(worker_file(place, worker))


def is_attempt_alive(place: Place, key: AttemptKey, worker: str, pid: int | None = None) -> bool:
    """Return whether the worker or the command of an attempt lives, or may live.

    A command that closed all inherited descriptors gave up the lock; it is then known by its pid, start
    and boot. False while the worker has not begun with it, so ask `is_worker_alive` first.

    Args:
        place: Where the locks are.
        key: The attempt.
        worker: Whose attempt it is.
        pid: Of its command, as the ledger has it: asked if somebody removed the lock file.
    """
    path = attempt_file(place, worker)
    is_held = is_locked(path)
    if not is_held and pid is not None and not is_there(path):
        return is_of_attempt(place, key, worker, pid)
    try:
        hint = _read_hint(path)
    except OSError:
        return True
    if is_held:
        return hint is None or hint.key in {key, None}
    return hint is not None and hint.key == key and hint.pid != 0 and not is_gone(hint)


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


def was_started(place: Place, key: AttemptKey, worker: str) -> bool:
    """Return whether the command may have been started: the lock file of its worker names it."""
    try:
        text = _read(attempt_file(place, worker))
    except OSError:
        return True
    if not text:
        return False  # it is written before anything is started
    hint = _hint_from(text)
    return hint is None or key in hint.keys


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


def is_of_attempt(place: Place, key: AttemptKey, worker: str, pid: int) -> bool:
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
    return kernel.holds_file(pid, str(attempt_file(place, worker)))


def attempt_hint(place: Place, key: AttemptKey, worker: str) -> Hint | None:
    """Return who executes an attempt; None if that was never written, or cannot be read now."""
    hint = last_attempt(place, worker)
    return hint if hint is not None and hint.key == key and hint.pid != 0 else None


def is_busy_with_another(place: Place, key: AttemptKey, worker: str) -> bool:
    """Return whether a worker, or what it left, executes another attempt than this one."""
    hint = last_attempt(place, worker)
    if hint is None or hint.key in {None, key}:
        return False
    return is_locked(attempt_file(place, worker))


def last_attempt(place: Place, worker: str) -> Hint | None:
    """Return which attempt a worker began with last; None if with none, or it cannot be read now."""
    with contextlib.suppress(OSError):
        return _read_hint(attempt_file(place, worker))
    return None


def worker_hint(place: Place, worker: str) -> Hint | None:
    """Return who a worker is; None if that was never written, or cannot be read now."""
    with contextlib.suppress(OSError):
        return _read_hint(worker_file(place, worker))
    return None


def remove_worker(place: Place, worker: str) -> None:
    """Remove the lock of a worker that is gone or goes; that of its attempts may still be asked."""
    _unlink(worker_file(place, worker))


def remove_attempt(place: Place, worker: str) -> None:
    """Remove the lock of the attempts of a worker whose last end is in the store."""
    _unlink(attempt_file(place, worker))


def remove_outside(place: Place, holder: str) -> None:
    """Remove the file of a process outside that is gone or goes."""
    _unlink(outside_file(place, holder))


def sweep_workers(place: Place) -> int:
    """Remove the files of dead workers, and of processes outside; return how many workers."""
    for path in place.attempts.glob("*.outside"):
        _remove_if_free(path)
    return sum(_remove_if_free(path) for path in place.attempts.glob("*.worker"))


def last_attempts(place: Place) -> Iterator[tuple[str, tuple[AttemptKey, ...]]]:
    """Yield the workers that have begun with an attempt, each with the last ones; the newest first."""
    for path in place.attempts.glob("*.attempt"):
        hint = last_attempt(place, path.stem)
        yield path.stem, () if hint is None else hint.keys


def is_dead(place: Place, worker: str) -> bool:
    """Return whether a worker is dead, with all that it had started."""
    return not is_worker_alive(place, worker) and not is_locked(attempt_file(place, worker))


def sweep_left_ends(place: Place, held: Container[AttemptKey]) -> int:
    """Remove left ends of attempts that have another end in the store by now; return how many."""
    removed = 0
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


def is_locked(path: Path) -> bool:
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
    text = _read(path)
    return None if text is None else _hint_from(text)


def _read(path: Path) -> bytes | None:
    """Return what stands in a file; None if there is none, or it is not ours.

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
        return os.pread(fd, 4096, 0)
    finally:
        os.close(fd)


def _hint_from(text: bytes) -> Hint | None:
    try:
        value = json.loads(text)
        key = value.pop("key", None)
        before = tuple((int(run_id), int(attempt)) for run_id, attempt in value.pop("before", ()))
        return Hint(**value, key=None if key is None else (int(key[0]), int(key[1])), before=before)
    except (ValueError, TypeError, AttributeError, LookupError):
        return None
