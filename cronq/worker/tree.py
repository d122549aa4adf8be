"""The processes of an attempt: finding, signalling and naming them.

The command leads its own session and process group. What leaves the group is found as a descendant: orphans
go to the nearest sub-reaper, which is the worker, or the scheduler once the worker is dead.
"""

from __future__ import annotations

import signal
from collections.abc import Callable

from cronq.worker import kernel
from cronq.worker.kernel import ProcessInfo
from cronq.worker.supervision import Order


class ProcessTree:
    """One command and what it started.

    Attributes:
        is_led: The command has not been waited for, so nobody else can have its pid or its group.
    """

    def __init__(self, group: int, find: Callable[[], list[int]]) -> None:
        """Describe a tree.

        Args:
            group: Pid of the command, which is also its process group; 0 if it has none (a callable, which
                is executed in the worker itself).
            find: Returns the pids in question; may contain zombies.
        """
        self._group = group
        self._find = find
        self._told: set[int] = set()
        self.is_led = True

    def members(self) -> list[ProcessInfo]:
        """Return the processes that live; elsewhere than on Linux always empty."""
        found = (kernel.process_info(pid) for pid in self._find())
        return [info for info in found if info is not None and info.state not in {"Z", "X"}]

    def has_members(self) -> bool:
        """Return whether any process lives, once the command itself has been waited for."""
        if kernel.HAS_PROC:
            return bool(self.members())
        return self._group != 0 and kernel.send_group_signal(self._group, 0)

    def names(self) -> tuple[str, ...]:
        """Return the living processes as `pid name`."""
        return tuple(f"{info.pid} {info.name}" for info in self.members())

    def carry_out(self, order: Order) -> None:
        """Send the signals of one step of the ladder."""
        members = self.members()
        if order is Order.KILL_ALL:
            self._signal_group(signal.SIGKILL, members)
            self._signal_each(signal.SIGKILL, members)
        elif order is Order.TERM_GROUP:
            self._signal_group(signal.SIGTERM, members)
            self._signal_group(signal.SIGCONT, members)
            self._told = {info.pid for info in members if info.group == self._group}
        else:
            # A second TERM makes some programs drop what they are about to finish.
            rest = [info for info in members if info.pid not in self._told]
            self._signal_each(signal.SIGTERM, rest)
            self._signal_each(signal.SIGCONT, rest)
            self._told |= {info.pid for info in rest}
            if not kernel.HAS_PROC:
                self._signal_group(signal.SIGTERM, members)

    def _signal_group(self, number: int, members: list[ProcessInfo]) -> None:
        if self._group == 0:
            self._signal_each(number, members)
        elif self.is_led or any(info.group == self._group for info in members) or not kernel.HAS_PROC:
            kernel.send_group_signal(self._group, number)

    def _signal_each(self, number: int, members: list[ProcessInfo]) -> None:
        for info in members:
            kernel.send_signal(info.pid, number, info.start_ticks)
