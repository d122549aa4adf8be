"""Where an attempt prints: into its worker's spool, which gets the attempt's name if anything was printed.

To make a file for each attempt is the dearest part of a start on some disks (ext4 without a journal passes
over recently freed inodes one by one: 0.3 to 0.9 ms), and most jobs print nothing. So a spool that stayed
empty serves for the next attempt, too, if the kernel says that nobody else has it open: a process that got
away from an attempt, or somebody who followed it, shall not see what the next one prints.

=============  =============================================================
an attempt ..  its output is in ..
=============  =============================================================
has begun      the spool, if the lock file of its worker names the attempt
has ended      the file of its own name; if there is none, it printed nothing
=============  =============================================================

Dies: the command prints on into the spool. Whoever watches over it then, or else the sweep, gives the spool
the name of the attempt that the lock file names.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
from collections.abc import Container
from pathlib import Path

from cronq.model import AttemptKey
from cronq.store.location import Place
from cronq.worker.files import FILE_MODE, make_folder, open_private
from cronq.worker.liveness import is_dead, last_attempt, last_attempts, remove_attempt

_APPENDING = os.O_WRONLY | os.O_CREAT | os.O_APPEND


def spool_file(place: Place, worker: str) -> Path:
    """Return the spool of a worker."""
    return place.logs / f"{worker}.out"


class Spool:
    """The spool of this process, which is a worker.

    Attributes:
        path: Text and not Path, because it is used for each attempt.
    """

    def __init__(self, place: Place, worker: str) -> None:
        self.path = str(spool_file(place, worker))

    def open(self) -> int:
        """Return a descriptor that appends to an empty file that nobody else has open.

        Raises:
            OSError: It cannot be made.
        """
        fd = open_private(self.path, _APPENDING)
        info = os.fstat(fd)
        if info.st_size == 0 and stat.S_IMODE(info.st_mode) == FILE_MODE and _is_ours_alone(fd):
            return fd
        os.close(fd)
        os.unlink(self.path)  # noqa: PTH108 - text, because it is asked for each attempt
        return open_private(self.path, _APPENDING | os.O_EXCL)


class Log:
    """The output of one attempt, wherever it is."""

    def __init__(self, place: Place, key: AttemptKey, worker: str) -> None:
        self._place = place
        self._key = key
        self._worker = worker
        self._path: str | None = None

    @property
    def path(self) -> str:
        """Where it is now."""
        return self._path or str(log_now(self._place, self._key, self._worker))

    def open(self, spool: Spool) -> int:
        """Return a descriptor to print to; for the worker itself. Raises: OSError."""
        fd = spool.open()
        self._path = spool.path
        return fd

    def settle(self, *, is_needed: bool) -> None:
        """Give it the attempt's name, if that is needed: it is not empty, or may still be written to.

        Dies: It has one name or the other.

        Raises:
            OSError: The disk is full, or failed.
        """
        if is_needed:
            path, final = Path(self.path), self._place.log_file(*self._key)
            if path != final:
                _rename(path, final)
        # Else it is never looked at again, and its spool is for the next one.
        self._path = None


def log_now(place: Place, key: AttemptKey, worker: str) -> Path:
    """Return where the output of an attempt is, or would be."""
    final = place.log_file(*key)
    if os.path.lexists(final):
        return final
    hint = last_attempt(place, worker)
    return spool_file(place, worker) if hint is not None and hint.key == key else final


def open_log(place: Place, key: AttemptKey, worker: str) -> tuple[Path, int | None]:
    """Return where the output of an attempt is, with a descriptor to read it; None: it has none so far.

    Raises:
        OSError: It cannot be read.
    """
    while True:
        path = log_now(place, key, worker)
        fd = _opened(path)
        # It may have got its name just now; or the spool went to the next attempt before we had it open,
        # which sees that we have it only if it begins after that.
        if path == log_now(place, key, worker):
            return path, fd
        if fd is not None:
            os.close(fd)


def open_spool(place: Place, worker: str) -> int | None:
    """Return a descriptor to read the spool of a worker, whatever is in it; None: there is none.

    Raises:
        OSError: It cannot be read.
    """
    return _opened(spool_file(place, worker))


def _opened(path: Path) -> int | None:
    try:
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None


def put_away(place: Place, worker: str) -> None:
    """Put away the spool of a worker whose last end is in the store, and the lock of its attempts."""
    spool = spool_file(place, worker)
    try:
        hint = last_attempt(place, worker) if spool.stat().st_size else None
        if hint is not None and hint.key is not None:
            _rename(spool, place.log_file(*hint.key))
        else:
            spool.unlink()
    except FileNotFoundError:
        pass
    except OSError:
        return  # the next sweep may have more luck
    remove_attempt(place, worker)


def sweep(place: Place, held: Container[AttemptKey]) -> int:
    """Put away what dead workers left; return of how many.

    Args:
        place: Where it is.
        held: Attempts whose end is not in the store; what concerns them is evidence.
    """
    swept = 0
    for worker, keys in last_attempts(place):
        if not any(key in held for key in keys) and is_dead(place, worker):
            put_away(place, worker)
            swept += 1
    return swept


def _is_ours_alone(fd: int) -> bool:
    """Return whether nobody has a file open but us; False where the kernel does not tell.

    A write lease is given on this condition (fcntl(2)). For the instant that we have it the signal about
    others, SIGIO, may come: `Inbox` shrugs it off.
    """
    try:
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except (AttributeError, OSError):
        return False
    return True


def _rename(spool: Path, final: Path) -> None:
    try:
        log = open_private(final, os.O_WRONLY | os.O_APPEND)
    except OSError:
        pass  # there is none, or something was planted in its place, which is replaced
    else:
        # Of a database that was put back by hand: what it is the log of is lost, what it says is not.
        with os.fdopen(log, "ab") as end, spool.open("rb") as file:
            shutil.copyfileobj(file, end)
        spool.unlink()
        return
    try:
        spool.rename(final)
    except FileNotFoundError:
        make_folder(final.parent)
        spool.rename(final)
