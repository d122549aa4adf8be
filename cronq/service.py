"""One `cronq run`: lock, store, clock, workers, doorbell and signals, put together and taken apart.

Order matters. The lock comes before the store is written to (G8); the doorbell before the first look at the
store, so that no change can fall between; and at the end the workers are let go before the lock is, so that
the next scheduler finds them either gone or alive, never half closed.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from types import FrameType
from typing import Protocol

from cronq import events, lock
from cronq.clock import Clock
from cronq.doorbell import Doorbell
from cronq.errors import ExitCode, SchedulerRunning, StoreFull
from cronq.model import AttemptEnd, Claim, Outcome
from cronq.pinging import Pings, pinging
from cronq.reporter import Tail, Watcher, Watchers
from cronq.scheduler import Options, Scheduler, Ticker
from cronq.store import Place, Store, open_store
from cronq.store.connection import LOG_SIZE_LIMIT
from cronq.store.moved import refuse_moved
from cronq.sweep import Sweep
from cronq.systemd import Notifier
from cronq.waiting import SystemClock
from cronq.worker import kernel
from cronq.worker.environment import secrets_now
from cronq.worker.files import tail_lines
from cronq.worker.pool import Pool

REDRAW_EVERY_S = 1.0
UPKEEP_EVERY_S = 1.0
KEEP_LOCK_EVERY_S = 1.0
"""How often to look, on turns that come anyway, whether somebody removed the lock file."""
STATUS_EVERY_S = 10.0
"""How often systemd's status line is renewed where there is no watchdog to do it with."""


class Bell(Protocol):
    """What tells that others have changed the store."""

    def fileno(self) -> int:
        """Return the descriptor that is readable then."""

    def answer(self) -> bool:
        """Take all rings; return whether there was one."""

    def close(self) -> None:
        """Stop listening."""


_LISTENED_TO = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_scheduler(
    place: Place,
    options: Options,
    *,
    tell: events.Sink,
    redraw: Callable[[events.Snapshot], None] | None = None,
    flush: Callable[[], None] = lambda: None,
    wants_tail: Callable[[Outcome], bool] = lambda outcome: outcome is not Outcome.SUCCESS,
    environ: Mapping[str, str] = os.environ,
    prepare: Callable[[Store], object] | None = None,
) -> ExitCode:
    """Be the scheduler of a store until told to stop.

    Args:
        place: Of the store; made if there is none.
        options: How to run.
        tell: Where events go.
        redraw: Called with the present state each second, for a live footer.
        flush: Called after each turn, before it sleeps: what was told should be seen.
        wants_tail: Whose last lines of output go with the event of their end.
        environ: Tells of systemd, and which projects are trusted.
        prepare: Called with the store, under the lock and before anything is launched; may raise.

    Raises:
        SchedulerRunning: Another one has the lock.
        StoreError: The store cannot be used.
    """
    if place.address is not None:
        from cronq.node_service import run_node

        return run_node(
            place.address,
            place,
            options,
            tell=tell,
            redraw=redraw,
            flush=flush,
            wants_tail=wants_tail,
            environ=environ,
            prepare=prepare,
        )
    with ExitStack() as stack:
        clock = SystemClock()
        stack.callback(clock.close)
        pings = stack.enter_context(pinging(place, clock, tell, environ))
        store = open_store(place, create=True, for_scheduler=True, environ=environ)
        stack.callback(store.close)
        held = lock.hold(place.lock)
        stack.callback(held)
        store.check()
        refuse_moved(store)
        if prepare is not None:
            prepare(store)
        workers = Pool(clock, place, size=options.slots, boot_id=kernel.boot_id())
        told, redrawing = redrawn(tell, redraw)
        tail = tail_of(place, wants_tail, environ)
        assembly = assembled(place, store, clock, workers, options, tell=told, tail=tail, pings=pings)
        scheduler, bell = stack.enter_context(assembly)
        scheduler.tickers += [
            Ticker(KEEP_LOCK_EVERY_S, partial(keep_lock, held), wakes=False),
            Ticker(UPKEEP_EVERY_S, partial(_move_log, place), wakes=False),
            Sweep(place, clock, told).ticker,
            *redrawing,
        ]
        return serve(scheduler, bell, flush, environ)


def redrawn(
    tell: events.Sink, redraw: Callable[[events.Snapshot], None] | None
) -> tuple[events.Sink, list[Ticker]]:
    """Return a sink after whose events the footer is drawn anew, and what draws it each second."""
    if redraw is None:
        return tell, []
    ticker = Ticker(REDRAW_EVERY_S, lambda scheduler: redraw(scheduler.snapshot()))

    def told(event: events.Event) -> None:
        tell(event)
        ticker.next_at = 0.0  # the footer must not contradict the line above it

    return told, [ticker]


