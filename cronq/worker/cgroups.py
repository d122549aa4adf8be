"""Control groups: where this process is, and one group for each worker where that was delegated to us.

A process that forked twice, began a session, closed every descriptor and cleared its environment is still
known while its worker or its scheduler lives: it is their descendant. When both were killed, only its control
group tells whose it was; nobody leaves that by accident.

A group for each attempt would cost 0.6 ms each (15 at worst) to move the command into it, and a gap before
that. So a worker moves once, into a group of its own, and all that it starts is born there. It executes one
attempt at a time; when it is dead, the members of its group are what that attempt left.

Only version 2, and only below a group that was delegated (systemd: `Delegate=yes`): others belong to
whoever made them. Sources: cgroups(7); the kernel's cgroup-v2, "Delegation" and `cgroup.kill`; systemd,
"Control Group APIs and Delegation", `user.delegate` and `trusted.delegate`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from cronq import clock
from cronq.store.location import Place

SELF = Path("/proc/self")
_MARKS = ("user.delegate", "trusted.delegate")
_GONE_BOUND_S = 0.2
_LOOK_AGAIN_S = 0.002


class Group(NamedTuple):
    """A control group that a process is in.

    Attributes:
        controllers: Of version 1; empty: version 2.
        folder: Where it is.
        top: The mount point that it lies below.
    """

    controllers: str
    folder: Path
    top: Path


def groups_of(process: Path = SELF) -> Iterator[Group]:
    """Yield the control groups of a process, given as its folder in /proc, that can be seen."""
    try:
        lines = (process / "cgroup").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        mounts = (process / "mountinfo").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        for root, top in _mounts(mounts, controllers):
            if (folder := _within(path, root, top)) is not None:
                yield Group(controllers, folder, top)


def _mounts(lines: list[str], controllers: str) -> Iterator[tuple[str, Path]]:
    """Yield (root, mount point) of the hierarchies with these controllers. Source: proc(5), mountinfo."""
    for line in lines:
        head, _, tail = line.partition(" - ")
        fields, (kind, _, options) = head.split(), tail.split(" ", 2)
        wanted = set(controllers.split(",")) if controllers else set()
        if kind == ("cgroup" if controllers else "cgroup2") and wanted <= set(options.split(",")):
            yield fields[3], Path(fields[4])


def _within(path: str, root: str, top: Path) -> Path | None:
    """Return the folder of a group; None if it lies outside of what is mounted there."""
    if root == "/":
        return top / path.lstrip("/")
    if path == root or path.startswith(f"{root}/"):
        return top / path[len(root) :].lstrip("/")
    return None


def delegated_group() -> Path | None:
    """Return the group of this process, if it is ours to divide."""
    if sys.platform != "linux":
        return None
    for group in groups_of():
        if not group.controllers and group.folder != group.top and _is_delegated(group.folder):
            return group.folder
    return None


def _is_delegated(folder: Path) -> bool:
    if sys.platform == "linux" and os.access(folder, os.W_OK):
        for mark in _MARKS:
            with contextlib.suppress(OSError):
                if os.getxattr(folder, mark) == b"1":
                    return True
    return False


class WorkerGroups:
    """The groups of the workers of one database; without effect where nothing was delegated."""

    def __init__(self, place: Place, base: Path | None) -> None:
        """Describe them.

        Args:
            place: Of the database, whose workers they are; others may live in the same group.
            base: The group that schedulers run in; None: there are none.
        """
        self._base = base
        # The groups of another database lie beside them, and must not be taken for ours.
        self._prefix = f"cronq-{hashlib.sha256(os.fsencode(place.database)).hexdigest()[:12]}-"

    def join(self, worker: str) -> None:
        """Move this process, the worker, into its group."""
        if self._base is None:
            return
        folder = self._folder(self._base, worker)
        with contextlib.suppress(OSError):
            folder.mkdir()
            try:
                (folder / "cgroup.procs").write_text("0", encoding="ascii")
            except OSError:
                folder.rmdir()

    def members(self, worker: str) -> list[int]:
        """Return the processes in a worker's group; it is among them while it lives."""
        if self._base is None:
            return []
        try:
            text = (self._folder(self._base, worker) / "cgroup.procs").read_text(encoding="ascii")
        except OSError:
            return []
        # 0 stands for a process of another namespace.
        return [int(line) for line in text.split() if line != "0"]

    def remove(self, worker: str) -> None:
        """Remove the group of a worker that is gone; one that has members stays."""
        if self._base is not None:
            with contextlib.suppress(OSError):
                self._folder(self._base, worker).rmdir()

    def sweep(self, is_needed: Callable[[str], bool]) -> None:
        """Kill what dead workers left in their groups, and remove these.

        Args:
            is_needed: Tells of a worker whether it lives, or somebody looks after what it left.
        """
        if self._base is None:
            return
        for folder in self._base.glob(f"{self._prefix}*"):
            if not is_needed(folder.name.removeprefix(self._prefix)):
                _end(folder)

    def _folder(self, base: Path, worker: str) -> Path:
        return base / (self._prefix + worker)


def _end(folder: Path) -> None:
    """Kill all processes of a group, however many it forks meanwhile, and remove it."""
    deadline = clock.monotonic() + _GONE_BOUND_S
    while True:
        # Linux 5.14; before, an orderly end of each is left to whoever finds it.
        with contextlib.suppress(OSError):
            (folder / "cgroup.kill").write_text("1", encoding="ascii")
        try:
            folder.rmdir()
        except OSError:
            if clock.monotonic() < deadline and folder.exists():
                clock.sleep(_LOOK_AGAIN_S)
                continue
        return
