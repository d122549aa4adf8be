"""Workers that are told by permits, messages of the wire, when there is something to claim.

A permit that a run was claimed with is kept until the run has ended, and tries the next claim then; one with
which there is nothing to claim is given back. So a message is held where a worker is, never where none is. An
idle worker need not wait for a permit, though: a claim without one takes the run's own message out of its
queue, in the same transaction, which is as good as to fetch it; so what a node launches itself it starts at
once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Protocol

from cronq.clock import Clock
from cronq.database_clock import DatabaseClock
from cronq.model import AttemptKey, Claim
from cronq.worker.base import Report, Trouble
from cronq.worker.shifted import ShiftedPool


class Wire(Protocol):
    """The permits in hand; `cronq.wire.receiver.Receiver`."""

    @property
    def held(self) -> int:
        """Permits in hand, used or not."""

    @property
    def voided(self) -> int:
        """How often all permits in hand became void; what they were used for stays valid."""

    def poll(self, now: float) -> list[Trouble]:
        """Take in what has arrived."""

    def release(self, count: int = 1) -> None:
        """Give so many permits back."""

    def allow(self, most: int) -> None:
        """Let so many be in hand at a time."""

    def stop(self) -> None:
        """Let no further ones come."""

    def deadline(self) -> float | None:
        """Return the monotonic time at which `poll` has to be called again."""


class WiredPool(ShiftedPool):
    """Up to `size` workers, for whom the permits decide.

    Attributes:
        wire: None: they may claim what they can.
        has_declined: It gave back permits of runs that it could have begun with, but for want of workers;
            they need others.
    """

    wire: Wire | None = None
    real: Clock
    database: DatabaseClock

    has_declined = False
    _most = 0
    _offered = 0
    _voided = 0
    _is_leaving = False
    _used: frozenset[AttemptKey] = frozenset()
    _assigned: frozenset[AttemptKey] = frozenset()

    def idle(self, ended: Collection[AttemptKey] = ()) -> list[str]:
        """Return the workers that can take a claim."""
        found = super().idle(ended)
        self._offered = len(found)
        return found

    def fresh(self) -> int:
        """Return how many permits have not been used for a claim yet."""
        assert self.wire is not None
        return max(0, self.wire.held - len(self._used))

    @property
    def capacity(self) -> int:
        """Further attempts that could run now, if workers for them were started."""
        room = super().capacity
        return room if self.wire is None else min(room, self.fresh())

    def assign(self, claim: Claim) -> None:
        """Hand a claim to the worker that it names, with one of the permits if there is one."""
        self._offered -= 1
        self._assigned |= {claim.key}
        if self.wire is None or self.fresh() > 0:
            self._used |= {claim.key}
        super().assign(claim)

    def was_assigned(self, key: AttemptKey) -> bool:
        """Return whether a worker has heard of an attempt whose end was not acknowledged."""
        return key in self._assigned

    def acknowledge(self, keys: Iterable[AttemptKey]) -> None:
        """Say that these ends are in the store; their permits are free."""
        keys = list(keys)
        self._used -= set(keys)
        self._assigned -= set(keys)
        super().acknowledge(keys)

    def recall(self) -> None:
        """Take back what has not begun: no run will be claimed any more, so no permit is of use."""
        super().recall()
        self._is_leaving = True
        if self.wire is not None:
            self.wire.stop()

    def poll(self) -> list[Report]:
        """Return what has happened since the last call."""
        self.offset = self.database.now() - self.real.now()
        reports = super().poll()
        if self.wire is not None:
            reports += self.wire.poll(self.real.monotonic())
            if self.wire.voided != self._voided:
                self._voided, self._used = self.wire.voided, frozenset()
        return reports

    def deadline(self) -> float | None:
        """Return when `poll` must be called; whoever asks is about to wait, so useless permits go back."""
        times = [super().deadline()]
        if self.wire is not None:
            self._give_back(self.wire)
            self._offered = 0
            times.append(self.wire.deadline())
            if self.has_declined:
                times.append(self.real.monotonic())  # whoever puts new ones for them does so in the next turn
        return min((moment for moment in times if moment is not None), default=None)

    def _give_back(self, wire: Wire) -> None:
        room, spare = super().capacity, self.fresh()
        is_full = room == 0 and not self._is_leaving
        # What was begun without a permit leaves room for fewer; said when it matters, not for each run.
        most = room + len(self._used)
        if most == 0 or most > self._most or (is_full and spare):
            self._most = most
            wire.allow(most)
        if self._offered > 0 or room == 0 or self._is_leaving:
            wire.release(spare)
            self.has_declined = self.has_declined or (is_full and spare > 0)