def serve(
    scheduler: Scheduler, bell: Bell, flush: Callable[[], None], environ: Mapping[str, str]
) -> ExitCode:
    """Let a scheduler that has all its tickers live to its end, and keep systemd informed."""
    notifier = Notifier(environ)
    scheduler.tickers += _tickers(notifier)
    if notifier.is_wanted:
        notifier.send("READY=1", _status(scheduler))
    try:
        return turn(scheduler, bell, flush)
    finally:
        notifier.send("STOPPING=1")


def keep_lock(held: lock.Hold, scheduler: Scheduler) -> None:
    """Take the lock anew if its file was removed; give way if somebody else was faster."""
    try:
        held.keep()
    except SchedulerRunning as error:
        scheduler.give_way(f"the lock file was removed, and {error.message}")


@contextmanager
def assembled(
    place: Place,
    store: Store,
    clock: Clock,
    workers: Pool,
    options: Options,
    *,
    tell: events.Sink,
    tail: Tail,
    pings: Pings,
    pass_on: Callable[[Scheduler, str], None] = Scheduler.ask,
    bell: Bell | None = None,
    watcher: Watcher | None = None,
) -> Iterator[tuple[Scheduler, Bell]]:
    """Put a scheduler together, started, with its doorbell; at the end of the block they are taken apart.

    Args:
        place: Of the store, whose lock is held.
        store: Open, and found sound.
        clock: Of the scheduler and the workers.
        workers: Not started yet.
        options: How to run.
        tell: Where events go.
        tail: Gives the last lines that an attempt printed.
        pings: Sends what happens to jobs that have a check.
        pass_on: Tells the scheduler of a signal, by name; called in the signal handler.
        bell: Tells of changes; None: the doorbell of the place.
        watcher: Hears what the pings hear.
    """
    with ExitStack() as stack:
        bell = bell or _hang_bell(place)
        stack.callback(bell.close)
        clock.watch(bell.fileno())
        stack.callback(clock.unwatch, bell.fileno())
        scheduler = Scheduler(
            *(store, workers, clock),
            boot_id=kernel.boot_id(),
            options=options,
            tell=tell,
            tail=tail,
            watcher=pings if watcher is None else Watchers(pings, watcher),
        )
        pings.attend(scheduler)
        stack.enter_context(_listening(partial(pass_on, scheduler)))
        scheduler.greet(place.shown)
        workers.start()
        stack.callback(workers.close)
        scheduler.start()
        yield scheduler, bell


def tail_of(
    place: Place, wants: Callable[[Outcome], bool], environ: Mapping[str, str], count: int = 3
) -> Tail:
    """Return what gives the last lines of an attempt's output, if its outcome makes them wanted."""

    def tail(claim: Claim, end: AttemptEnd) -> tuple[str, ...]:
        if not wants(end.outcome):
            return ()
        return tail_lines(place.log_file(*end.key), count, masker=secrets_now(claim.definition, environ))

    return tail


def turn(scheduler: Scheduler, bell: Bell, flush: Callable[[], None] = lambda: None) -> ExitCode:
    """Let a scheduler live to its end, and flush before each sleep; return what the process should."""
    while not scheduler.turn():
        flush()
        if bell.fileno() in scheduler.sleep():
            bell.answer()
    code = scheduler.finish()
    flush()
    return code


def _move_log(place: Place, scheduler: Scheduler) -> None:
    """Move a long write-ahead log into the database: others write to it, and only we may do that."""
    # Looked at, never opened: closing it would drop SQLite's locks.
    log = place.database.with_name(f"{place.database.name}-wal")
    with suppress(OSError):
        if log.stat().st_size > LOG_SIZE_LIMIT:
            scheduler.store.checkpoint()


def _hang_bell(place: Place) -> Doorbell:
    try:
        return Doorbell(place.bell)
    except OSError as error:
        raise StoreFull(f"cannot make the doorbell {place.bell}: {error.strerror}") from error


@contextmanager
def _listening(pass_on: Callable[[str], None]) -> Iterator[None]:
    """Pass signals on to the scheduler for a while."""

    def hear(number: int, _frame: FrameType | None) -> None:
        pass_on(signal.Signals(number).name)

    before = {number: signal.signal(number, hear) for number in _LISTENED_TO}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _tickers(notifier: Notifier) -> list[Ticker]:
    tickers = []
    if notifier.watchdog_s is not None:
        # From within the loop, so that a loop that hangs is a watchdog that starves.
        beat_s = notifier.watchdog_s
        tickers.append(Ticker(beat_s, lambda scheduler: notifier.send("WATCHDOG=1", _status(scheduler))))
    elif notifier.is_wanted:
        tickers.append(Ticker(STATUS_EVERY_S, lambda scheduler: notifier.send(_status(scheduler))))
    return tickers


def _status(scheduler: Scheduler) -> str:
    snapshot = scheduler.snapshot()
    text = f"STATUS={len(snapshot.running)} running, {snapshot.queued} queued"
    return text + (f", next {snapshot.upcoming[0][0]}" if snapshot.upcoming else "")
