"""The statements about portable states: what they hold of a ledger, and a ledger that is made of one."""

from cronq.store.queries import ATTEMPT_COLUMNS, JOB_COLUMNS, JOB_FROM, RUN_COLUMNS, RUN_FROM

# All jobs, by name. Index job_name.
PORTABLE_JOBS = f"SELECT {JOB_COLUMNS} {JOB_FROM} WHERE j.removed_at IS NULL ORDER BY j.name"

# A job's newest done runs. Index run_history, from its end, so the limit ends the walk.
PORTABLE_DONE = f"""
SELECT {RUN_COLUMNS} {RUN_FROM} WHERE r.job_id = ? AND r.state = 'done' ORDER BY r.id DESC LIMIT ?
"""
# Its newest run of an outcome. Index run_history: as long as the walk back to it.
PORTABLE_LAST = f"""
SELECT {RUN_COLUMNS} {RUN_FROM} WHERE r.job_id = ? AND r.outcome = ? ORDER BY r.id DESC LIMIT 1
"""
# What is open of it. Indexes run_waiting and run_running.
PORTABLE_OPEN = f"""
SELECT {RUN_COLUMNS}, {ATTEMPT_COLUMNS} {RUN_FROM}
LEFT JOIN attempt a ON a.run_id = r.id AND a.attempt = r.attempt
WHERE r.id IN (
    SELECT x.id FROM run x WHERE x.job_id = :job_id AND x.state = 'queued'
    UNION ALL SELECT x.id FROM run x WHERE x.job_id = :job_id AND x.state = 'running')
ORDER BY r.logical_at, r.id
"""
PORTABLE_RUNS = "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'run'), 0)"

# A ledger is emptied before another one is made in its place, in one transaction.
PLANT_EMPTY = (
    "DELETE FROM hold",
    "DELETE FROM attempt",
    "DELETE FROM run",
    "DELETE FROM definition",
    "DELETE FROM job",
    "DELETE FROM lock",
    "DELETE FROM calendar",
    "DELETE FROM calendar_text",
    "DELETE FROM fact",
)
PLANT_JOB = """
INSERT INTO job (name, revision, next_fire_at, max_running, keep, locks, queue, at_startup, created_at,
    changed_at, paused_at, origin)
VALUES (?, 1, ?, ?, ?, ?, ?, 0, ?, ?, ?, 'file') RETURNING id
"""
PLANT_RUN = """
INSERT INTO run (id, job_id, revision, trigger, logical_at, fire_at, last_fire_at, fire_count, state, outcome,
    reason, priority, queued_at, available_at, attempt, failures, worker, started_at, finished_at)
VALUES (:id, :job_id, 1, :trigger, :logical_at, :fire_at, :last_fire_at, :fire_count, :state, :outcome,
    :reason, :priority, :queued_at, :available_at, :attempt, :failures, :worker, :started_at, :finished_at)
"""
PLANT_ATTEMPT = """
INSERT INTO attempt (run_id, attempt, worker, boot_id, claimed_at, started_at, finished_at, outcome, reason,
    exit_code)
VALUES (?, ?, 'elsewhere', 'elsewhere', ?, ?, ?, ?, ?, ?)
"""
# No number is given twice, also to runs that the state has forgotten.
PLANT_SEQUENCE = (
    "DELETE FROM sqlite_sequence WHERE name = 'run'",
    "INSERT INTO sqlite_sequence (name, seq) VALUES ('run', ?)",
)
