"""The statements about messages: put one, ask which are live, bury dead ones, withdraw one. Pure text.

They name Procrastinate's tables without a schema: they run on connections, and in functions, whose
`search_path` holds it. A trigger function that puts messages says `SET search_path FROM CURRENT`, because
`procrastinate_defer_jobs_v1` itself looks its table up by the caller's path.

Source: procrastinate/sql/schema.sql and queries.sql, the same text in 3.9.0 and 3.10.0.
"""

from __future__ import annotations

from typing import Final

TASK: Final = "cronq.run"
"""The only task; its only argument is `run_id`."""
HEARTBEAT_S: Final = 10.0
"""How often a child says that it lives. Procrastinate's own default (worker.py, 3.10.0)."""
STALLED_S: Final = 30.0
"""A child that has said nothing for so long is dead, and what it holds, too. The same source."""
LONGEST_QUEUE: Final = 40
"""Bytes of a queue's name; the same as `cronq.names.LONGEST_QUEUE`, which is what people meet.

Each message notifies `procrastinate_queue_v1#<queue>` (schema.sql, 3.10.0), and pg_notify refuses names of 64
bytes or more: the transaction that queued the run would fail. Source: PostgreSQL, NOTIFY, and NAMEDATALEN.
"""


def put_expression(run_id: str, queue: str, priority: str) -> str:
    """Return an expression that puts a message, in its transaction, and whose value is the message's id.

    Args:
        run_id: SQL expression of type bigint, as `NEW.id`.
        queue: The same, text of `LONGEST_QUEUE` bytes or fewer.
        priority: The same, of any integer type; higher is earlier, as Procrastinate has it.
    """
    # Fields of procrastinate_job_to_defer_v1: queue_name, task_name, priority, lock, queueing_lock, args,
    # scheduled_at. A lock would block all messages of its name if one of them died in `doing`.
    clamped = f"least(greatest({priority}, -2147483648), 2147483647)::integer"
    return (
        "(procrastinate_defer_jobs_v1(ARRAY["
        f"ROW({queue}, '{TASK}', {clamped}, NULL, NULL, jsonb_build_object('run_id', {run_id}), NULL)"
        "::procrastinate_job_to_defer_v1]))[1]"
    )


# A worker that unregistered, or was pruned, leaves `worker_id` NULL (ON DELETE SET NULL), so the join finds
# nothing. clock_timestamp(), because a transaction may have waited for its turn for long.
_WORKER_LIVES = (
    "EXISTS (SELECT 1 FROM procrastinate_workers AS worker WHERE worker.id = job.worker_id"
    " AND worker.last_heartbeat >= clock_timestamp() - make_interval(secs => :stalled_s))"
)

LIVE = f"""
SELECT job.id FROM procrastinate_jobs AS job
WHERE job.id = ANY(CAST(:ids AS bigint[]))
  AND (job.status = 'todo' OR (job.status = 'doing' AND {_WORKER_LIVES}))
"""
"""Which of the messages `:ids` wait, or are held by a child that lives. `:stalled_s`: see `STALLED_S`."""

BURY_DEAD = f"""
DELETE FROM procrastinate_jobs AS job
WHERE job.status = 'doing' AND NOT {_WORKER_LIVES}
RETURNING job.id, job.queue_name, CAST(job.args ->> 'run_id' AS bigint) AS run_id
"""
"""Remove the messages that were held by children that are dead; what they permitted is for the sweep to see.

Not `procrastinate_finish_job_v1`, which raises if somebody else was quicker. A child that was only slow, and
is done with its message later, finds that out and thinks nothing of it.
"""

BURY_WORKERS = "SELECT worker_id FROM procrastinate_prune_stalled_workers_v1(CAST(:stalled_s AS float))"
"""Forget the children that are dead; each child that starts does so, too. After `BURY_DEAD`, or before."""

WITHDRAW = """
SELECT id FROM unnest(CAST(:ids AS bigint[])) AS id
WHERE procrastinate_cancel_job_v1(id, false, true) IS NOT NULL
"""
"""Remove those of the messages `:ids` that nobody holds yet; returns them."""

WITHDRAWN = """
DELETE FROM procrastinate_jobs WHERE id IN (
    SELECT id FROM procrastinate_jobs WHERE id IN ({wires}) AND status = 'todo' FOR UPDATE SKIP LOCKED)
"""
"""As part of a statement: remove those of some messages that nobody holds, nor is just about to take."""
