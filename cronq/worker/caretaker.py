"""Kills what is left in a node's seat when the trust ends, and nobody else is there to kill it.

A worker kills its own attempt then, and a node what a dead worker has left. But if the worker is dead or
stopped, and the node too, a command would go on while its run is begun again elsewhere. So each seat has one
process more, which holds a lock, outlives its nodes, and goes when nobody sits and nothing lives there.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Collection

from cronq import clock
from cronq.model import AttemptKey
from cronq.store.location import Place
from cronq.worker import kernel, liveness
from cronq.worker.adoption import carry_on_ladder, members_of
from cronq.worker.cgroups import WorkerGroups, delegated_group
from cronq.worker.launching import WorkerProcess, start_fork_server
from cronq.worker.supervision import GIVE_UP_S, KILL_AGAIN_S, Supervision
from cronq.worker.tree import ProcessTree
from cronq.worker.trust import GRACE_S, HANGS_S, LOOK_S, LOST, Trust, look_again_s

_IGNORED = (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
"""What a terminal sends to all that it has."""


def provide(place: Place) -> None:
    """See to it that a seat has a caretaker.

    Raises:
        OSError: There is no room for another process.
    """
    if liveness.is_locked(place.caretaker):
        return
    start_fork_server()
    process = WorkerProcess(target=_take_care, args=(place,), name="caretaker")
    try:
        process.start()
    except EOFError as error:
        raise OSError("the fork server is gone") from error
    process.release()


def evict(place: Place, spared: Collection[AttemptKey]) -> None:
    """Kill what lives in a seat of attempts that its node has lost, and others may begin with again.

    Before the node is trusted anew; or it would go on with them, unseen, if all of it stood still meanwhile.
    """
    groups = WorkerGroups(place, delegated_group())
    wards = {worker: _Ward(place, worker, groups) for worker in _strangers(place, spared)}
    give_up = clock.monotonic() + GIVE_UP_S
    while wards and (now := clock.monotonic()) < give_up:
        for ward in wards.values():
            ward.step(now, 0.0, is_late=True)
        clock.sleep(min(KILL_AGAIN_S, 0.005))
        living = _strangers(place, spared)
        wards = {worker: ward for worker, ward in wards.items() if worker in living}


def _strangers(place: Place, spared: Collection[AttemptKey]) -> list[str]:
    """Return the workers of which something lives that is of none of these attempts."""
    found = ((worker, liveness.last_attempt(place, worker)) for worker in liveness.busy_workers(place))
    return [worker for worker, hint in found if hint is not None and hint.key not in spared]


def _take_care(place: Place) -> None:
    # Whoever kills the node with its process group shall not hit it.
    with contextlib.suppress(PermissionError):
        os.setpgid(0, 0)
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    try:
        liveness.take_lock(place.caretaker)  # held until the process ends
    except OSError:
        return  # there is one
    caretaker = Caretaker(place)
    while (wait_s := caretaker.look()) is not None:
        clock.sleep(wait_s)


class Caretaker:
    """Looks after one seat."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._trust = Trust(place.trust)
        self._groups = WorkerGroups(place, delegated_group())
        self._wards: dict[str, _Ward] = {}

    def look(self) -> float | None:
        """Do what is due; return after how many seconds to look again, None if nobody is left."""
        is_taken = liveness.is_locked(self._place.lock)
        if not is_taken and liveness.is_deserted(self._place):
            return None
        left_s = self._trust.left_s()
        # A node that lives begins the ladder itself, and a second TERM is too many.
        if left_s > (0.0 if is_taken else GRACE_S):
            self._wards.clear()
            return min(left_s, LOOK_S) if is_taken else look_again_s(left_s)
        # A worker that lives is given the time in which it kills its attempt.
        is_late = left_s <= -HANGS_S
        living = set() if is_late else set(liveness.living_workers(self._place))
        found = [worker for worker in liveness.busy_workers(self._place) if worker not in living]
        self._wards = {worker: self._wards.get(worker) or self._ward(worker) for worker in found}
        now = clock.monotonic()
        for ward in self._wards.values():
            ward.step(now, left_s, is_late=is_late)
        is_done = is_late and all(ward.is_over for ward in self._wards.values())
        return LOOK_S if is_done else KILL_AGAIN_S

    def _ward(self, worker: str) -> _Ward:
        return _Ward(self._place, worker, self._groups)


class _Ward:
    """What a worker has begun, and nobody else looks after."""

    def __init__(self, place: Place, worker: str, groups: WorkerGroups) -> None:
        self._place = place
        self._worker = worker
        self._groups = groups
        self._hint: liveness.Hint | None = None
        self._watch = Supervision(0.0, timeout_s=None, kill_after_s=GRACE_S)
        self._tree = ProcessTree(0, self._members)

    @property
    def is_over(self) -> bool:
        """Whether nothing more can be done."""
        return self._watch.is_over

    def step(self, now: float, left_s: float, *, is_late: bool) -> None:
        """Climb the ladder; a worker that is still there when it is late goes last."""
        if self._hint is None or self._hint.pid == 0:
            self._hint = liveness.last_attempt(self._place, self._worker)
            self._tree = ProcessTree(0 if self._hint is None else self._hint.pid, self._members)
        self._watch.distrust(LOST, now, left_s)
        carry_on_ladder(self._watch, self._tree, self._hint, now)
        worker = self._living_worker() if is_late else None
        if worker is not None and not self._tree.has_members():
            # Not before: what is below it would be nobody's then, and harder to find.
            kernel.send_signal(worker.pid, signal.SIGKILL, worker.start_ticks)

    def _members(self) -> list[int]:
        hint, worker = self._hint, self._living_worker()
        found = [] if worker is None else kernel.descendants_of(worker.pid)
        if hint is not None and hint.key is not None:
            found += members_of(self._place, hint.key, self._worker, hint.pid, self._groups)
        return [pid for pid in dict.fromkeys(found) if worker is None or pid != worker.pid]

    def _living_worker(self) -> liveness.Hint | None:
        hint = liveness.worker_hint(self._place, self._worker)
        return hint if hint is not None and liveness.is_same_process(hint) else None
