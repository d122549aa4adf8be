"""Out of memory: whom the kernel is to kill first, and the proof that it killed.

A process that the OOM killer ended and one that somebody killed look the same to their parent: SIGKILL.
What tells them apart is a counter of the kernel: that of our control group, which an attempt shares, or that
of the machine. It is read when an attempt begins, from a descriptor that stays open (1 µs), and again when
one died of SIGKILL.

Sources: cgroup v2, memory.events; cgroup v1, memory.oom_control; proc(5), vmstat and oom_score_adj.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator
from pathlib import Path

from cronq.worker.cgroups import SELF, groups_of

_FIELD = b"oom_kill"
_SCORE = Path("/proc/self/oom_score_adj")
_FORWARD = 500
_MARK_EVERY_S = 0.1
_MOST = 1000


class KillCounter:
    """How many processes were killed for want of memory: in our control group, or on this machine."""

    def __init__(self) -> None:
        """Find the counter, and begin to count."""
        self._fd = _open_counter()
        self._seen = self._read()
        self._marked = -math.inf

    def mark(self, now: float) -> None:
        """Forget what was counted so far, but for the last moment: each attempt asks for it.

        Args:
            now: Monotonic seconds.
        """
        if now >= self._marked + _MARK_EVERY_S:
            self._seen = self._read()
            self._marked = now

    def has_risen(self) -> bool:
        """Return whether somebody was killed since the last look; False where there is no counter."""
        before, self._seen = self._seen, self._read()
        return before is not None and self._seen is not None and self._seen > before

    def close(self) -> None:
        """Stop counting."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _read(self) -> int | None:
        return None if self._fd is None else _value_in(self._fd)


def step_forward() -> None:
    """Let the kernel take this process, and all that it starts, before others; any process may do that."""
    with contextlib.suppress(OSError, ValueError):
        score = int(_SCORE.read_text(encoding="ascii"))
        _SCORE.write_text(str(min(_MOST, score + _FORWARD)), encoding="ascii")


def _open_counter() -> int | None:
    for path in (*counters_of_group(SELF), Path("/proc/vmstat")):
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue
        if _value_in(fd) is not None:
            return fd
        os.close(fd)
    return None


def counters_of_group(process: Path) -> Iterator[Path]:
    """Yield where the counter of a process's control group may be, the best first.

    A group of version 2 in which the memory controller is off has no counter; that of a group above counts
    for it, too.
    """
    for group in groups_of(process):
        if "memory" in group.controllers.split(","):
            yield group.folder / "memory.oom_control"
        elif not group.controllers:
            for folder in (group.folder, *group.folder.parents):
                yield folder / "memory.events"
                if folder == group.top:
                    break


def _value_in(fd: int) -> int | None:
    data = b""
    try:
        # A page at a time: /proc/vmstat may be longer than that.
        while chunk := os.pread(fd, 65536, len(data)):
            data += chunk
    except OSError:
        return None
    for line in data.splitlines():
        name, _, value = line.partition(b" ")
        if name == _FIELD:
            return int(value)
    return None
