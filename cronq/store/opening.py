"""The way into the ledger, wherever it is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from cronq.errors import StoreError
from cronq.store.base import Store
from cronq.store.location import Place
from cronq.store.sqlite import open_store as open_sqlite

if TYPE_CHECKING:
    from cronq.store.postgres.address import Address
    from cronq.store.postgres.connection import Connection


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
        require_driver()
        from cronq.store.postgres.store import open_postgres

        return open_postgres(place.address, place, create=create and not read_only)
    return open_sqlite(
        place, create=create, read_only=read_only, for_scheduler=for_scheduler, environ=environ
    )


def exists(place: Place) -> bool:
    """Return whether there is a ledger at a place, of whatever format. Raises: StoreError."""
    if place.address is None:
        return place.database.exists()
    from cronq.store.postgres.migrating import version_of

    connection = connected(place.address)
    try:
        return version_of(connection) is not None
    finally:
        connection.close()


def connected(address: Address) -> Connection:
    """Return a connection to a server, whether or not it holds a ledger. Raises: StoreError."""
    require_driver()
    from cronq.store.postgres.connection import Connection

    return Connection(address)


def require_driver() -> None:
    """Raise StoreError unless what it takes to talk to a server is installed."""
    try:
        import psycopg  # noqa: F401
    except ImportError as error:
        # Psycopg is there, and libpq is not: its own words say so.
        missing = isinstance(error, ModuleNotFoundError)
        what = "psycopg is missing" if missing else " ".join(str(error).split())
        raise StoreError(
            f"a ledger in a PostgreSQL server cannot be used: {what}",
            hint="pip install 'cronq-cli[postgres]'",
        ) from error
