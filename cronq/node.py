"""What a node does besides scheduling and executing: it renews its lease, and mends what others have left.

Each beat renews the lease, reads the database's clock, and gives the workers trust until shortly before the
lease ends. A beat that finds the lease lost kills what is in hand, because somebody else may start it again,
and begins as a new node.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, NamedTuple

from cronq import __version__, clock
from cronq.database_clock import DatabaseClock
from cronq.errors import StoreError
from cronq.lost_nodes import LostNodes
from cronq.scheduler import Scheduler, Stage, Ticker
from cronq.seat import Seats, is_of_this_boot
from cronq.store.postgres.nodes import BEAT_S, LEASE_S, Charge
from cronq.worker.base import shifted
from cronq.worker.caretaker import evict
from cronq.worker.left_ends import end_file, read_left_end
from cronq.worker.wired import WiredPool

if TYPE_CHECKING:
    from collections.abc import Callable

    from cronq.store.postgres.news import News
    from cronq.store.postgres.store import PostgresStore
    from cronq.worker.trust import TrustFile

MARGIN_S = 2.0
"""What runs is dead so long before the lease ends, by the clock of a host that is cut off."""
AGAIN_S = 1.0
"""After a beat that failed; the lease has room for several."""


class Identity(NamedTuple):
    """As what a node enters itself."""

    host: str
    boot_id: str
    seat: str
    fires: bool
    slots: int
    queues: tuple[str, ...] | None


class Membership:
    """One node's place among the others, from its registration to its leave."""

    def __init__(
        self,
        store: PostgresStore,
        database_clock: DatabaseClock,
        trust: TrustFile,
        news: News,
        identity: Identity,
        seats: Seats,
    ) -> None:
        """Become a node.

        Args:
            store: Of this process.
            database_clock: Reads the time with each beat.
            trust: Of this seat.
            news: Listens again, with each beat, if it was lost.
            identity: As what to be entered.
            seats: Of this host.

        Raises:
            StoreError: The database cannot be used.
        """
        self._store = store
        self._clock = database_clock
        self._trust = trust
        self._news = news
        self._identity = identity
        self._seats = seats
        self._beats = Ticker(BEAT_S, self._beat)
        self._lost = LostNodes(LEASE_S)
        self._renewed_at = 0.0
        self._register()

    def tickers(self) -> list[Ticker]:
        """Return what the scheduler's loop has to do for it: the beats, and looking after others."""
        return [self._beats, Ticker(BEAT_S / 2, self.kept(self._look_after_others))]

    def kept(self, action: Callable[[Scheduler], None]) -> Callable[[Scheduler], None]:
        """Return an action before which the lease is renewed, if that is due.

        Each may wait for seconds until somebody lets a table go, and all of them together for longer than
        the lease is.
        """

        def keep_and_act(scheduler: Scheduler) -> None:
            if clock.monotonic() >= self._renewed_at + BEAT_S:
                self._keep(scheduler)
            action(scheduler)

        return keep_and_act

    def _register(self) -> None:
        own = self._identity
        self._store.register(
            host=own.host,
            boot_id=own.boot_id,
            seat=own.seat,
            pid=os.getpid(),
            fires=own.fires,
            slots=own.slots,
            queues=own.queues,
            version=__version__,
        )
        place = self._seats.find(own.seat)
        if place is not None:
            evict(place, {held.claim.key for held in self._store.held()})
        # The statement may have waited for its turn; the next one does not.
        self._renew()

    def _renew(self) -> bool:
        """Renew the lease, and with it trust and time; return False if this node was given up meanwhile."""
        asked, asked_ns = clock.monotonic(), clock.boottime_ns()
        now = self._store.beat()
        if now is None:
            return False
        self._clock.note(now, asked, clock.monotonic())
        # From before the question: the lease runs from some instant after it.
        self._trust.extend(asked_ns + round((LEASE_S - MARGIN_S) * 1e9))
        self._renewed_at = asked
        return True

    def _keep(self, scheduler: Scheduler) -> None:
        if not self._renew():
            self._begin_anew(scheduler)

    def _beat(self, scheduler: Scheduler) -> None:
        self._beats.next_at = clock.monotonic() + AGAIN_S  # unless all of it succeeds
        self._keep(scheduler)
        self._beats.next_at = clock.monotonic() + BEAT_S
        self._news.listen()
        if scheduler.stage is Stage.RUNNING:
            self._look_after_charges(scheduler)
        now = self._clock.now()
        self._store.send_waiting(now)
        self._store.mend_wire(now)

    def _begin_anew(self, scheduler: Scheduler) -> None:
        scheduler.notice("error", "the lease has ended: what runs here is killed, and this node begins anew")
        for key in scheduler.workers.in_hand():
            scheduler.workers.kill(key)
        self._register()

    def _look_after_others(self, scheduler: Scheduler) -> None:
        if scheduler.stage is not Stage.RUNNING:
            return
        others = self._store.others()
        lost = self._lost.look(((node.id, node.beat_at) for node in others), clock.boottime_ns())
        # Of this host the kernel knows more, and at once.
        dead = [
            node
            for node in others
            if node.id in lost or (is_of_this_boot(node) and self._seats.is_deserted(node.seat))
        ]
        if self._store.take_over(dead):
            self._look_after_charges(scheduler)

    def _look_after_charges(self, scheduler: Scheduler) -> None:
        """End what lost nodes had in hand; put back what was claimed without anybody's knowledge."""
        workers = scheduler.workers
        assert isinstance(workers, WiredPool)
        lost = []
        for charge in self._store.charges():
            claim = charge.held.claim
            if scheduler.holds(claim.key) or workers.was_assigned(claim.key):
                continue
            if workers.has_named(claim.worker):
                # By a transaction of which nobody knew that it had succeeded: no worker has ever heard of it.
                lost.append(claim.key)
            else:
                self._end(charge, scheduler, workers)
        if lost:
            self._store.unclaim(lost, now=self._clock.now())

    def _end(self, charge: Charge, scheduler: Scheduler, workers: WiredPool) -> None:
        """End an attempt of a lost node, as its worker says in a file if that is on this host."""
        claim = charge.held.claim
        place = None if charge.seat is None else self._seats.find(charge.seat)
        with contextlib.suppress(OSError):
            left = None if place is None else read_left_end(end_file(place, claim.key))
            if left is not None:
                scheduler.conclude(claim, shifted(left, workers.offset))
                return
        scheduler.abandon(claim, f"the node on {charge.host} is gone")

    def leave(self) -> None:
        """End the membership; where the database cannot be reached, the lease ends by itself."""
        with contextlib.suppress(StoreError):
            self._store.leave()
            # For what this node had a message of, and has not begun.
            self._store.mend_wire(self._clock.now(), unsent_s=0.0)
