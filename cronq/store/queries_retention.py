"""The statements of retention; written like those in `cronq.store.queries`, and held to the same rules."""

# The sweep, and `prune`. Index job_keep: jobs without limits are never looked at.
JOB_KEPT = "SELECT id, name, keep, removed_at FROM job WHERE keep IS NOT NULL AND id > ? ORDER BY id LIMIT ?"

# `prune --keep`: removed jobs, too. Primary key.
JOB_EVER = "SELECT id, name, keep, removed_at FROM job WHERE id > ? ORDER BY id LIMIT ?"
JOB_HISTORY = "SELECT id, name, keep, removed_at FROM job WHERE id = ?"

# How far a number of runs reaches. Index run_history, newest first; the caller bounds the offset.
RUN_NTH = """
SELECT id FROM run WHERE job_id = ? AND state = 'done' AND id < ? ORDER BY id DESC LIMIT 1 OFFSET ?
"""

# How far a size of logs reaches. Index run_executed, newest first, page by page.
RUN_LOGGED = """
SELECT id, attempt FROM run WHERE job_id = ? AND state = 'done' AND attempt > 0 AND id < ?
ORDER BY id DESC LIMIT ?
"""

# What is to go. Index run_history, oldest first, page by page.
RUN_OLDEST = """
SELECT id, attempt, queued_at, finished_at FROM run WHERE job_id = ? AND id > ? ORDER BY id LIMIT ?
"""

# What stays, however old: the newest that is done and the newest that was executed (`list` shows them), the
# newest success (CRONQ_LAST_SUCCESS), the newest fire time (new schedules begin after it), and the newest
# start-up run (it says that this boot had its run). Indexes run_history, run_executed, run_success, and
# those of the two unique keys; + keeps SQLite from walking the history to find the last of a few.
RUN_SPARED = """
SELECT (SELECT id FROM run WHERE job_id = :job_id AND state = 'done' ORDER BY id DESC LIMIT 1),
    (SELECT id FROM run WHERE job_id = :job_id AND state = 'done' AND attempt > 0 ORDER BY id DESC LIMIT 1),
    (SELECT id FROM run WHERE job_id = :job_id AND outcome = 'success'
        ORDER BY logical_at DESC, id DESC LIMIT 1),
    (SELECT id FROM run WHERE job_id = :job_id AND fire_at IS NOT NULL ORDER BY fire_at DESC LIMIT 1),
    (SELECT max(+id) FROM run WHERE job_id = :job_id AND trigger_key IS NOT NULL)
"""

# Primary key; the guard is the state. Attempts and holds go with it.
RUN_REMOVE = "DELETE FROM run WHERE id = ? AND job_id = ? AND state = 'done' RETURNING last_fire_at"

# In the same transaction: what can be proved of the past begins after what was removed.
JOB_PRUNED = "UPDATE job SET pruned_before = max(coalesce(pruned_before, :at), :at) WHERE id = :id"

# A tombstone that nothing tells of any more; its definitions go with it. Index run_history.
JOB_FORGET = """
DELETE FROM job WHERE id = ? AND removed_at IS NOT NULL AND keep IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM run WHERE run.job_id = job.id)
"""

# Whether a folder of logs is needed: numbers are given once, so that past ones never come again. Primary key.
RUN_BETWEEN = "SELECT EXISTS (SELECT 1 FROM run WHERE id BETWEEN :first AND :last), (SELECT max(id) FROM run)"

# `status` and `doctor`. Index job_keep.
JOB_KEPT_COUNT = "SELECT count(*) FROM job WHERE keep IS NOT NULL AND removed_at IS NULL"
