"""One `cronq run` or `cronq worker` on PostgreSQL: as `cronq.service`, with a seat, a lease and a wire.

There is no lock that keeps others out: any number of nodes may live, on any hosts. What a node begins is
guarded by the rows, and what it left by the lock of its seat.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from cronq import events
from cronq.clock import monotonic
from cronq.database_clock import DatabaseClock
from cronq.errors import ExitCode, StoreFull
from cronq.leftovers import remove_leftovers
from cronq.model import Outcome
from cronq.node import Identity, Membership
from cronq.pinging import pinging
from cronq.pruning import Steps
from cronq.scheduler import Options, Scheduler, Stage, Ticker
from cronq.seat import Seats
from cronq.service import KEEP_LOCK_EVERY_S, assembled, keep_lock, redrawn, serve, tail_of
from cronq.shipping import Shipping
from cronq.store import Place, Store
from cronq.store.moved import refuse_moved
from cronq.sweep import Sweep
from cronq.waiting import SystemClock
from cronq.worker import caretaker, kernel
from cronq.worker.trust import TrustFile
from cronq.worker.wired import WiredPool

if TYPE_CHECKING:
    from cronq.store.postgres.address import Address
    from cronq.store.postgres.store import PostgresStore
    from cronq.wire.receiver import Receiver

FINISH_S = 2.0
"""How long messages may take to be given back at the end."""
CARE_S = 2.0
"""How often to see whether the seat has its caretaker."""
LOOK_AGAIN_S = 0.1
LOOK_IDLE_S = 0.5
LOOK_S = 5.0
"""How often to look for changes where nobody tells of them."""


def run_node(
    address: Address,
    place: Place,
    options: Options,
    *,
    queues: tuple[str, ...] | None = None,
    tell: events.Sink,
    redraw: Callable[[events.Snapshot], None] | None = None,
    flush: Callable[[], None] = lambda: None,
    wants_tail: Callable[[Outcome], bool] = lambda outcome: outcome is not Outcome.SUCCESS,
    environ: Mapping[str, str] = os.environ,
    prepare: Callable[[Store], object] | None = None,
) -> ExitCode:
    """Be a node until told to stop.

    Args:
        address: Of the database server.
        place: As it was found; the node has a place of its own.
        options: How to run.
        queues: From which it executes; None: from all.
        tell: See `cronq.service.run_scheduler`, as for the others.
        redraw: See there.
        flush: See there.
        wants_tail: See there.
        environ: See there.
        prepare: See there; called before anything is launched.

    Raises:
        StoreError: The database, or the folder of the seat, cannot be used.
    """
    from cronq.store.postgres.news import News
    from cronq.store.postgres.store import open_postgres
    from cronq.wire.lines import Setup
    from cronq.wire.receiver import Receiver

    options.is_alone = False
    with ExitStack() as stack:
        store = open_postgres(address, place, create=options.fires)
        stack.callback(store.close)
        store.queues = queues
        seats = Seats(place, store.ledger, environ)
        seat = seats.take(_role(options.fires, queues))
        stack.callback(seat.hold)
        if options.log_dir is not None:
            seat = seat._replace(place=replace(seat.place, logs=Path(options.log_dir)))
        real = SystemClock()
        clock = DatabaseClock(real)
        stack.callback(clock.close)
        trust_path = seat.place.trust
        try:
            trust = TrustFile(trust_path)
        except OSError as error:
            raise StoreFull(f"cannot make {trust_path}: {error.strerror}") from error
        stack.callback(trust.close)
        news = News(address)
        boot_id = kernel.boot_id()
        host = os.uname().nodename

        def unattended() -> dict[str, Place]:
            found = seats.all()
            return {own: at for own, at in found.items() if own == seat.name or seats.is_deserted(own)}

        member = Membership(
            store,
            clock,
            trust,
            news,
            Identity(host, boot_id, seat.name, options.fires, options.slots, queues),
            seats,
        )
        stack.callback(member.leave)
        # Only now: whoever moves the ledger has seen this node, or is seen.
        refuse_moved(store)
        if prepare is not None:
            prepare(store)
        wire = Receiver(Setup(address.conninfo, address.schema, options.slots, queues, address.listens))
        stack.callback(_finish, wire)
        pings = stack.enter_context(pinging(seat.place, clock, tell, environ))
        workers = WiredPool(clock, seat.place, size=options.slots, boot_id=boot_id, trust=trust_path)
        workers.database, workers.real, workers.wire = clock, real, wire
        store.fresh_permits = workers.fresh
        told, redrawing = redrawn(tell, redraw)

        def leftovers() -> Steps:
            places = [seat.place] if options.log_dir is not None else unattended().values()
            for left in places:
                yield from remove_leftovers(store, left)

        ships = None
        if options.log_dir is None:
            ships = Shipping(store, host, unattended, seat.place, clock, environ)
            stack.callback(ships.close)
            news.told = ships.hear

        parts = assembled(
            seat.place,
            store,
            clock,
            workers,
            options,
            tell=told,
            tail=tail_of(seat.place, wants_tail, environ),
            pings=pings,
            bell=news,
            watcher=ships,
        )
        scheduler, bell = stack.enter_context(parts)
        clock.watch(wire.fileno())
        stack.callback(clock.unwatch, wire.fileno())
        wire.start()
        scheduler.tickers.append(Ticker(CARE_S, partial(_care, seat.place), wakes=False))
        scheduler.tickers.append(Ticker(KEEP_LOCK_EVERY_S, partial(keep_lock, seat.hold), wakes=False))
        scheduler.tickers += member.tickers()
        if options.fires:
            sending = member.kept(lambda scheduler: _send(store, scheduler))
            scheduler.tickers.append(Ticker(0.0, sending, wakes=False))
        passing_on = Ticker(0.0, lambda scheduler: _pass_on(store, workers, scheduler), wakes=False)
        scheduler.tickers.append(passing_on)
        upkeep = [Sweep(seat.place, clock, told, leftovers).ticker]
        if options.until_idle:
            # Nobody tells when others have done what was left.
            scheduler.tickers.append(Ticker(LOOK_IDLE_S, _look))
        elif not address.listens:
            scheduler.tickers.append(Ticker(LOOK_S, _look))
        if ships is not None:
            upkeep.append(ships.ticker)
        for ticker in upkeep:
            ticker.action = member.kept(ticker.action)
        scheduler.tickers += [*upkeep, *redrawing]
        code = serve(scheduler, bell, flush, environ)
        if ships is not None:
            ships.finish()
        return code


def _finish(wire: Receiver) -> None:
    """Give back what is left, so that its messages do not look as if somebody held them; within a bound."""
    wire.stop()
    wire.release(wire.held)
    ends = monotonic() + FINISH_S
    while wire.pid is not None and monotonic() < ends:
        select.select([wire], [], [], LOOK_AGAIN_S)
        wire.poll(monotonic())
        wire.release(wire.held)
    wire.close()


def _role(fires: bool, queues: tuple[str, ...] | None) -> str:
    return f"{'fires' if fires else 'executes'} {'*' if queues is None else ' '.join(sorted(queues))}"


def _care(place: Place, _scheduler: Scheduler) -> None:
    # Without room for another process it is tried again.
    with suppress(OSError):
        caretaker.provide(place)


def _send(store: PostgresStore, scheduler: Scheduler) -> None:
    """Tell the workers of runs that waited, and may begin now; on each turn, for which the loop wakes up."""
    if scheduler.stage is Stage.RUNNING:
        store.send_waiting(scheduler.clock.now())


def _pass_on(store: PostgresStore, workers: WiredPool, scheduler: Scheduler) -> None:
    """Put new messages for runs that others have to begin with, because here all workers are busy."""
    if workers.has_declined:
        workers.has_declined = False
        store.mend_wire(scheduler.clock.now(), unsent_s=0.0)


def _look(_scheduler: Scheduler) -> None:
    """Wake the loop up: each turn looks at what is due, and at what is to be stopped."""
