"""Output in the ledger: what hosts ship of it, what others read, and who wants to see it as it comes.

Shipping takes no turn among the writers, and waits for nobody: one statement puts pieces of any attempts that
exist, and passes over those that somebody is about to remove.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from cronq.model import SECOND, AttemptKey
from cronq.store import rows
from cronq.store.postgres.connection import Connection

# In this order, as those who remove do.
_SHIP = """
WITH known AS (
    SELECT a.run_id, a.attempt FROM attempt a
    JOIN unnest(%(runs)s::bigint[], %(attempts)s::bigint[]) AS k (run_id, attempt) USING (run_id, attempt)
    ORDER BY a.run_id, a.attempt FOR NO KEY UPDATE OF a SKIP LOCKED
), put AS (
    INSERT INTO output (run_id, attempt, position, data)
    SELECT run_id, attempt, position, data
    FROM unnest(%(of_runs)s::bigint[], %(of_attempts)s::bigint[], %(positions)s::bigint[], %(data)b::bytea[])
        AS p (run_id, attempt, position, data)
    JOIN known USING (run_id, attempt)
    ON CONFLICT (run_id, attempt, position) DO UPDATE SET data = excluded.data
), over AS (
    UPDATE attempt SET is_shipped = true FROM known
    JOIN unnest(%(over_runs)s::bigint[], %(over_attempts)s::bigint[]) AS o (run_id, attempt)
        USING (run_id, attempt)
    WHERE attempt.run_id = known.run_id AND attempt.attempt = known.attempt
)
SELECT run_id, attempt FROM known
"""
_CLEAR = "DELETE FROM output WHERE run_id = %s AND attempt = %s"
_THIN = "DELETE FROM output WHERE run_id = %s AND attempt = %s AND position BETWEEN %s AND %s"
# Index attempt_unshipped.
_UNSHIPPED = """
SELECT a.run_id, a.attempt, a.worker, r.job_id, r.revision FROM attempt a JOIN run r ON r.id = a.run_id
WHERE a.host = %(host)s AND a.seat = %(seat)s AND (a.run_id, a.attempt) > (%(run)s, %(attempt)s)
    AND NOT a.is_shipped AND (a.output_bytes > 0 OR a.outcome = 'abandoned')
ORDER BY a.run_id, a.attempt LIMIT %(limit)s
"""
_FOLLOWED = """
SELECT a.run_id, a.attempt, a.worker, r.job_id, r.revision
FROM follow f JOIN run r ON r.id = f.run_id JOIN attempt a ON a.run_id = r.id AND a.attempt = r.attempt
WHERE f.until > cronq_now() AND r.state = 'running' AND r.node = %s ORDER BY a.run_id
"""
_FOLLOW = """
INSERT INTO follow (run_id, until) SELECT id, cronq_now() + %(for)s FROM run WHERE id = %(run)s
ON CONFLICT (run_id) DO UPDATE SET until = greatest(follow.until, excluded.until)
"""
_UNFOLLOW = "DELETE FROM follow WHERE until < cronq_now() - 60 * 1000000"
_TELL = "SELECT pg_notify('cronq_' || current_schema(), %s)"
_WHEREABOUTS = "SELECT host, seat, is_shipped FROM attempt WHERE run_id = %s AND attempt = %s"
# From the piece on in which the position is.
_FROM = """
WITH piece AS NOT MATERIALIZED (
    SELECT position, data FROM output WHERE run_id = %(run)s AND attempt = %(attempt)s)
