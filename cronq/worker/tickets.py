"""Who has a claim that waits for a busy worker: the worker, or the scheduler, which wants it back.

For each such claim one byte lies in a pipe that both can read. Whoever reads it has the claim: the kernel
gives it to one of them alone, whatever the other is doing, also if it hangs or was stopped. If the scheduler
dies the byte stays; the worker begins with nothing more (`Inbox.next`).
"""

from __future__ import annotations

import fcntl
import os
import termios
from multiprocessing.connection import Connection

_NUMBERS = 256


class TicketBox:
    """The scheduler's side, for one worker and one claim at a time.

    Attributes:
        reader: For the worker.
        number: Of the ticket that is laid down next.
    """

    def __init__(self) -> None:
        """Make the pipe. Raises: OSError."""
        reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.reader: Connection[int, int] = Connection(reader, writable=False)
        self.number = 0

    def offer(self) -> int:
        """Lay a ticket down, and return its number; the one before must be gone (`is_lying`).

        Of two, `take_back` would take the older one, and the worker begin with what was taken back.
        """
        number, self.number = self.number, (self.number + 1) % _NUMBERS
        os.write(self._writer, bytes((number,)))
        return number

    def is_lying(self) -> bool:
        """Return whether the last ticket is still there: nobody has taken it, nor was it taken back."""
        waiting = bytearray(4)
        fcntl.ioctl(self.reader.fileno(), termios.FIONREAD, waiting)
        return any(waiting)

    def take_back(self) -> bool:
        """Return whether the ticket was still there; then the worker will not begin."""
        return _read(self.reader.fileno()) is not None

    def close(self) -> None:
        """Release the pipe."""
        self.reader.close()
        os.close(self._writer)


class TicketReader:
    """The worker's side."""

    def __init__(self, reader: Connection[int, int]) -> None:
        self._reader = reader
        self._held: int | None = None

    def take(self, number: int) -> bool:
        """Return whether this process has the claim with this ticket now."""
        if self._held is None:
            self._held = _read(self._reader.fileno())
        if self._held != number:
            return False  # taken back; a later one, if it lies there already, is kept for its claim
        self._held = None
        return True


def _read(fd: int) -> int | None:
    try:
        data = os.read(fd, 1)
    except BlockingIOError:
        return None
    return data[0] if data else None
