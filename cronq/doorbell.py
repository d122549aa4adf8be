"""The doorbell: a FIFO beside the database with which other processes wake the scheduler.

Ringing never blocks and never fails: nobody listens, or the pipe is full of rings already, are both fine,
because the database is the truth and a scheduler that starts, or looks, sees the change anyway.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path


class Doorbell:
    """The listening end; `fileno` becomes readable when somebody rang."""

    def __init__(self, path: Path) -> None:
        """Create the FIFO, or take over the one that an earlier scheduler left.

        Raises:
            OSError: Something else is in its place, or it cannot be made.
        """
        if not _is_own_fifo(path):
            path.unlink(missing_ok=True)
            os.mkfifo(path, 0o600)
        self._read_fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        # Held open too, so that the reading end never sees the end of file between two rings.
        self._write_fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        return self._read_fd

    def answer(self) -> bool:
        """Take all rings; return whether there was one."""
        rang = False
        try:
            while os.read(self._read_fd, 4096):
                rang = True
        except BlockingIOError:
            pass
        return rang

    def close(self) -> None:
        """Stop listening; the FIFO stays for the next scheduler."""
        os.close(self._read_fd)
        os.close(self._write_fd)


def ring(path: Path) -> bool:
    """Wake the scheduler, if there is one; return whether somebody listens."""
    try:
        if not _is_own_fifo(path):
            return False
        fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        os.write(fd, b"!")
    except BlockingIOError:
        pass
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def _is_own_fifo(path: Path) -> bool:
    try:
        info = path.lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISFIFO(info.st_mode) and info.st_uid in {os.geteuid(), 0}
