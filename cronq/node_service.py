"""One `cronq run` or `cronq worker` on PostgreSQL: as `cronq.service`, with a seat, a lease and a wire.

There is no lock that keeps others out: any number of nodes may live, on any hosts. What a node begins is
guarded by the rows, and what it left by the lock of its seat.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cronq import events
from cronq.database_clock import DatabaseClock
from cronq.errors import ExitCode, StoreFull
from cronq.leftovers import remove_leftovers
from cronq.model import Outcome
from cronq.node import Identity, Membership
from cronq.pinging import pinging
from cronq.pruning import Steps
from cronq.scheduler import Options, Scheduler, Ticker
from cronq.seat import is_deserted, seats_of, take_seat
from cronq.service import REDRAW_EVERY_S, announce_ready, assembled, notify_tickers, tail_of, turn
from cronq.shipping import Shipping
from cronq.store import Place, Store
from cronq.sweep import Sweep
from cronq.systemd import Notifier
from cronq.waiting import SystemClock
from cronq.worker import kernel
from cronq.worker.trust import TrustFile
from cronq.worker.wired import WiredPool

if TYPE_CHECKING:
    from cronq.store.postgres.address import Address

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

    with ExitStack() as stack:
        store = open_postgres(address, place, create=options.fires)
        stack.callback(store.close)
        store.queues = queues
        seat = take_seat(address, place.rule, environ)
        stack.callback(seat.hold)
        if options.log_dir is not None:
            seat = seat._replace(place=replace(seat.place, logs=Path(options.log_dir)))
        if prepare is not None:
            prepare(store)
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

        def is_empty(number: int) -> bool:
            return is_deserted(address, place.rule, number, environ)

        def unattended() -> dict[int, Place]:
            found = seats_of(address, place.rule, environ)
            return {own: at for own, at in found.items() if own == seat.number or is_empty(own)}

        member = Membership(
            store,
            clock,
            trust,
            news,
            Identity(host, boot_id, seat.number, options.fires, options.slots, queues),
            is_empty,
        )
        stack.callback(member.leave)
        wire = Receiver(Setup(address.conninfo, address.schema, options.slots, queues, address.listens))
        stack.callback(wire.close)
        pings = stack.enter_context(pinging(seat.place, clock, tell, environ))
        workers = WiredPool(clock, seat.place, size=options.slots, boot_id=boot_id, trust=trust_path)
        workers.database, workers.real, workers.wire = clock, real, wire
        redrawing = Ticker(REDRAW_EVERY_S, lambda scheduler: redraw(scheduler.snapshot()) if redraw else None)

        def leftovers() -> Steps:
            places = [seat.place] if options.log_dir is not None else unattended().values()
            for left in places:
                yield from remove_leftovers(store, left)

        ships = None
        if options.log_dir is None:
            ships = Shipping(store, host, unattended, seat.place, clock, environ)
            stack.callback(ships.close)
            news.told = ships.hear

        def told(event: events.Event) -> None:
            tell(event)
            redrawing.next_at = 0.0

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
        notifier = Notifier(environ)
        scheduler.tickers.append(member.ticker)
        scheduler.tickers += [*notify_tickers(notifier), Sweep(seat.place, clock, told, leftovers).ticker]
        if not address.listens:
            scheduler.tickers.append(Ticker(LOOK_S, _look))
        if ships is not None:
            scheduler.tickers.append(ships.ticker)
        if redraw is not None:
            scheduler.tickers.append(redrawing)
        announce_ready(notifier, scheduler)
        try:
            code = turn(scheduler, bell, flush)
            if ships is not None:
                ships.finish()
            return code
        finally:
            notifier.send("STOPPING=1")


def _look(_scheduler: Scheduler) -> None:
    """Wake the loop up: each turn looks at what is due, and at what is to be stopped."""
