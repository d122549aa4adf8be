"""What a process costs, as the kernel counts it (Linux: /proc)."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import NamedTuple

from tests.crash.program import descendants

MIB = 1024 * 1024
_TICKS_S = os.sysconf("SC_CLK_TCK")


class Cost(NamedTuple):
    """One look at a process.

    Attributes:
        rss: Resident memory in bytes, pages shared with others included.
        private: The part of it that nobody shares.
        descriptors: How many it has open.
        cpu_s: Processor time since its start.
    """

    rss: int
    private: int
    descriptors: int
    cpu_s: float


def cost_of(pid: int) -> Cost:
    """Look at a process. Raises: OSError: It is gone."""
    folder = Path(f"/proc/{pid}")
    sizes = {"Rss": 0, "Private_Clean": 0, "Private_Dirty": 0}
    for line in (folder / "smaps_rollup").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name in sizes:
            sizes[name] = int(rest.split()[0]) * 1024
    fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
    return Cost(
        sizes["Rss"],
        sizes["Private_Clean"] + sizes["Private_Dirty"],
        len(list((folder / "fd").iterdir())),
        (int(fields[11]) + int(fields[12])) / _TICKS_S,
    )


def descendants_cpu_s(pid: int) -> float:
    """Return the processor time of a process and all that it started and that still lives."""
    total = 0.0
    for one in [pid, *descendants(pid)]:
        with contextlib.suppress(OSError):
            total += cost_of(one).cpu_s
    return total
