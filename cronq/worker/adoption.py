"""Attempts without a worker of ours: inherited from a killed worker, or begun by an earlier scheduler.

Each is watched by an object that is stepped whenever something may have changed, and that at last returns how
the attempt ended. What can be known of the end:

=====================================  ==============================================================
the worker was killed (ours)           all of it: the scheduler is the sub-reaper and waits for the command
scheduler died, worker lives           all of it: the worker records it itself
both died, the command lives           when it ends, not how: `abandoned`, reason `exit status unknown`
=====================================  ==============================================================
"""

from __future__ import annotations

from typing import Protocol

from cronq.clock import Clock
from cronq.model import AttemptEnd, AttemptKey, Claim, Micros, Outcome
from cronq.store.location import Place
from cronq.worker import endings, kernel, liveness
from cronq.worker.cgroups import WorkerGroups
from cronq.worker.endings import Begun
from cronq.worker.supervision import Supervision
from cronq.worker.tree import ProcessTree

LOOK_AGAIN_S = 1.0
"""How often to look at what gives no sign of its own."""
SEARCH_AGAIN_S = 0.02
"""How often to look for what must be there in a moment."""


class Adoption(Protocol):
    """An attempt that is watched without a worker."""

    @property
    def key(self) -> AttemptKey:
        """The attempt."""

    @property
    def worker(self) -> str:
        """The worker that began with it."""

    @property
    def pid(self) -> int:
        """The child of this process that it waits for; 0 if there is none."""

    def fds(self) -> list[int]:
        """Return descriptors that become readable when `step` has something to do."""

    def deadline(self) -> float | None:
        """Return when to step it because of time, monotonic."""

    def step(self) -> AttemptEnd | None:
        """Do what is due; return the end when it is over."""

    def stop(self, reason: str, *, at_once: bool) -> None:
        """Begin the ladder, or go to its last step."""

    def drop(self, fd: int) -> None:
        """Close one of `fds`, which was readable and has told what it can; `step` follows."""

    def close(self) -> None:
        """Let go of it."""


def carry_on_ladder(watch: Supervision, tree: ProcessTree, hint: liveness.Hint | None, now: float) -> bool:
    """Watch over a command that is no child of ours: its time limit, and what it leaves behind.

    Returns:
        Whether anything was done.
    """
    tree.is_led = hint is not None and liveness.is_same_process(hint)
    # Without /proc, or a hint, nobody knows whether the command lives or only what it left.
    if kernel.HAS_PROC and hint is not None and liveness.is_gone(hint) and tree.has_members():
        watch.exited(now, leftovers=True)
    acted = False
    while (order := watch.step(now)) is not None:
        tree.carry_out(order)
        acted = True
    return acted


def members_of(
    place: Place, key: AttemptKey, worker: str, leader: int, groups: WorkerGroups | None
) -> list[int]:
    """Return the processes of an attempt whose worker is dead, as far as anybody can know.

    Args:
        place: Where the locks are.
        key: The attempt.
        worker: That began with it.
        leader: Pid of the command, which leads a session; 0 if there is none.
        groups: None: what is in the worker's group is not of this attempt.
    """
    found = [
        info.pid
        for info in kernel.all_processes()
        if (leader and info.session == leader) or liveness.is_of_attempt(place, key, worker, info.pid)
    ]
    grouped = [] if groups is None else groups.members(worker)
    return [*found, *(pid for pid in grouped if pid not in found)]


def end_never_started(claim: Claim, now: Micros) -> AttemptEnd:
    """Return the end of an attempt whose worker died before it started anything; the run is free again."""
    # At once the first time; but a run that fells each worker must not do so a hundred times a second.
    delay_s = 0.0 if claim.run.attempt <= 1 else endings.free_delay_s(claim.run.attempt)
    return endings.end_for_free(
        claim, Outcome.ABANDONED, "worker killed before the start", now=now, delay_s=delay_s
    )


def begun_from_hint(hint: liveness.Hint, clock: Clock) -> Begun:
    """Return when the process of a hint was started, by the wall clock as it is now."""
    age_s = max(0.0, clock.monotonic() - hint.monotonic)
    return Begun(clock.now() - round(age_s * 1_000_000), hint.monotonic, hint.pid)
