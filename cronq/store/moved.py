"""The mark of a ledger that was moved to another place: nobody is to go on with the one that was left."""

from __future__ import annotations

from cronq.errors import ConflictError
from cronq.store.base import Store

MOVED_TO = "moved_to"
"""Fact: where the ledger is now, as people call it; empty: the mark was taken away."""


def refuse_moved(store: Store) -> None:
    """Return if this ledger is the one to work with; for who is about to fire or execute.

    Raises:
        ConflictError: It was moved: both would run everything twice.
    """
    where = store.fact(MOVED_TO)
    if where:
        raise moved_error(where)


def moved_error(where: str) -> ConflictError:
    """Return the error about a ledger that was moved."""
    return ConflictError(
        f"this ledger was moved to {where}",
        hint="go on there with --db or CRONQ_DB; if this one counts again: cronq db move --forget",
    )
