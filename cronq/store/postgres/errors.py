"""PostgreSQL's errors in cronq's words."""

from __future__ import annotations

import psycopg
from psycopg import errors as pg

from cronq.errors import (
    CronqError,
    InvariantError,
    StoreBusy,
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreMissing,
    StoreUnreachable,
    UsageError,
)

LEASE_ENDED = "CQ001"
"""Raised by the trigger of a claim."""

_BUSY = (pg.LockNotAvailable, pg.QueryCanceled, pg.SerializationFailure, pg.DeadlockDetected)
_NO_SCHEMA = (pg.UndefinedTable, pg.InvalidSchemaName, pg.UndefinedColumn)
_FULL = (pg.DiskFull, pg.OutOfMemory, pg.InsufficientResources)
_REFUSED = (
    *(psycopg.IntegrityError, psycopg.ProgrammingError, psycopg.InterfaceError),
    pg.InFailedSqlTransaction,
)
_GONE = (
    *(pg.ReadOnlySqlTransaction, pg.CannotConnectNow, pg.AdminShutdown, pg.CrashShutdown),
    *(pg.IdleInTransactionSessionTimeout, pg.IdleSessionTimeout, pg.DatabaseDropped, pg.TooManyConnections),
)
"""A server that is going, or a standby, or that has ended the session."""


class KeyTaken(InvariantError):
    """A row with this unique key exists already."""


def meaning_of(error: psycopg.Error, shown: str) -> CronqError:
    """Return an error in cronq's words.

    Args:
        error: As psycopg raised it.
        shown: The address of the database, without secrets.
    """
    text = str(error).strip().split("\n")[0]
    if isinstance(error, _GONE) or (isinstance(error, psycopg.OperationalError) and error.sqlstate is None):
        return StoreUnreachable(f"{shown} cannot be reached: {text}", hint="look at it with `cronq doctor`")
    if error.sqlstate == LEASE_ENDED:
        return StoreBusy(f"{shown}: {text}; it claims nothing until it has another one")
    if isinstance(error, _BUSY):
        return StoreBusy(f"{shown} is busy: {text}", hint="try again; who holds it: pg_stat_activity")
    if isinstance(error, _FULL):
        return StoreFull(f"{shown}: {text}", hint="free some space on the server and try again")
    if isinstance(error, pg.InsufficientPrivilege):
        return StoreFull(f"{shown}: {text}", hint="the role needs USAGE on the schema and all on its tables")
    if isinstance(error, _NO_SCHEMA):
        return StoreMissing(
            f"{shown} holds no ledger of cronq's, or an older one: {text}", hint="cronq db migrate"
        )
    if isinstance(error, pg.DataCorrupted | pg.IndexCorrupted):
        return StoreCorrupt(f"{shown} is damaged: {text}", hint="restore a backup of the server")
    if isinstance(error, pg.UniqueViolation):
        return KeyTaken(f"the ledger refused a row: {text}")
    if isinstance(error, psycopg.DataError):
        return UsageError(f"the database refused a value: {text}; nothing was changed")
    if isinstance(error, _REFUSED):
        return InvariantError(f"the ledger refused a row: {text}")
    if isinstance(error, psycopg.OperationalError):
        return StoreUnreachable(f"{shown} cannot be used: {text}", hint="look at it with `cronq doctor`")
    return StoreError(f"{shown}: {text}")
