"""One text of each statement for both databases: what SQLite's dialect says otherwise than PostgreSQL's.

The statements are those of `cronq.store.queries*`. Most differ in the marks of their parameters alone, and in
`IS`, which compares any values in SQLite and only truth values here; the few that do not are written anew.
"""

from __future__ import annotations

import re
from functools import cache

from cronq.store import queries, queries_history, queries_retention

_JSON_LIST = re.compile(r"SELECT value FROM json_each\((\?|:\w+)\)")
_IS = re.compile(r"\bIS (\?|:\w+)")
_NAMED = re.compile(r"(?<![:\w]):([a-z_]+)")

# A definition that cannot be read must not hold up the others: cronq_priority is made by the migrations.
_STARTUP = """
SELECT id, revision,
    (SELECT cronq_priority(document) FROM definition d WHERE d.job_id = job.id AND d.revision = job.revision)
FROM job WHERE at_startup AND paused_at IS NULL AND removed_at IS NULL
    AND NOT EXISTS (SELECT 1 FROM run WHERE run.job_id = job.id AND run.trigger_key = ?)
ORDER BY id
"""
# Not a join: for those PostgreSQL would rather read all attempts.
_LATEST = """
SELECT max(greatest(r.queued_at, coalesce(
    (SELECT a.finished_at FROM attempt a WHERE a.run_id = r.id AND a.attempt = r.attempt), 0)))
FROM run r WHERE r.state = 'queued'
"""
_MISFITS = """
SELECT id, became, attempt, tries, newest, open_rows, last_outcome, last_exit_code, is_forsaken
FROM (SELECT r.id, r.state, r.outcome, coalesce(r.outcome, r.state) AS became, r.attempt,
    count(a.attempt) AS tries,
    coalesce(max(a.attempt), 0) AS newest,
    count(*) FILTER (WHERE a.attempt IS NOT NULL AND a.outcome IS NULL) AS open_rows,
    max(CASE WHEN a.attempt = r.attempt THEN a.outcome END) AS last_outcome,
    max(CASE WHEN a.attempt = r.attempt THEN a.exit_code END) AS last_exit_code,
    r.state = 'queued' AND j.removed_at IS NOT NULL AS is_forsaken
FROM run r JOIN job j ON j.id = r.job_id LEFT JOIN attempt a ON a.run_id = r.id
WHERE r.job_id = ? AND r.queued_at >= ?
GROUP BY r.id, j.removed_at) AS tried
WHERE tries <> attempt OR newest <> attempt
    OR open_rows <> CASE WHEN state = 'running' THEN 1 ELSE 0 END
    OR (state = 'done' AND attempt > 0 AND outcome IS DISTINCT FROM last_outcome
        AND (outcome <> 'cancelled' OR last_outcome = 'success'))
    OR (last_outcome = 'success' AND last_exit_code IS NULL)
    OR (state <> 'done' AND last_outcome = 'success') OR is_forsaken
"""
_BYSTANDERS = queries_history.PAST_BYSTANDERS.replace(
    "json_extract(d.document, '$.locks')", "(d.document::json -> 'locks')::text"
)
_PRUNED = "UPDATE job SET pruned_before = greatest(coalesce(pruned_before, :at), :at) WHERE id = :id"
_SLOTS_FREE = """
SELECT slots - (SELECT count(*) FROM run WHERE state = 'running')
FROM (SELECT coalesce((SELECT sum(slots) FROM node WHERE stopped_at IS NULL AND lost_at IS NULL),
    (SELECT slots FROM scheduler ORDER BY id DESC LIMIT 1)) AS slots) AS known
WHERE slots IS NOT NULL
"""

_ANEW = {
    queries.JOB_STARTUP: _STARTUP,
    queries.RUN_LATEST: _LATEST,
    queries.SLOTS_FREE: _SLOTS_FREE,
    queries_history.PAST_MISFITS: _MISFITS,
    queries_history.PAST_BYSTANDERS: _BYSTANDERS,
    queries_retention.JOB_PRUNED: _PRUNED,
}


@cache
def translated(statement: str) -> str:
    """Return a statement as psycopg sends it (psycopg.org/psycopg3/docs/basic/params.html)."""
    text = _ANEW.get(statement, statement)
    text = _JSON_LIST.sub(r"SELECT value::bigint FROM json_array_elements_text(\1::json)", text)
    text = _IS.sub(r"IS NOT DISTINCT FROM \1", text)
    text = _NAMED.sub(r"%(\1)s", text.replace("%", "%%"))
    return text.replace("?", "%s")
