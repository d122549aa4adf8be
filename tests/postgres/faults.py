"""Ways in which a connection to PostgreSQL is lost, each at a chosen statement.

The loss happens below cronq's own connection, so that all that it does about one is what is tested.
"""

from __future__ import annotations

import itertools
import os
import socket
import time
from typing import Any

import psycopg

from cronq.store.postgres.connection import Connection, connect

KINDS = ("end", "cut", "answer")
"""The server ends the session; the network is gone; the statement is executed, and its answer is lost."""


def doom(db: Connection, statements: int, how: str) -> None:
    """Let a connection be lost after so many further statements; one that is opened anew is not doomed."""
    connection: object = db._connection
    if not isinstance(connection, _Doomed):
        db._connection = _Doomed(db, statements, how)  # type: ignore[assignment]


class _Doomed:
    def __init__(self, db: Connection, statements: int, how: str) -> None:
        self._db = db
        self._real = db._connection
        self._statements = statements
        self._numbers = itertools.count()
        self._how = how

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def execute(self, *args: Any) -> Any:
        if next(self._numbers) != self._statements:
            return self._real.execute(*args)
        if self._how == "answer":
            pid = self._real.info.backend_pid
            self._real.execute(*args)
            self._real.pgconn.finish()
            wait_until_gone(self._db, pid)
            raise psycopg.OperationalError("server closed the connection unexpectedly")
        if self._how == "cut":
            cut(self._db)
        else:
            end_session(self._db)
        return self._real.execute(*args)


def pid_of(db: Connection) -> int:
    """Return the number of the session's process in the server."""
    return db._connection.info.backend_pid


def cut(db: Connection) -> None:
    """Lose the network; the server notices, too, and has rolled back when this returns."""
    pid = pid_of(db)
    with socket.socket(fileno=os.dup(db._connection.fileno())) as line:
        line.shutdown(socket.SHUT_RDWR)
    wait_until_gone(db, pid)


def end_session(db: Connection) -> None:
    """Let the server end the session."""
    pid = pid_of(db)
    with connect(db.address) as other:
        other.execute("SELECT pg_terminate_backend(%s)", (pid,))
    wait_until_gone(db, pid)


def wait_until_gone(db: Connection, pid: int, within_s: float = 20.0) -> None:
    """Return when a session has ended, and with it its transaction."""
    ends = time.monotonic() + within_s
    with connect(db.address) as other:
        while other.execute("SELECT 1 FROM pg_stat_activity WHERE pid = %s", (pid,)).fetchone():
            assert time.monotonic() < ends, f"session {pid} has not ended"
            time.sleep(0.002)
