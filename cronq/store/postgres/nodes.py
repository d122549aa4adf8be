"""Which nodes there are, until when each may be believed, and what becomes of the runs of one that is lost.

A node is one `cronq run` or `cronq worker`. Its lease covers all that it has in hand: it is renewed every
`BEAT_S`, and when it has ended, any other node takes the runs over and ends their attempts as abandoned (see
`cronq.lost_nodes`). The number of the attempt fences off what a node writes that comes back late.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

from cronq.model import SECOND, AttemptKey, Micros
from cronq.store import queries, rows
from cronq.store.base import Held
from cronq.store.connection import transaction
from cronq.store.postgres.connection import Connection
from cronq.store.postgres.messages import BURY_DEAD, BURY_WORKERS, STALLED_S
from cronq.store.sqlite_scheduler import SchedulerSide

LEASE_S = float(os.environ.get("CRONQ_LEASE") or 30.0)
"""The variable is for tests: all nodes of a ledger must have the same."""
BEAT_S = LEASE_S / 3
UNSENT_S = 10.0
"""A run that waits for so long, and of which no message is on its way, gets another one."""
KEPT_NODES = 1000
"""So many that are gone are remembered."""
_FOLLOWED = "clock_was_set_back_from"
_SAME_STEP: Micros = 60 * SECOND
"""Nodes notice a step at their next turn, so what they say of it differs."""
_MENDED = 200
"""Messages that one beat puts at most."""

_COLUMNS = """
    id, host, boot_id, seat, pid, fires, slots, queues, version, started_at, beat_at, lease_until, stopped_at,
    lost_at
"""

_REGISTER = f"""
INSERT INTO node (host, boot_id, seat, pid, fires, slots, queues, version, started_at, beat_at, lease_until)
SELECT %(host)s, %(boot_id)s, %(seat)s, %(pid)s, %(fires)s, %(slots)s, %(queues)s, %(version)s, now, now,
    now + %(lease)s
FROM (SELECT cronq_now() AS now) AS clock RETURNING {_COLUMNS}
"""
# Those that sat here before: whoever has the lock of a seat knows that they are dead.
_PREDECESSORS = """
UPDATE node SET lost_at = cronq_now()
WHERE host = %(host)s AND seat = %(seat)s AND id <> %(id)s AND stopped_at IS NULL AND lost_at IS NULL
"""
# Also of one that left by itself, with attempts that could not be stopped.
_INHERIT = """
UPDATE run SET node = %(id)s WHERE state = 'running' AND node IN (
    SELECT id FROM node WHERE host = %(host)s AND seat = %(seat)s AND id <> %(id)s)
"""
_FORGET = """
DELETE FROM node WHERE id <= %s AND (stopped_at IS NOT NULL OR lost_at IS NOT NULL)
    AND NOT EXISTS (SELECT 1 FROM run WHERE run.node = node.id)
"""

# Its own row only, so it waits for nobody's turn.
_BEAT = """
UPDATE node SET beat_at = cronq_now(), lease_until = cronq_now() + %s
WHERE id = %s AND lost_at IS NULL AND stopped_at IS NULL RETURNING beat_at
"""
_STOP = "UPDATE node SET stopped_at = cronq_now() WHERE id = %s AND stopped_at IS NULL"
# Unless it has beaten meanwhile.
_LOSE = """
UPDATE node SET lost_at = cronq_now() FROM unnest(%s::bigint[], %s::bigint[]) AS seen (id, beat_at)
WHERE node.id = seen.id AND node.beat_at = seen.beat_at AND node.lost_at IS NULL
"""
_LOST = "SELECT id FROM node WHERE lost_at IS NOT NULL"
_TAKE = f"UPDATE run SET node = %s WHERE state = 'running' AND node IN ({_LOST}) RETURNING id, attempt"
_ANY_LEFT = f"SELECT 1 FROM run WHERE state = 'running' AND node IN ({_LOST}) LIMIT 1"
# Also those that left by themselves, with attempts that could not be stopped.
_OTHERS = f"""
SELECT {_COLUMNS} FROM node WHERE id <> %s AND lost_at IS NULL AND (stopped_at IS NULL
    OR EXISTS (SELECT 1 FROM run WHERE run.node = node.id AND run.state = 'running'))
