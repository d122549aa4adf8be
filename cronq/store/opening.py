"""The way into the ledger, wherever it is."""

from __future__ import annotations

import os
from collections.abc import Mapping

from cronq.store.base import Store
from cronq.store.location import Place
from cronq.store.sqlite import open_store as open_sqlite


def open_store(
    place: Place,
    *,
    create: bool = False,
    read_only: bool = False,
    for_scheduler: bool = False,
    environ: Mapping[str, str] = os.environ,
) -> Store:
    """Open the ledger at a place.

    Args:
        place: Found by `cronq.store.location.find_place`.
        create: Make it if there is none.
        read_only: Change nothing, and work where nothing can be written.
        for_scheduler: It is a scheduler's: it does the upkeep, and never waits long for its turn.
        environ: For the list of trusted projects.

    Raises:
        StoreError: Its leaves say what is wrong.
    """
    if place.address is not None:
        from cronq.store.postgres.store import open_postgres

        return open_postgres(place.address, place, create=create and not read_only)
    return open_sqlite(
        place, create=create, read_only=read_only, for_scheduler=for_scheduler, environ=environ
    )