SELECT position, data FROM piece
WHERE position >= coalesce((SELECT max(position) FROM piece WHERE position <= %(at)s), 0)
ORDER BY position LIMIT %(limit)s
"""
_BETWEEN = """
SELECT array_agg(id) FILTER (WHERE id BETWEEN %(first)s AND %(last)s), coalesce(max(id), 0)
FROM (SELECT id FROM run WHERE id BETWEEN %(first)s AND %(last)s UNION SELECT max(id) FROM run) AS found
"""
_BEFORE = """
SELECT position, data FROM output WHERE run_id = %s AND attempt = %s AND position < %s
ORDER BY position DESC LIMIT %s
"""
FOLLOW = "follow"
"""What those who listen are told when somebody begins to follow a run."""

Piece = tuple[int, bytes]
"""Position and data."""


class Shippable(NamedTuple):
    """An attempt, as far as whoever ships its output must know it."""

    run_id: int
    attempt: int
    worker: str
    job_id: int
    revision: int

    @property
    def key(self) -> AttemptKey:
        """Run and attempt."""
        return (self.run_id, self.attempt)


class Whereabouts(NamedTuple):
    """Where an attempt was executed.

    Attributes:
        host: None: not by a node.
        seat: Name of the folder on that host.
        is_shipped: All of its output that is to be in the ledger is there.
    """

    host: str | None
    seat: str | None
    is_shipped: bool


class OutputSide:
    """What `PostgresStore` does about output; each method is one statement."""

    _db: Connection

    def ship(
        self, pieces: Sequence[tuple[AttemptKey, Piece]], over: Collection[AttemptKey] = ()
    ) -> set[AttemptKey]:
        """Put pieces of output.

        Args:
            pieces: Those that are there already, at the same position, are replaced.
            over: Attempts of which nothing follows.

        Returns:
            The attempts for which that was done; the others do not exist, or are just being changed.
        """
        keys = sorted({*over, *(key for key, _ in pieces)})
        values = {
            "runs": [run_id for run_id, _ in keys],
            "attempts": [attempt for _, attempt in keys],
            "of_runs": [key[0] for key, _ in pieces],
            "of_attempts": [key[1] for key, _ in pieces],
            "positions": [position for _, (position, _) in pieces],
            "data": [data for _, (_, data) in pieces],
            "over_runs": [run_id for run_id, _ in over],
            "over_attempts": [attempt for _, attempt in over],
        }
        return {(run_id, attempt) for run_id, attempt in self._rows(_SHIP, values)}

    def clear_output(self, key: AttemptKey) -> None:
        """Remove what was shipped of an attempt."""
        self._db.plain(_CLEAR, key)

    def thin_output(self, key: AttemptKey, start: int, end: int) -> None:
        """Remove the pieces of an attempt whose positions lie within these."""
        self._db.plain(_THIN, (*key, start, end))

    def unshipped(self, host: str, seat: str, *, after: AttemptKey, limit: int) -> list[Shippable]:
        """Return attempts that have ended, and whose output is still to be shipped from a seat, in order."""
        values = {"host": host, "seat": seat, "run": after[0], "attempt": after[1], "limit": limit}
        return [Shippable(*row) for row in self._rows(_UNSHIPPED, values)]

    def followed(self, node: int) -> list[Shippable]:
        """Return the running attempts of a node whose output somebody wants to see as it comes."""
        return [Shippable(*row) for row in self._rows(_FOLLOWED, (node,))]

    def follow(self, run_id: int, for_s: float, *, tell: bool) -> None:
        """Ask that the output of a run be shipped as it comes, for so long; `tell`: at once."""
        self._db.plain(_FOLLOW, {"run": run_id, "for": round(for_s * SECOND)})
        if tell:
            self._db.plain(_UNFOLLOW)
            self._db.plain(_TELL, (FOLLOW,))

    def whereabouts(self, key: AttemptKey) -> Whereabouts:
        """Return where an attempt was executed."""
        found = self._rows(_WHEREABOUTS, key)
        return Whereabouts(*found[0]) if found else Whereabouts(None, None, is_shipped=False)

    def output_from(self, key: AttemptKey, at: int, *, limit: int) -> list[Piece]:
        """Return what was shipped, from the piece on that holds a position, or is next to it."""
        values = {"run": key[0], "attempt": key[1], "at": at, "limit": limit}
        return [(row[0], bytes(row[1])) for row in self._rows(_FROM, values)]

    def output_before(self, key: AttemptKey, at: int, *, limit: int) -> list[Piece]:
        """Return the last pieces before a position, the last first."""
        return [(row[0], bytes(row[1])) for row in self._rows(_BEFORE, (*key, at, limit))]

    def runs_between(self, first_id: int, last_id: int) -> tuple[frozenset[int], int]:
        """Return which runs with such numbers there are, and the number of the newest of all."""
        ids, newest = self._rows(_BETWEEN, {"first": first_id, "last": last_id})[0]
        return frozenset(ids or ()), newest

    def _rows(self, statement: str, values: Any) -> list[rows.Row]:  # noqa: ANN401
        return self._db.plain(statement, values).fetchall()
