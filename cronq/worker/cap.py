"""How the output of an attempt is kept within its cap: purely, from sizes alone.

A log that grows beyond its cap keeps its head and its tail, half of the cap each; the middle is taken out of
the file while the command goes on writing at its end. To look costs next to nothing, but not nothing: so the
next look is due when the command could at the earliest have done harm, and while it is quiet, ever later.
"""

from __future__ import annotations

from typing import NamedTuple

from cronq.sizes import format_size

FASTEST = 2e9
"""Bytes per second that a command may print: what a pipe or the page cache takes on a good machine."""
FIRST_LOOK_S = 0.05
LEAST_S = 0.02
MOST_S = 2.0
INCOMPLETE = "its log may be incomplete: no space was left for it"
"""What the reason of an attempt says, perhaps besides others, whose command may have had writes refused."""
BLOCK = 4096
"""File systems with larger blocks give back those that lie within a hole as a whole."""
_MARKER_ROOM = 128
_CALM = 8
"""A command that printed less than this part of what is left is in no hurry to fill it."""


class Cap(NamedTuple):
    """A number of bytes to keep.

    Attributes:
        limit: `Definition.max_output`.
    """

    limit: int

    @property
    def head(self) -> int:
        """Bytes at the beginning that are kept: whole blocks."""
        return self.limit // 2 // BLOCK * BLOCK

    @property
    def tail(self) -> int:
        """Bytes at the end that are kept, at least."""
        return self.limit - self.head

    @property
    def slack(self) -> int:
        """How much more than the cap there may be: not each block is worth a system call."""
        return self.limit // _CALM

    def cut(self, size: int) -> tuple[int, int] | None:
        """Return which bytes of a finished output are not kept; None: all are.

        What is left, with a marker in between, is within the cap: cutting it once more would change nothing.
        """
        return None if size <= self.limit else (self.head, size - self.tail + _MARKER_ROOM)

    def hole(self, size: int, punched_to: int = 0) -> tuple[int, int] | None:
        """Return which bytes to take out of a file that is still written, whole blocks; None: not yet.

        Args:
            size: Of the file, with what was taken out before.
            punched_to: Where the hole ends that is there already; 0: there is none.
        """
        start, end = max(self.head, punched_to), (size - self.tail) // BLOCK * BLOCK
        return (start, end) if end - start >= self.slack else None

    def room(self, size: int, punched_to: int = 0) -> int:
        """Return how much can be printed until there is something to take out."""
        return max(0, max(self.head, punched_to) + self.slack + self.tail - size)


def next_look_s(*, room: int, free: int, grown: int, waited_s: float) -> float:
    """Return when to look again, seconds from now.

    Args:
        room: What is left until something has to be taken out.
        free: What is free on the file system; never more than half of it is let go by unseen.
        grown: What was printed since the last look.
        waited_s: How long ago that was.
    """
    soonest_s = room / FASTEST
    wait_s = soonest_s if grown * _CALM > room else max(soonest_s, 2 * waited_s)
    return min(max(LEAST_S, min(wait_s, free / 2 / FASTEST)), MOST_S)


def marker(count: int, limit: int, *, at_least: bool = False) -> str:
    """Return the line that stands where something was cut: `[cronq: 9,932 bytes were cut here (…)]`."""
    some = "at least " if at_least else ""
    return f"[cronq: {some}{count:,} bytes were cut here (--max-output {format_size(limit)})]"
