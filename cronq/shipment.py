"""One log on its way into the ledger: which parts of it, masked, in pieces with their positions.

Of a log that is longer than its limit the head and the tail go, half of the limit each. While it is written
the tail moves on: what is further back than that is left out, or, if it was shipped, may be removed.

A position counts bytes as they are shipped, and those that were left out: where the next piece is further on
than this one is long, that many are missing.
"""

from __future__ import annotations

import os

from cronq.masking import Masker
from cronq.model import AttemptKey, Definition
from cronq.worker.cap import marker
from cronq.worker.reading import Gap, LogReader

SHIPPED = 1024 * 1024
"""Bytes that are shipped of an attempt whose job does not say how many are to be kept."""
PIECE = 64 * 1024
"""Bytes that a piece has at most."""
FOLLOWED = 8 * 1024 * 1024
"""Bytes by which whoever follows may be behind, and so many are there for him besides head and tail."""
_UNSAID = Definition._field_defaults["max_output"]


def limit_of(definition: Definition) -> int:
    """Return how many bytes of an attempt's output are shipped."""
    # Who wrote down just this number gets no more than who wrote none; the definition is the same.
    return SHIPPED if definition.max_output in {None, _UNSAID} else int(definition.max_output or 0)


def jump(at: int, size: int, limit: int, slack: int = 0) -> int:
    """Return where to go on reading a log of this size.

    Args:
        at: Where reading is.
        size: Of the log.
        limit: Bytes to ship of it.
        slack: How many more bytes than the tail may be read before anything is left out.
    """
    head = limit // 2
    tail = limit - head
    return size - tail if at >= head and size - at > tail + slack else at


def pieces_of(data: bytes, position: int) -> list[tuple[int, bytes]]:
    """Return data in pieces, with the position of each."""
    return [(position + start, data[start : start + PIECE]) for start in range(0, len(data), PIECE)]


class Shipment:
    """The way through one log.

    Attributes:
        is_last: Its attempt has ended: what is there now is all.
        is_over: All pieces were taken.
    """

    def __init__(
        self,
        key: AttemptKey,
        fd: int,
        limit: int,
        max_output: int | None,
        masker: Masker,
        *,
        is_followed: bool = False,
    ) -> None:
        """Begin at the front.

        Args:
            key: Of the attempt.
            fd: Of the log; closed with this.
            limit: Bytes to ship.
            max_output: Of the definition.
            masker: Knows the secret values.
            is_followed: It is shipped while it is written.
        """
        self._slack = FOLLOWED if is_followed else 0
        self.key = key
        self.is_last = self.is_over = False
        self._fd = fd
        self._limit = limit
        self._max_output = max_output
        self._reader = LogReader(fd, max_output)
        self._stream = masker.stream()
        self._position = 0
        self._thinned_to = limit // 2

    @property
    def is_in_the_making(self) -> bool:
        """Whether the log has more than is kept of it, and will be cut in a moment."""
        return self._max_output is not None and os.fstat(self._fd).st_size > self._max_output

    def take(self, room: int) -> list[tuple[int, bytes]]:
        """Return the next pieces, of about so many bytes; none, if there is nothing new.

        Raises:
            OSError: The log cannot be read.
        """
        found: list[tuple[int, bytes]] = []
        while room > 0 and not self.is_over:
            at = self._reader.at
            start = jump(at, os.fstat(self._fd).st_size, self._limit, self._slack)
            if start > at:
                found += self._put(self._stream.cut())
                self._position += start - at
                self._reader.seek(start)
            piece = next(self._reader.pieces(), None)
            if piece is None:
                if self.is_last:
                    found += self._put(self._stream.flush())
                    self.is_over = True
                break
            if isinstance(piece, Gap):
                note = f"\n{marker(piece.length, self._max_output or 0)}\n".encode()
                found += self._put(self._stream.cut() + note)
            else:
                head = self._limit // 2
                if at < head < at + len(piece):
                    piece = piece[: head - at]
                    self._reader.seek(head)
                found += self._put(self._stream.feed(piece))
                room -= len(piece)
        return found

    def surplus(self, *, is_watched: bool = True) -> tuple[int, int] | None:
        """Return between which positions pieces were shipped that are not wanted any more, once.

        Args:
            is_watched: Somebody may still be reading what is not wanted for long.
        """
        slack = self._slack if is_watched else 0
        start, end = self._thinned_to, self._position - (self._limit - self._limit // 2) - PIECE - slack
        if end - start < slack // 4 or end < start:
            return None
        self._thinned_to = end + 1
        return (start, end)

    def close(self) -> None:
        """Close the log."""
        os.close(self._fd)

    def _put(self, data: bytes) -> list[tuple[int, bytes]]:
        position, self._position = self._position, self._position + len(data)
        return pieces_of(data, position)
