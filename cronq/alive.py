"""Is a scheduler there? Of a file the kernel knows, by the lock; of a server the leases of nodes say so."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, cast

from cronq.lock import Holder, is_held, read_holder
from cronq.store import Place, Store

if TYPE_CHECKING:
    from cronq.store.postgres.store import PostgresStore


def is_scheduler_alive(place: Place, store: Store) -> bool:
    """Return whether a scheduler lives. Raises: StoreError, of a server."""
    if place.address is None:
        return is_held(place.lock)
    return living_scheduler(place, store) is not None


def living_scheduler(place: Place, store: Store) -> Holder | None:
    """Return the scheduler that lives, of several the oldest; None: there is none, or it cannot be made out.

    Raises:
        StoreError: The server cannot be asked.
    """
    if place.address is None:
        return read_holder(place.lock) if is_held(place.lock) else None
    from cronq.seat import at_work

    nodes = at_work(cast("PostgresStore", store).connection, place, os.environ)
    return next((Holder(node.pid, node.host, node.since) for node in nodes if node.fires), None)
