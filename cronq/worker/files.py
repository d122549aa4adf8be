"""Opening files beside the database, so that nobody slips in others, and those of jobs, without waiting."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from cronq.masking import Masker
from cronq.worker.accounts import Account, rights_of

FOLDER_MODE = 0o700
FILE_MODE = 0o600

_SAFE = os.O_NOFOLLOW | os.O_CLOEXEC


def open_private(path: Path | str, flags: int) -> int:
    """Return a descriptor of a regular file of our own, making its folder if need be.

    A symbolic link in its place is not followed (O_NOFOLLOW), and the descriptor is not inherited by exec.

    Raises:
        OSError: It cannot be opened, or is not a plain file that belongs to this user alone.
    """
    name = os.fspath(path)
    try:
        fd = os.open(name, flags | _SAFE, FILE_MODE)
    except FileNotFoundError:
        if not flags & os.O_CREAT:
            raise
        make_folder(Path(path).parent)
        fd = os.open(name, flags | _SAFE, FILE_MODE)
    if flags & os.O_EXCL:
        return fd  # just made by us
    info = os.fstat(fd)
    if not stat.S_ISREG(info.st_mode) or info.st_uid != os.geteuid() or info.st_nlink > 1:
        os.close(fd)
        raise PermissionError(1, "not a plain file of this user", name)
    return fd


def make_folder(folder: Path) -> None:
    """Make a folder, and what is missing above it, for this user alone.

    `Path.mkdir` gives its mode to the last folder only.
    """
    for missing in reversed([above for above in (folder, *folder.parents) if not above.exists()]):
        missing.mkdir(FOLDER_MODE, exist_ok=True)


def open_input(path: Path, account: Account | None = None) -> int:
    """Return a descriptor of what a job reads from: a file, a device, or a FIFO.

    To open it never waits, not even for somebody who writes into a FIFO; to read from it does. It does not
    become our controlling terminal.

    Args:
        path: Of the file; links are followed.
        account: Whose rights it takes; None: those of this process. A link of theirs leads to no more.

    Raises:
        OSError: It cannot be opened.
    """
    with rights_of(account):
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    os.set_blocking(fd, True)
    return fd


def read_regular(path: Path, max_bytes: int, account: Account | None = None) -> bytes:
    """Return what a regular file contains; see `open_input`.

    Raises:
        OSError: It cannot be read.
        ValueError: It is something else, or too long.
    """
    with os.fdopen(open_input(path, account), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError(f"{path} is not a regular file")
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise ValueError(f"{path} is longer than {max_bytes} bytes")
    return data


def tail_lines(
    path: Path, count: int = 3, max_bytes: int = 4096, masker: Masker | None = None
) -> tuple[str, ...]:
    """Return the last lines of a file that are not blank, oldest first; empty if it cannot be read.

    Args:
        path: A log file, in any encoding; what is not UTF-8 is replaced.
        count: At most so many lines.
        max_bytes: Only so much of the end is looked at, and of a log that was cut the tail is longer; a line
            that begins before it is cut.
        masker: Knows the secret values that it may hold.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | _SAFE)
    except OSError:
        return ()
    try:
        size = os.fstat(fd).st_size
        data = os.pread(fd, max_bytes, max(0, size - max_bytes))
    except OSError:
        return ()
    finally:
        os.close(fd)
    if masker:
        stream = masker.stream(starts_amid=size > max_bytes)
        data = stream.feed(data) + stream.flush()
    lines = [line.rstrip() for line in data.decode("utf-8", "replace").splitlines()]
    return tuple([line for line in lines if line][-count:])
