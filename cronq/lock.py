"""The one-scheduler lock (G8): held for a scheduler's whole life, freed by the kernel at its death.

The lock is flock(2) through filelock, on a file beside the resolved database, so that two paths to one file
share one lock. What is written in the file only helps to say who holds it; it is never believed.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from cronq import clock
from cronq.errors import SchedulerRunning, StoreFull, StoreUntrusted
from cronq.model import SECOND, Micros


class Holder(NamedTuple):
    """Who said that they hold the lock.

    Attributes:
        since: When they took it, wall time.
    """

    pid: int
    host: str
    since: Micros


class Hold:
    """The lock, held; call it to release the lock."""

    def __init__(self, path: Path) -> None:
        """Take the lock. Raises: as `hold`."""
        self._path = path
        self._releases: list[Callable[[], None]] = []
        self._identity = self._take()

    def __call__(self) -> None:
        """Release the lock."""
        while self._releases:
            self._releases.pop()()

    def keep(self) -> None:
        """Take the lock anew if somebody removed its file: others would find it free.

        Raises:
            SchedulerRunning: Another process has found it free meanwhile.
            StoreUntrusted: As `hold`.
            StoreFull: As `hold`.
        """
        if _identity_of(self._path) != self._identity:
            self._identity = self._take()

    def _take(self) -> tuple[int, int] | None:
        import filelock

        _check_planted(self._path)
        # Never the soft fallback: a lock that a crash leaves behind, or that two hosts can both have, is no
        # lock. The short patience is for `is_held`, which takes the lock for microseconds.
        lock = filelock.FileLock(
            self._path,
            timeout=0.25,
            poll_interval=0.01,
            mode=0o600,
            fallback_to_soft=False,
            thread_local=False,
        )
        try:
            lock.acquire()
        except filelock.Timeout as error:
            raise running(self._path) from error
        except (OSError, NotImplementedError) as error:
            raise StoreFull(
                f"cannot take the lock {self._path}: {error}", hint="check the folder's permissions"
            ) from error
        self._releases.append(lock.release)
        _sign(self._path)
        return _identity_of(self._path)


def hold(path: Path) -> Hold:
    """Take the lock and return what releases it.

    Raises:
        SchedulerRunning: Another process has it.
        StoreUntrusted: What is in the lock's place is not a file of ours.
        StoreFull: The file cannot be made.
    """
    return Hold(path)


def _identity_of(path: Path) -> tuple[int, int] | None:
    try:
        info = path.lstat()
    except OSError:
        return None
    return (info.st_dev, info.st_ino)


def is_held(path: Path) -> bool:
    """Return whether a scheduler lives; asks the kernel.

    Shared, so that two who ask at the same moment do not take each other for a scheduler.
    """
    import fcntl

    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False


def read_holder(path: Path) -> Holder | None:
    """Return who signed the lock file last; None if nobody can be made out."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return Holder(int(values["pid"]), str(values["host"]), int(values["since"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _sign(path: Path) -> None:
    text = json.dumps({"pid": os.getpid(), "host": os.uname().nodename, "since": clock.now_us()})
    # On a full disk the lock holds all the same; only the message for the second scheduler is poorer.
    with contextlib.suppress(OSError):
        path.write_text(text + "\n", encoding="utf-8")


def running(path: Path) -> SchedulerRunning:
    """Return the error for a lock that somebody else has."""
    holder = read_holder(path)
    details: tuple[str, ...] = ()
    if holder is not None:
        from cronq.schedule.duration import format_duration

        age = format_duration(max(0, (clock.now_us() - holder.since) // SECOND))
        details = (f"pid {holder.pid} on {holder.host}, since {age} ago ({path})",)
    return SchedulerRunning(
        "a scheduler already runs for this database",
        details=details,
        hint="watch it with `cronq status`; to run another set of jobs use --db",
    )


def _check_planted(path: Path) -> None:
    try:
        info = path.lstat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise StoreFull(f"cannot look at the lock {path}: {error.strerror}") from error
    if not stat.S_ISREG(info.st_mode) or info.st_uid not in {os.geteuid(), 0} or info.st_nlink > 1:
        raise StoreUntrusted(
            f"{path} is not a plain file of yours", hint=f"look at it, then remove it: rm {path}"
        )
