"""How many files a process may have open: room for the pool, and what was there before for the commands."""

from __future__ import annotations

import contextlib
import resource

_FOR_EACH_WORKER = 6
"""Pipe, tickets, pidfd and sentinel, and one that is open while something is looked at."""
_FOR_THE_REST = 256


def make_room(workers: int) -> int:
    """Raise the soft limit, as far as the hard one allows, to what a pool needs; return what it was."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = workers * _FOR_EACH_WORKER + _FOR_THE_REST
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        _set(wanted)
    return soft


def restore(soft: int) -> None:
    """Set the soft limit to what `make_room` found.

    A worker does so before it executes anything: some programs walk through all descriptors that they
    might have, or use select(2), which knows 1024.
    """
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] != soft:
        _set(soft)


def _set(soft: int) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    # Elsewhere than on Linux there are limits above the limit.
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