"""
_LIST = f"SELECT {_COLUMNS} FROM node WHERE stopped_at IS NULL AND lost_at IS NULL ORDER BY id"

_ANY_UNSENT = "SELECT 1 FROM run WHERE state = 'queued' AND wire IS NULL AND available_at <= %s LIMIT 1"

_IN_HAND = "SELECT node, count(*) FROM run WHERE state = 'running' AND node IS NOT NULL GROUP BY node"
# Only people ask; the whole queue is walked.
_QUEUES = """
SELECT coalesce(j.queue, 'default') AS name, count(*), min(r.available_at)
FROM run r JOIN job j ON j.id = r.job_id
WHERE r.state = 'queued' AND r.available_at <= cronq_now() AND (j.paused_at IS NULL OR r.trigger = 'manual')
GROUP BY 1 ORDER BY 1
"""

# Index run_in_hand.
_HELD = f"""
SELECT {queries.RUN_COLUMNS}, {queries.ATTEMPT_COLUMNS}, a.host, a.seat
{queries.RUN_FROM} JOIN attempt a ON a.run_id = r.id AND a.attempt = r.attempt
WHERE r.state = 'running' AND r.node = %s ORDER BY r.id
"""
_STOPS = """
SELECT id, attempt, stop_reason FROM run WHERE state = 'running' AND node = %s AND stop_reason IS NOT NULL
"""

# When a run becomes available that was not when it was queued. Index run_unsent.
_SEND = """
UPDATE run SET wire = cronq_send(id, job_id, priority)
WHERE state = 'queued' AND wire IS NULL AND available_at <= %s
"""
# A message that was taken by a worker that could do nothing with it, or died with it, is gone; so is one that
# somebody removed. One that is held for so long, and its run waits, is held by a node that is busy with
# others, or stands still while its child lives. Runs that could not start anyway get none.
_MEND = f"""
UPDATE run SET wire = cronq_send(run.id, run.job_id, run.priority)
FROM (SELECT r.id FROM run r JOIN job j ON j.id = r.job_id
    WHERE r.state = 'queued' AND r.available_at <= %s AND (j.paused_at IS NULL OR r.trigger = 'manual')
        AND (j.max_running IS NULL
            OR (SELECT count(*) FROM run x WHERE x.job_id = r.job_id AND x.state = 'running') < j.max_running)
        AND NOT EXISTS (SELECT 1 FROM procrastinate_jobs m WHERE m.id = r.wire AND m.status = 'todo')
    ORDER BY -r.priority, r.available_at, r.id LIMIT {_MENDED}) AS stuck
