"""One `cronq tick`: the scheduler of `cronq run`, for what was due at one instant, and then its end.

The same loop, planner, queue and workers under the same lock; only what the loop sees is bounded, by
`cronq.store.sqlite_tick`. A late or dropped tick is downtime, so catch-up decides. Where nothing is due no
worker is started at all.

Dies: as the scheduler, at any line. What was claimed is in the ledger (and in the portable state, if there is
one) before its process starts, and the next tick looks after it by the job's crash rule.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import NamedTuple

from cronq import clock, events, lock
from cronq.clock import Clock
from cronq.errors import CronqError, ExitCode
from cronq.model import Attempt, Micros, Outcome, Run
from cronq.pinging import Pings, pinging
from cronq.rezone import follow_zone_data
from cronq.scheduler import HURRIED_KILL_S, Options, Scheduler
from cronq.service import assembled, tail_of, turn
from cronq.store import Place
from cronq.store.sqlite_tick import TickStore, open_tick_store
from cronq.waiting import SystemClock
from cronq.wish import Wish
from cronq.worker import kernel
from cronq.worker.shifted import ShiftedPool

PRUNE_S = 5.0
"""How long the retention of one tick may take."""


class Done(NamedTuple):
    """What a tick did.

    Attributes:
        code: Of the loop: that of an error, or of an interruption, if there was one.
        rows: The runs that it made, or found open, each with its last attempt, by number.
        is_spent: The budget was, and something due is left.
        cut: Numbers of the runs that it stopped because its own time was over.
    """

    code: ExitCode
    rows: Sequence[tuple[Run, Attempt | None]]
    is_spent: bool = False
    cut: frozenset[int] = frozenset()


Prepare = Callable[[TickStore], None]
"""Makes the store hold the jobs; under the lock, before anything is looked at."""
Tell = Callable[[TickStore, Done], None]
"""Tells what was done, while the store is open and the lock held."""


def run_tick(
    place: Place,
    wish: Wish,
    *,
    prepare: Prepare,
    report: Tell,
    tell: events.Sink,
    flush: Callable[[], None] = lambda: None,
    wants_tail: Callable[[Outcome], bool] = lambda outcome: outcome is not Outcome.SUCCESS,
    environ: Mapping[str, str] = os.environ,
) -> Done:
    """Do what is due, and return what was done.

    Args:
        place: Of the store; made if there is none.
        wish: What to do.
        prepare: Brings the jobs into the store.
        report: Tells people and files of it, at the end.
        tell: Where events go.
        flush: Called when what was told should be seen.
        wants_tail: Whose last lines of output go with the event of their end.
        environ: Which projects are trusted.

    Raises:
        SchedulerRunning: Somebody else has the lock.
        StoreError: The store cannot be used.
        CronqError: Of `prepare`.
    """
    began = clock.monotonic()
    with ExitStack() as stack:
        # Left last: what pings still wait for holds up neither the cursor nor the lock.
        pings_clock = SystemClock()
        stack.callback(pings_clock.close)
        pings = stack.enter_context(pinging(place, pings_clock, tell, environ))
        store = open_tick_store(place, create=True, environ=environ)
        stack.callback(store.close)
        stack.callback(lock.hold(place.lock))
        store.check()
        store.begin()
        prepare(store)
        for message in follow_zone_data(store, wish.now):
            tell(events.Notice(wish.now, "info", message))
        store.limit(wish.limits)
        if store.has_anything_to_do():
            done = _worked(place, store, wish, began, tell, flush, wants_tail, pings, environ)
        else:
            done = Done(ExitCode.OK, store.rows())
        flush()
        report(store, done)
        if done.code is ExitCode.OK:  # else somebody waits for the end of this process
            _prune(place, store, wish.now, tell)
        return done


def _prune(place: Place, store: TickStore, now: Micros, tell: events.Sink) -> None:
    """Remove runs beyond the limits of their jobs, for a while; what is left then, the next tick removes."""
    if not store.limited_jobs():
        return
    from cronq.pruning import prune_kept

    ends, after = clock.monotonic() + PRUNE_S, 0
    while found := store.kept_jobs(after=after, limit=1):
        (history,) = found
        after = history.id
        try:
            for _ in prune_kept(store, place, history, now):
                if clock.monotonic() >= ends:
                    return
        except CronqError as error:
            tell(events.Notice(now, "warning", f"retention of {history.name}: {error.message}"))


def _worked(
    place: Place,
    store: TickStore,
    wish: Wish,
    began: float,
    tell: events.Sink,
    flush: Callable[[], None],
    wants_tail: Callable[[Outcome], bool],
    pings: Pings,
    environ: Mapping[str, str],
) -> Done:
    budget_s = None if wish.budget_s is None else max(0.0, wish.budget_s - (clock.monotonic() - began))
    options = Options(wish.slots, budget_s, until_idle=True, drain_s=wish.drain_s, due_until=wish.now)
    own_clock = ShiftedClock(wish.offset)
    workers = ShiftedPool(own_clock.real, place, size=wish.slots, boot_id=kernel.boot_id())
    workers.offset = wish.offset
    store.time = own_clock.now

    def pass_on(scheduler: Scheduler, signal_name: str) -> None:
        if signal_name == "SIGHUP":
            scheduler.ask(signal_name)
            return
        # A runner gives few seconds before it kills (GitHub: 7.5 s, and 2.5 s more after TERM): the first
        # signal does what the second one does to `cronq run`.
        options.drain_s = HURRIED_KILL_S
        store.cut_reason = "the tick was interrupted"
        scheduler.ask(signal_name)
        scheduler.ask(signal_name)

    with ExitStack() as stack:
        stack.callback(own_clock.close)
        tail = tail_of(place, wants_tail, environ)
        parts = assembled(
            place, store, own_clock, workers, options, tell=tell, tail=tail, pings=pings, pass_on=pass_on
        )
        scheduler, bell = stack.enter_context(parts)
        code = turn(scheduler, bell, flush)
    is_spent = wish.budget_s is not None and clock.monotonic() - began >= wish.budget_s
    left = bool(store.due_left()) or store.is_queued_at(own_clock.now())
    return Done(code, store.rows(), is_spent and (left or bool(store.cut)), frozenset(store.cut))


class ShiftedClock:
    """`cronq.clock.Clock` whose wall time is another one than the machine's, by a constant."""

    def __init__(self, offset: Micros) -> None:
        self.real: Clock = SystemClock()
        self._offset = offset

    def now(self) -> Micros:
        """Return wall time, UTC microseconds."""
        return self.real.now() + self._offset

    def monotonic(self) -> float:
        """Return seconds that never step back."""
        return self.real.monotonic()

    def watch(self, fd: int) -> None:
        """Let `wait` also end when this descriptor is readable."""
        self.real.watch(fd)

    def unwatch(self, fd: int) -> None:
        """Stop watching a descriptor; unknown ones are ignored."""
        self.real.unwatch(fd)

    def wait(self, until: Micros | None) -> set[int]:
        """Block until wall time `until`, a watched descriptor, or a step of the clock."""
        return self.real.wait(None if until is None else until - self._offset)

    def close(self) -> None:
        """Release what waiting needs."""
        self.real.close()
