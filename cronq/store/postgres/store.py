"""The ledger in PostgreSQL.

What the methods do, and by which statements, is that of SQLite's sides; here is what differs: how a queue is
read when others claim from it, the files of a database that there are none of, and the nodes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from cronq.errors import UsageError
from cronq.model import Micros
from cronq.store import queries, rows
from cronq.store.base import Copy
from cronq.store.location import Place
from cronq.store.postgres.address import Address
from cronq.store.postgres.connection import Connection
from cronq.store.postgres.living import LEDGER_NAME
from cronq.store.postgres.migrating import require_schema
from cronq.store.postgres.nodes import NodeSide
from cronq.store.postgres.outputs import OutputSide
from cronq.store.postgres.turns import TurnSide
from cronq.store.sqlite_history import HistorySide
from cronq.store.sqlite_retention import RetentionSide

_PAGE = 64
_SPARE = 4
"""Runs that are read at a time; and, at first, besides those that are wanted: some may have to wait."""

# Claim. Index run_queue gives the order; a page after a row of the one before. LATERAL, and OFFSET 0: it
# cannot be guessed how many rows the queues leave, and for a bad guess PostgreSQL would read all jobs and
# sort the whole queue.
_QUEUED = f"""
SELECT j.max_running, CASE WHEN j.max_running IS NOT NULL THEN
        (SELECT count(*) FROM run x WHERE x.job_id = r.job_id AND x.state = 'running') END, j.locks,
    {queries.RUN_COLUMNS}
FROM run r CROSS JOIN LATERAL (SELECT * FROM job WHERE job.id = r.job_id OFFSET 0) j
WHERE r.state = 'queued' AND r.available_at <= %(now)s AND r.job_id <> ALL(%(full)s)
    AND (-r.priority, r.available_at, r.id) > (%(priority)s, %(available_at)s, %(id)s)
    AND (j.paused_at IS NULL OR r.trigger = 'manual')
    AND (%(queues)s::text[] IS NULL OR coalesce(j.queue, 'default') = ANY(%(queues)s))
ORDER BY -r.priority, r.available_at, r.id LIMIT %(limit)s
"""


def open_postgres(address: Address, place: Place, *, create: bool = False) -> PostgresStore:
    """Open the ledger in a database server.

    Args:
        address: Of the server.
        place: Its files on this host.
        create: Make the ledger if there is none.

    Raises:
        StoreError: Its leaves say what is wrong.
    """
    connection = Connection(address)
    try:
        require_schema(connection, create=create)
    except BaseException:
        connection.close()
        raise
    return PostgresStore(connection, place)


class PostgresStore(OutputSide, TurnSide, HistorySide, NodeSide, RetentionSide):
    """`cronq.store.base.Store` on one connection to PostgreSQL.

    Attributes:
        queues: From which it claims; None: from all.
    """

    queues: tuple[str, ...] | None = None
    _db: Connection  # type: ignore[assignment]

    def __init__(self, connection: Connection, place: Place) -> None:
        super().__init__(connection, place)  # type: ignore[arg-type]

    @property
    def connection(self) -> Connection:
        """The connection, for what is PostgreSQL's alone."""
        return self._db

    @property
    def ledger(self) -> str:
        """The ledger's own name, the same however its address is written."""
        ((name,),) = self._db.plain(LEDGER_NAME).fetchall()
        return str(name)

    def _queued(self, now: Micros, full: Collection[int], wanted: int) -> Iterator[rows.Row]:
        limit = min(wanted + _SPARE, _PAGE)
        after: tuple[int, ...] = (-(2**62), 0, 0)
        while True:
            values = {
                "now": now,
                "full": [*full],
                "queues": None if self.queues is None else [*self.queues],
                "priority": after[0],
                "available_at": after[1],
                "id": after[2],
                "limit": limit,
            }
            page = self._db.plain(_QUEUED, values).fetchall()
            yield from page
            if len(page) < limit:
                return
            limit = _PAGE
            last = rows.run_from_row(page[-1][3:])
            after = (-last.priority, last.available_at, last.id)

    def data_version(self) -> int:
        """Return a number that is another one as soon as somebody else has changed the store."""
        row = self._db.plain("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint").fetchone()
        assert row is not None
        return int(row[0])

    def verify(self) -> None:
        """Return: a server is there, or it says so itself."""

    def check(self, *, thoroughly: bool = False) -> None:  # noqa: ARG002 - the server looks after itself
        """Look whether the server answers; what it holds it checks itself."""
        self._db.plain("SELECT 1")

    def checkpoint(self) -> None:
        """Return: the server does its own upkeep."""

    def backup(self, path: Path, *, now: Micros, replace: bool = False) -> Copy:  # noqa: ARG002
        """Refuse. Raises: UsageError."""
        raise UsageError(
            "`backup` copies a database file; this ledger is in a PostgreSQL server",
            hint=f"pg_dump --schema={self._db.address.schema} copies it",
        )

    def close(self) -> None:
        """Disconnect."""
        self._db.close()