WHERE run.id = stuck.id
"""


class Node(NamedTuple):
    """A row of `node`; instants are UTC microseconds by the database's clock.

    Attributes:
        seat: Its folder; see `cronq.seat`.
        fires: Whether it is a scheduler, too.
        queues: Names, separated by spaces; None: all.
    """

    id: int
    host: str
    boot_id: str
    seat: str
    pid: int
    fires: bool
    slots: int
    queues: str | None
    version: str
    started_at: Micros
    beat_at: Micros
    lease_until: Micros
    stopped_at: Micros | None
    lost_at: Micros | None


class Charge(NamedTuple):
    """A running run that a node has to end, whoever began with it.

    Attributes:
        host: Where its attempt was begun; None: not by a node.
        seat: The same.
    """

    held: Held
    host: str | None
    seat: str | None


class QueueLine(NamedTuple):
    """A queue in which runs wait.

    Attributes:
        oldest_at: Since when the first of them has been available.
    """

    name: str
    waiting: int
    oldest_at: Micros


class NodeSide(SchedulerSide):
    """What a node asks of the ledger, besides what a scheduler does."""

    _db: Connection  # type: ignore[assignment]
    _node: Node | None = None

    def register(
        self, *, host: str, boot_id: str, seat: str, pid: int, fires: bool, slots: int, version: str,
        queues: Sequence[str] | None,
    ) -> Node:  # fmt: skip
        """Become a node, and take over the runs of those that sat here before."""
        values = {
            "host": host,
            "boot_id": boot_id,
            "seat": seat,
            "pid": pid,
            "fires": fires,
            "slots": slots,
            "version": version,
            "queues": None if queues is None else " ".join(queues),
            "lease": round(LEASE_S * SECOND),
        }
        with transaction(self._db, self._path):  # type: ignore[arg-type]
            node = Node(*self._found(_REGISTER, values)[0])
            known = {"host": host, "seat": seat, "id": node.id}
            self._db.plain(_PREDECESSORS, known)
            self._db.plain(_INHERIT, known)
            self._db.plain(_FORGET, (node.id - KEPT_NODES,))
        self._node = node
        self._db.node = node.id
        return node

    @property
    def node(self) -> Node:
        """The node that this is."""
        assert self._node is not None, "not registered"
        return self._node

    def beat(self) -> Micros | None:
        """Renew the lease; return the database's time, or None if this node was given up meanwhile."""
        found = self._found(_BEAT, (round(LEASE_S * SECOND), self.node.id))
        return int(found[0][0]) if found else None

    def leave(self) -> None:
        """End the life of this node."""
        self._db.plain(_STOP, (self.node.id,))

    def nodes(self) -> list[Node]:
        """Return those that are not gone, as far as is known."""
        return [Node(*row) for row in self._found(_LIST)]

    def in_hand(self) -> dict[int, int]:
        """Return how many runs each node has in hand, by its number."""
        return dict(self._found(_IN_HAND))

    def queue_lines(self) -> list[QueueLine]:
        """Return the queues in which runs wait, by name."""
        return [QueueLine(*row) for row in self._found(_QUEUES)]

    def database_now(self) -> Micros:
        """Return what the database's clock shows."""
        return int(self._found("SELECT cronq_now()")[0][0])

    def others(self) -> list[Node]:
        """Return the other nodes that may have something in hand, and are not known to be lost."""
        return [Node(*row) for row in self._found(_OTHERS, (self.node.id,))]

    def take_over(self, lost: Sequence[Node]) -> list[AttemptKey]:
        """Take the runs of nodes that are lost, unless they have beaten since they were read.

        Returns:
            The attempts that they had in hand: they are among this node's `charges` now, and can be ended.
        """
        if not lost and not self._found(_ANY_LEFT):
            return []
        with transaction(self._db, self._path):  # type: ignore[arg-type]
            self._db.plain(_LOSE, ([node.id for node in lost], [node.beat_at for node in lost]))
            taken = self._found(_TAKE, (self.node.id,))
        return sorted((run_id, number) for run_id, number in taken)

    def follow_clock_back(self, before: Micros | None, *, now: Micros) -> int:
        """Let retries keep their delays after the database's clock was set back: once, whoever notices.

        What the ledger shows of it (`before` is None) is left alone: it is of other hosts as well, whose
        reading of that clock is a few milliseconds ahead or behind.
        """
        if before is None:
            return 0
        # The turn is taken before the question.
        with self.together(), transaction(self._db, self._path):  # type: ignore[arg-type]
            followed = self.fact(_FOLLOWED)
            if followed is not None and abs(int(followed) - before) < _SAME_STEP:
                return 0
            self.set_fact(_FOLLOWED, str(before))
            return super().follow_clock_back(before, now=now)

    def held(self) -> list[Held]:
        """Return the running runs of this node; of all, if it is none."""
        if self._node is None:
            return super().held()
        return [charge.held for charge in self.charges()]

    def charges(self) -> list[Charge]:
        """Return the running runs of this node, with where their attempts were begun."""
        return [Charge(self._as_held(row), *row[-2:]) for row in self._found(_HELD, (self.node.id,))]

    def stop_requests(self) -> list[tuple[AttemptKey, str]]:
        """Return the attempts of this node that are to be stopped, with the reason."""
        if self._node is None:
            return super().stop_requests()
        return [((run_id, number), reason) for run_id, number, reason in self._found(_STOPS, (self.node.id,))]

    def send_waiting(self, now: Micros) -> int:
        """Put messages for runs that have become available; return how many."""
        if not self._found(_ANY_UNSENT, (now,)):
            return 0
        with transaction(self._db, self._path):  # type: ignore[arg-type]
            return self._db.plain(_SEND, (now,)).rowcount

    def mend_wire(self, now: Micros, *, unsent_s: float = UNSENT_S) -> int:
        """Remove messages of dead workers, and put new ones for runs that wait for want of one; how many."""
        with transaction(self._db, self._path):  # type: ignore[arg-type]
            self._db.execute(BURY_DEAD, {"stalled_s": STALLED_S})
            self._db.execute(BURY_WORKERS, {"stalled_s": STALLED_S})
            return self._db.plain(_MEND, (now - round(unsent_s * SECOND),)).rowcount

    def _found(self, statement: str, values: Any = None) -> list[rows.Row]:  # noqa: ANN401
        return self._db.plain(statement, values).fetchall()
