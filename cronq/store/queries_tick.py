"""The statements of `cronq tick`: what is left to do within a bound, and what one tick did."""

from cronq.store.queries import ATTEMPT_COLUMNS, RUN_COLUMNS, RUN_FROM

# Whether a run is running, or will be available by an instant, of jobs that are not left alone. Indexes
# run_running and run_available.
TICK_WORK = """
SELECT EXISTS (SELECT 1 FROM run WHERE state = 'running') OR EXISTS (
    SELECT 1 FROM run r JOIN job j ON j.id = r.job_id
    WHERE r.state = 'queued' AND r.available_at <= ? AND (j.paused_at IS NULL OR r.trigger = 'manual')
        AND r.job_id NOT IN (SELECT value FROM json_each(?)))
"""

# Whether a run waits that could start, of jobs that are not left alone. Index run_available.
TICK_QUEUED = """
SELECT EXISTS (SELECT 1 FROM run r JOIN job j ON j.id = r.job_id
    WHERE r.state = 'queued' AND r.available_at <= ? AND (j.paused_at IS NULL OR r.trigger = 'manual')
        AND r.job_id NOT IN (SELECT value FROM json_each(?)))
"""

# When the next run becomes available, of jobs that are not left alone. Index run_available.
TICK_NEXT = """
SELECT r.available_at FROM run r JOIN job j ON j.id = r.job_id
WHERE r.state = 'queued' AND r.available_at > ? AND (j.paused_at IS NULL OR r.trigger = 'manual')
    AND r.job_id NOT IN (SELECT value FROM json_each(?))
ORDER BY r.available_at LIMIT 1
"""

# What is not done yet. Indexes run_waiting and run_running.
TICK_OPEN = """
SELECT id FROM run WHERE state = 'queued' UNION ALL SELECT id FROM run WHERE state = 'running'
"""
TICK_LAST = "SELECT coalesce(max(id), 0) FROM run"
TICK_JOBS = "SELECT id, name FROM job WHERE removed_at IS NULL"

# Whether jobs are what they were. All of them are looked at, a microsecond each.
TICK_STAMP = """
SELECT (SELECT count(*) FROM job), (SELECT coalesce(sum(revision), 0) FROM job),
    (SELECT coalesce(max(changed_at), 0) FROM job), (SELECT coalesce(max(changed_at), 0) FROM lock),
    (SELECT coalesce(max(changed_at), 0) FROM calendar)
"""

# What a tick made, or found open: its cases. Primary keys.
TICK_ROWS = f"""
SELECT {RUN_COLUMNS}, {ATTEMPT_COLUMNS}
{RUN_FROM} LEFT JOIN attempt a ON a.run_id = r.id AND a.attempt = r.attempt
WHERE r.id IN (SELECT id FROM run WHERE id > :last
    UNION SELECT value FROM json_each(:open))
ORDER BY r.id
"""
