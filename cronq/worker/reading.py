"""Reading a log front to back, also while it is written, and while its middle is taken out.

A log beyond its cap has a hole until its attempt is over (`cronq.worker.output`). A hole reads as zeros, and
one may appear under the reader; so the file system is asked where data are, before and after each read
(lseek(2), SEEK_DATA and SEEK_HOLE).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from typing import NamedTuple

from cronq.worker.cap import Cap

_CHUNK = 65_536
_KNOWS_HOLES = hasattr(os, "SEEK_HOLE")


class Gap(NamedTuple):
    """So many bytes are missing here.

    Attributes:
        host: Where they may still be; None: they were cut.
    """

    length: int
    host: str | None = None


class LogReader:
    """A position in a log."""

    def __init__(self, fd: int, limit: int | None) -> None:
        """Begin at the front.

        Args:
            fd: The file; the caller closes it.
            limit: `Definition.max_output`; only a log beyond it may have holes of ours.
        """
        self._fd = fd
        self._limit = limit
        self._at = 0

    @property
    def at(self) -> int:
        """The position."""
        return self._at

    def seek(self, at: int) -> None:
        """Move to a position."""
        self._at = at

    def pieces(self) -> Iterator[bytes | Gap]:
        """Yield what there is from the position to the present end; call again when there may be more."""
        while True:
            size = self._size()
            if size < self._at:
                # Where holes cannot be made, all behind the head is cut off; what then follows says so.
                self._at = min(size, Cap(self._limit).head if self._limit else 0)
            if self._at >= size:
                return
            start = self._data_from(self._at, size)
            if start > self._at:
                missing, self._at = Gap(start - self._at), start
                yield missing
                continue
            data = os.pread(self._fd, min(_CHUNK, self._hole_from(start, size) - start), start)
            if not data:
                return
            # What has become a hole meanwhile may have been read as zeros.
            size = self._size()
            if self._data_from(start, size) != start:
                continue
            data = data[: self._hole_from(start, size) - start]
            self._at += len(data)
            yield data

    def seek_last_lines(self, count: int) -> None:
        """Move to where the last lines begin, reading from the end: a log may be large.

        If the tail behind a hole has fewer lines, move to the hole.
        """
        size = self._size()
        hole, floor = self._last_hole(size)
        if count == 0:
            self._at = size
            return
        position, newlines = size, 0
        while position > floor:
            length = min(_CHUNK, position - floor)
            position -= length
            block = os.pread(self._fd, length, position)
            if position + length == size and block.endswith(b"\n"):
                newlines -= 1  # the one that ends the last line begins none
            found = block.count(b"\n")
            if newlines + found >= count:
                at = len(block)
                for _ in range(count - newlines):
                    at = block.rindex(b"\n", 0, at)
                self._at = position + at + 1
                return
            newlines += found
        self._at = hole

    def _last_hole(self, size: int) -> tuple[int, int]:
        """Return where the last hole begins and ends; (0, 0) if there is none."""
        found, at = (0, 0), 0
        while (start := self._hole_from(at, size)) < size:
            at = self._data_from(start, size)
            found = (start, at)
        return found

    def _size(self) -> int:
        return os.fstat(self._fd).st_size

    def _data_from(self, at: int, size: int) -> int:
        """Return where the first data are at or after a position; the size, if there are none."""
        if not self._may_have_holes(size):
            return at
        try:
            return os.lseek(self._fd, at, os.SEEK_DATA)
        except OSError as error:
            return size if error.errno == errno.ENXIO else at  # ENXIO: there are none

    def _hole_from(self, at: int, size: int) -> int:
        """Return where the first hole is at or after a position; the size, if there is none."""
        if not self._may_have_holes(size):
            return size
        try:
            return os.lseek(self._fd, at, os.SEEK_HOLE)
        except OSError:
            return size

    def _may_have_holes(self, size: int) -> bool:
        return _KNOWS_HOLES and self._limit is not None and size > self._limit
