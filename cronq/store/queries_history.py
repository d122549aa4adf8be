"""The statements about the past: what was in force when, what is recorded of it, and who was there."""

from cronq.store.queries import JOB_COLUMNS, RUN_COLUMNS, RUN_FROM

# `audit`, `why`. Primary keys; removed jobs included, and one whose definition is lost: it must not vanish.
PAST_JOB = f"""
SELECT {JOB_COLUMNS}, j.pruned_before, (SELECT x.last_fire_at FROM run x
    WHERE x.job_id = j.id AND x.fire_at IS NOT NULL ORDER BY x.fire_at DESC LIMIT 1)
FROM job j LEFT JOIN definition d ON d.job_id = j.id AND d.revision = j.revision WHERE j.id = ?
"""
PAST_REVISIONS = """
SELECT revision, since, document, tzdata FROM definition WHERE job_id = ? ORDER BY revision
"""
PAST_IDS = "SELECT id FROM job ORDER BY name, id"

# `audit`. UNIQUE (job_id, fire_at) gives the order. A row that begins before the instant may reach beyond it;
# there is one such at most, the last that begins before.
PAST_RECORDED = """
SELECT id, fire_at, last_fire_at, fire_count, coalesce(outcome, state), reason = :uncomputable, revision
FROM run
WHERE job_id = :job_id AND last_fire_at > :after AND fire_at >= coalesce(
    (SELECT max(x.fire_at) FROM run x WHERE x.job_id = :job_id AND x.fire_at <= :after), :after)
ORDER BY fire_at
"""

# `audit`. Index run_history gives the order in which attempts are gathered; their key finds them. A queued
# run that is cancelled keeps the outcome of the attempt before, which was no success: it was to be retried.
PAST_MISFITS = """
SELECT r.id, coalesce(r.outcome, r.state), r.attempt, count(a.attempt), coalesce(max(a.attempt), 0),
    sum(a.attempt IS NOT NULL AND a.outcome IS NULL) AS open_rows,
    max(CASE WHEN a.attempt = r.attempt THEN a.outcome END) AS last_outcome,
    max(CASE WHEN a.attempt = r.attempt THEN a.exit_code END) AS last_exit_code,
    r.state = 'queued' AND j.removed_at IS NOT NULL AS is_forsaken
FROM run r JOIN job j ON j.id = r.job_id LEFT JOIN attempt a ON a.run_id = r.id
WHERE r.job_id = ? AND r.queued_at >= ?
GROUP BY r.id
HAVING count(a.attempt) <> r.attempt OR coalesce(max(a.attempt), 0) <> r.attempt
    OR open_rows <> (r.state = 'running')
    OR (r.state = 'done' AND r.attempt > 0 AND r.outcome IS NOT last_outcome
        AND (r.outcome <> 'cancelled' OR last_outcome = 'success'))
    OR (last_outcome = 'success' AND last_exit_code IS NULL)
    OR (r.state <> 'done' AND last_outcome = 'success') OR is_forsaken
"""

# `audit`. Index run_history, and the key of attempts.
PAST_MISJUDGED = """
SELECT r.id, a.attempt, r.revision, a.outcome, a.exit_code FROM run r JOIN attempt a ON a.run_id = r.id
WHERE r.job_id = :job_id AND r.queued_at >= :since AND r.revision IN (SELECT value FROM json_each(:revisions))
    AND a.outcome IN ('success', 'failure') AND a.exit_code IS NOT NULL
    AND (a.outcome = 'success') <> (a.exit_code IN (SELECT value FROM json_each(:codes)))
ORDER BY r.id
"""

# `why`. UNIQUE (job_id, fire_at), from the instant on, in either direction.
PAST_ROW_AT = f"""
SELECT {RUN_COLUMNS} {RUN_FROM} WHERE r.job_id = ? AND r.fire_at <= ? ORDER BY r.fire_at DESC LIMIT 1
"""
PAST_ROW_AFTER = f"""
SELECT {RUN_COLUMNS} {RUN_FROM} WHERE r.job_id = ? AND r.fire_at > ? ORDER BY r.fire_at LIMIT 1
"""

# `why`, of a job without fire times. Index run_history.
PAST_NEWEST = f"SELECT {RUN_COLUMNS} {RUN_FROM} WHERE r.job_id = ? ORDER BY r.id DESC LIMIT 1"

# `why`. Indexes run_waiting and run_running.
PAST_ACTIVE = f"""
SELECT {RUN_COLUMNS} {RUN_FROM} WHERE r.id IN (
    SELECT x.id FROM run x WHERE x.job_id = :job_id AND x.state = 'queued'
    UNION ALL SELECT x.id FROM run x WHERE x.job_id = :job_id AND x.state = 'running')
ORDER BY r.id
"""

# `why`. A bounded stretch of the primary key.
PAST_BYSTANDERS = """
SELECT r.id, j.name, r.queued_at, CASE WHEN r.started_at <= :at THEN r.started_at END,
    (SELECT json_extract(d.document, '$.locks') FROM definition d
    WHERE d.job_id = r.job_id AND d.revision = r.revision)
FROM run r JOIN job j ON j.id = r.job_id
WHERE r.id >= :first AND r.id < :run_id AND r.queued_at <= :at
    AND coalesce(r.outcome, '') NOT IN ('skipped', 'missed')
    AND (r.finished_at IS NULL OR r.finished_at > :at)
ORDER BY r.id DESC
"""

# Scheduler, at its start and end. Primary key.
LIFE_ADD = """
INSERT INTO scheduler (started_at, pid, boot_id, version, slots) VALUES (?, ?, ?, ?, ?) RETURNING id
"""
LIFE_END = "UPDATE scheduler SET stopped_at = ? WHERE id = ?"
LIFE_FORGET = "DELETE FROM scheduler WHERE id <= ?"

# `why`. Index scheduler_started. Of those that started before, only the last may still have lived.
LIFE_LIST = """
SELECT id, started_at, stopped_at, pid, boot_id, version FROM scheduler
WHERE started_at <= :end AND started_at >= coalesce(
    (SELECT max(x.started_at) FROM scheduler x WHERE x.started_at <= :start), :start)
ORDER BY started_at, id
"""

# `overdue`. Index run_success, backwards, a few rows: a retry of something older may have ended last.
PAST_SUCCESS = """
SELECT max(logical_at), max(finished_at) FROM (SELECT logical_at, finished_at FROM run
    WHERE job_id = ? AND outcome = 'success' ORDER BY logical_at DESC LIMIT 10) AS newest
"""
