"""Which nodes are there now, for people and commands that are none themselves."""

from __future__ import annotations

from typing import NamedTuple

from cronq.model import Micros
from cronq.store.postgres.connection import Connection

LEDGER_NAME = "SELECT value FROM fact WHERE name = 'ledger'"
"""The ledger's own name."""

# Index node_lease.
_LIVING = """
SELECT host, pid, started_at, fires, boot_id, seat FROM node
WHERE lease_until > cronq_now() AND stopped_at IS NULL AND lost_at IS NULL ORDER BY started_at, id
"""


class Living(NamedTuple):
    """A node whose lease has not ended.

    Attributes:
        since: When it began, by the database's clock.
        fires: Whether it is a scheduler, and not a worker alone.
    """

    host: str
    pid: int
    since: Micros
    fires: bool
    boot_id: str
    seat: str

    @property
    def words(self) -> str:
        """Return `pid 4711 on web1`."""
        return f"pid {self.pid} on {self.host}"


def living_nodes(connection: Connection) -> list[Living]:
    """Return the nodes that are there, the oldest first. Raises: StoreError."""
    return [Living(*row) for row in connection.plain(_LIVING).fetchall()]
