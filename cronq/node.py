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
from cronq.scheduler import Scheduler, Stage, Ticker
from cronq.seat import is_of_this_boot
from cronq.store.postgres.nodes import BEAT_S, LEASE_S
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
        is_deserted: Callable[[str], bool],
    ) -> None:
        """Become a node.

        Args:
            store: Of this process.
            database_clock: Reads the time with each beat.
            trust: Of this seat.
            news: Listens again, with each beat, if it was lost.
            identity: As what to be entered.
            is_deserted: Says whether a seat of this host is empty, and nothing lives there.

        Raises:
            StoreError: The database cannot be used.
        """
        self._store = store
        self._clock = database_clock
        self._trust = trust
        self._news = news
        self._identity = identity
        self._is_deserted = is_deserted
        self._beats = Ticker(BEAT_S, self._beat)
        self._register()

    @property
    def ticker(self) -> Ticker:
        """The beats, for the scheduler's loop."""
        return self._beats

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
        return True

    def _beat(self, scheduler: Scheduler) -> None:
        self._beats.next_at = clock.monotonic() + AGAIN_S  # unless all of it succeeds
        if not self._renew():
            self._begin_anew(scheduler)
            return
        self._beats.next_at = clock.monotonic() + BEAT_S
        self._news.listen()
        if scheduler.stage is Stage.RUNNING:
            self._look_after_others(scheduler)
            self._look_after_own(scheduler)
        now = self._clock.now()
        self._store.send_waiting(now)
        self._store.mend_wire(now)

    def _begin_anew(self, scheduler: Scheduler) -> None:
        scheduler.notice("error", "the lease has ended: what runs here is killed, and this node begins anew")
        for key in scheduler.workers.in_hand():
            scheduler.workers.kill(key)
        self._register()

    def _look_after_others(self, scheduler: Scheduler) -> None:
        own_id = self._store.node.id
        dead = [
            node.id
            for node in self._store.nodes()
            if is_of_this_boot(node) and node.id != own_id and self._is_deserted(node.seat)
        ]
        for held, host in self._store.take_over(dead):
            scheduler.abandon(held.claim, f"the node on {host} is gone")

    def _look_after_own(self, scheduler: Scheduler) -> None:
        """Put back what was claimed by a transaction of which nobody knew that it had succeeded."""
        workers = scheduler.workers
        assert isinstance(workers, WiredPool)
        keys = [held.claim.key for held in self._store.held()]
        # Of those nothing was begun, nor will be: no worker has ever heard of them.
        lost = [key for key in keys if not scheduler.holds(key) and not workers.was_assigned(key)]
        if lost:
            self._store.unclaim(lost, now=self._clock.now())

    def leave(self) -> None:
        """End the membership; where the database cannot be reached, the lease ends by itself."""
        with contextlib.suppress(StoreError):
            self._store.leave()
            # For what this node had a message of, and has not begun.
            self._store.mend_wire(self._clock.now(), unsent_s=0.0)
