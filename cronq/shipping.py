"""A node's part in making output readable from everywhere: it ships the logs of its host into the ledger.

A log is shipped when its attempt has ended, after the end is in the ledger; while the attempt runs only as
long as somebody follows it. What a log needs of the ledger is one statement a turn at most, of `ROOM` bytes,
for as many attempts as fit. If that fails it is tried again, and nothing else waits for it.

Dies: at any line. The ledger knows which attempts of a host are not shipped, and the next node that takes the
seat looks after them.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from cronq.clock import Clock
from cronq.errors import CronqError, DefinitionUnreadable, StoreBusy, StoreUnreachable
from cronq.model import AttemptEnd, AttemptKey, AttemptStart, Claim, Definition, Outcome, Run
from cronq.scheduler import Scheduler, Ticker
from cronq.shipment import Shipment, limit_of
from cronq.store.location import Place
from cronq.worker.environment import secrets_now
from cronq.worker.spool import open_log

if TYPE_CHECKING:
    from cronq.store.postgres.outputs import Shippable
    from cronq.store.postgres.store import PostgresStore

ROOM = 256 * 1024
"""Bytes of one statement, about."""
MOST_AT_ONCE = 100
"""Attempts of one statement."""
MOST_WAITING = 10_000
"""Attempts that are remembered; the ledger knows of further ones."""
SOON_S = 0.1
"""After an end, so that one statement does for many."""
FOLLOW_EVERY_S = 1.0
THIN_AFTER_S = 5.0
"""After the end: so long those who followed may read what is not kept."""
LOOK_EVERY_S = 5.0
"""How often to look for those who follow, on turns that come anyway; usually they are heard."""
FIND_EVERY_S = 600.0
"""How often to look in the ledger for what was not shipped."""
AGAIN_S = 5.0
"""After a failure."""
FINISH_S = 5.0
"""How long the end of a node may be held up by what it has to ship."""
_CUT_WITHIN_S = 5.0
"""A log that is to be cut is shipped when that is done, or after so long."""
_TRIES = 3
_PAGE = 100


class _Waiting(NamedTuple):
    """A log to be shipped."""

    key: AttemptKey
    worker: str
    definition: Definition
    place: Place
    since: float
    is_anew: bool
    """Something may have been shipped of it."""


class _Batch(NamedTuple):
    """What one statement puts.

    Attributes:
        anew: Attempts of which something else may be there, which is removed before.
        surplus: Attempts with positions between which pieces are removed after.
    """

    pieces: list[tuple[AttemptKey, tuple[int, bytes]]]
    over: list[AttemptKey]
    anew: list[AttemptKey]
    surplus: list[tuple[AttemptKey, int, int]]
    tries: int = 0


class Shipping:
    """Ships what the attempts of one node print; hears of their ends as a watcher of the scheduler."""

    def __init__(
        self,
        store: PostgresStore,
        host: str,
        seats: Callable[[], Mapping[str, Place]],
        own: Place,
        clock: Clock,
        environ: Mapping[str, str],
    ) -> None:
        """Ship for a node.

        Args:
            store: Of the node.
            host: By which name attempts know it.
            seats: Gives the seats of this host whose logs nobody else looks after, by name.
            own: The seat of the node.
            clock: For its monotonic time.
            environ: The node's, for the values of secrets.
        """
        self._store = store
        self._host = host
        self._seats = seats
        self._own = own
        self._clock = clock
        self._environ = environ
        self._waiting: deque[_Waiting] = deque()
        self._live: dict[AttemptKey, Shipment] = {}
        self._followed: frozenset[AttemptKey] = frozenset()
        self._ending: deque[Shipment] = deque()
        self._anew: list[AttemptKey] = []
        self._unwanted: deque[tuple[float, AttemptKey, int, int]] = deque()
        self._batch: _Batch | None = None
        self._unsearched: deque[tuple[str, Place, AttemptKey]] = deque()
        self._find_at = self._follow_at = self._retry_at = clock.monotonic()
        self.ticker = Ticker(LOOK_EVERY_S, self._act, wakes=False)

    # What the scheduler says

    def launched(self, runs: Sequence[Run], definition_of: Callable[[int, int], Definition]) -> None:
        """Do nothing: nothing was printed yet."""

    def started(self, claim: Claim, start: AttemptStart) -> None:
        """Do nothing: nothing was printed yet."""

    def ended(self, claim: Claim, end: AttemptEnd, after: Run) -> None:  # noqa: ARG002 - see Watcher
        """Take note of what is to be shipped; to be called when the end is in the ledger."""
        key, now = end.key, self._clock.monotonic()
        followed = self._live.pop(key, None)
        if followed is not None:
            followed.is_last = True
            self._ending.append(followed)
        elif not os.path.lexists(self._own.log_file(*key)):
            if end.outcome is Outcome.ABANDONED:
                self._find_at = min(self._find_at, now + AGAIN_S)  # it may have been another seat's
            return
        elif len(self._waiting) < MOST_WAITING:
            self._waiting.append(_Waiting(key, claim.worker, claim.definition, self._own, now, is_anew=False))
        else:
            self._find_at = now + AGAIN_S
        self._wake(now + SOON_S)

    def hear(self, word: str) -> None:
        """Take note of what those who listen are told."""
        if word == "follow":
            self._follow_at = self._clock.monotonic()
            self._wake(self._follow_at)

    def finish(self) -> None:
        """Ship what is there, at the end of a node, but not for long."""
        ends = self._clock.monotonic() + FINISH_S
        while self._has_work() and self._retry_at <= self._clock.monotonic() < ends:
            self._step(is_leaving=True)

    def close(self) -> None:
        """Let go of all logs."""
        for shipment in (*self._live.values(), *self._ending):
            shipment.close()
        self._live.clear()
        self._ending.clear()

    # Turns

    def _wake(self, at: float) -> None:
        at = max(at, self._retry_at)
        self.ticker.next_at = min(self.ticker.next_at, at) if self.ticker.wakes else at
        self.ticker.wakes = True

    def _has_work(self) -> bool:
        return bool(self._batch or self._ending or self._waiting)

    def _act(self, scheduler: Scheduler) -> None:
        now = self._clock.monotonic()
        if now < self._retry_at or scheduler.is_in_trouble:
            # It finds out by itself when the ledger is back.
            self._wake(max(self._retry_at, now + FOLLOW_EVERY_S))
            return
        self.ticker.wakes = False
        try:
            self._thin(now)
            self._find(now)
            if scheduler.workers.busy:
                self._look_who_follows(now)
        except CronqError:
            self._retry_at = self._find_at = now + AGAIN_S
            self._unsearched.clear()
            self._wake(self._retry_at)
            return
        if self._step():
            self._wake(now)
        elif self._has_work():
            self._wake(now + SOON_S)
        elif self._unsearched:
            self._wake(now)
        elif self._followed:
            self._wake(now + FOLLOW_EVERY_S)
        if self._unwanted:
            self._wake(self._unwanted[0][0])

    def _step(self, *, is_leaving: bool = False) -> bool:
        """Put one batch; return whether there may be another one at once."""
        batch = self._batch or self._collected(is_leaving=is_leaving)
        if batch is None:
            return False
        try:
            for key in batch.anew:
                self._store.clear_output(key)
            known = self._store.ship(batch.pieces, batch.over) if batch.pieces or batch.over else set()
            for key, start, end in batch.surplus:
                self._store.thin_output(key, start, end)
        except CronqError as error:
            self._retry_at = self._clock.monotonic() + AGAIN_S
            is_passing = isinstance(error, StoreBusy | StoreUnreachable)
            self._keep(batch if is_passing else batch._replace(tries=batch.tries + 1))
            return False
        pieces = [piece for piece in batch.pieces if piece[0] not in known]
        self._keep(_Batch(pieces, [key for key in batch.over if key not in known], [], [], batch.tries + 1))
        return self._batch is None

    def _keep(self, batch: _Batch) -> None:
        """Keep what could not be put; given up where the attempt is gone, which cannot be told from busy."""
        is_lost = batch.tries >= _TRIES or not (batch.pieces or batch.over or batch.anew)
        self._batch = None if is_lost else batch

    # What to put

    def _collected(self, *, is_leaving: bool) -> _Batch | None:
        batch = _Batch([], [], self._anew, [])
        self._anew = []
        room = ROOM
        for shipment in [self._live[key] for key in sorted(self._followed & self._live.keys())]:
            room -= self._take(shipment, batch, room)
        while room > 0 and len(batch.over) < MOST_AT_ONCE:
            if not self._ending and not self._open_next(batch, is_leaving=is_leaving):
                break
            shipment = self._ending[0]
            room -= self._take(shipment, batch, room)
            if shipment.is_over:
                self._ending.popleft().close()
                batch.over.append(shipment.key)
                surplus = shipment.surplus(is_watched=False)
                if surplus is not None:
                    self._unwanted.append((self._clock.monotonic() + THIN_AFTER_S, shipment.key, *surplus))
        return batch if batch.pieces or batch.over or batch.anew else None

    def _take(self, shipment: Shipment, batch: _Batch, room: int) -> int:
        try:
            pieces = shipment.take(room)
        except OSError:
            shipment.is_over = True  # there is no more to be had of it
            return 0
        batch.pieces.extend((shipment.key, piece) for piece in pieces)
        surplus = shipment.surplus()
        if surplus is not None:
            batch.surplus.append((shipment.key, *surplus))
        return sum(len(data) for _, data in pieces)

    def _open_next(self, batch: _Batch, *, is_leaving: bool) -> bool:
        """Begin with the first log that waits and is ready; return whether there is one."""
        for _ in range(len(self._waiting)):
            waiting = self._waiting.popleft()
            shipment = self._opened(waiting)
            if shipment is None:
                continue
            is_late = is_leaving or self._clock.monotonic() - waiting.since >= _CUT_WITHIN_S
            if shipment.is_in_the_making and not is_late:
                shipment.close()
                self._waiting.append(waiting)
                continue
            if waiting.is_anew:
                batch.anew.append(waiting.key)
            shipment.is_last = True
            self._ending.append(shipment)
            return True
        return False

    def _opened(self, waiting: _Waiting, *, is_followed: bool = False) -> Shipment | None:
        try:
            _, fd = open_log(waiting.place, waiting.key, waiting.worker)
        except OSError:
            return None
        if fd is None:
            return None
        definition = waiting.definition
        masker, limit = secrets_now(definition, self._environ), limit_of(definition)
        key, max_output = waiting.key, definition.max_output
        return Shipment(key, fd, limit, max_output, masker, is_followed=is_followed)

    # What the ledger knows

    def _find(self, now: float) -> None:
        """Look in the ledger for logs of this host that were not shipped, a page a turn."""
        if now >= self._find_at:
            self._unsearched.extend((name, place, (0, 0)) for name, place in self._seats().items())
            self._find_at = now + FIND_EVERY_S
        if not self._unsearched or self._has_work():
            return
        name, place, after = self._unsearched[0]
        page = self._store.unshipped(self._host, name, after=after, limit=_PAGE)
        self._unsearched.popleft()
        if len(page) == _PAGE:
            self._unsearched.appendleft((name, place, page[-1].key))
        gone = [one.key for one in page if not self._remember(one, place, now)]
        if gone:
            self._store.ship([], gone)

    def _remember(self, one: Shippable, place: Place, now: float) -> bool:
        """Take note of a log; return False if there is none."""
        followed = self._live.pop(one.key, None)
        if followed is not None:
            followed.close()  # its end was not heard
        if not os.path.lexists(place.log_file(*one.key)):
            try:
                path, fd = open_log(place, one.key, one.worker)
            except OSError:
                return True
            if fd is not None:
                os.close(fd)
            return fd is not None and path is not None  # it has not got its name yet
        try:
            definition = self._store.definition(one.job_id, one.revision)
        except DefinitionUnreadable:
            return True  # nobody knows its secrets
        self._waiting.append(_Waiting(one.key, one.worker, definition, place, now, is_anew=True))
        return True

    def _thin(self, now: float) -> None:
        while self._unwanted and self._unwanted[0][0] <= now:
            _, key, start, end = self._unwanted[0]
            self._store.thin_output(key, start, end)
            self._unwanted.popleft()

    def _look_who_follows(self, now: float) -> None:
        if now < self._follow_at:
            return
        self._follow_at = now + FOLLOW_EVERY_S
        followed = self._store.followed(self._store.node.id)
        self._followed = frozenset(one.key for one in followed)
        for one in followed:
            if one.key not in self._live:
                self._follow(one, now)

    def _follow(self, one: Shippable, now: float) -> None:
        definition = self._store.definition(one.job_id, one.revision)
        waiting = _Waiting(one.key, one.worker, definition, self._own, now, is_anew=True)
        shipment = self._opened(waiting, is_followed=True)
        if shipment is not None:
            self._live[one.key] = shipment
            self._anew.append(one.key)
