"""Every statement of the SQLite store, by table and verb.

Above each: who runs it, which index serves it, and what makes it safe when others write at the same time
(all writing ones run inside BEGIN IMMEDIATE, so "safe" means: safe after whatever was committed before).
"""

JOB_COLUMNS = """
    j.id, j.name, j.revision, d.document, j.created_at, j.changed_at, j.next_fire_at, j.paused_at,
    j.removed_at, j.origin
"""
JOB_FROM = "FROM job j JOIN definition d ON d.job_id = j.id AND d.revision = j.revision"

RUN_COLUMNS = """
    r.id, r.job_id, j.name, r.revision, r.trigger, r.state, r.logical_at, r.queued_at, r.available_at,
    r.priority, r.fire_at, r.last_fire_at, r.fire_count, r.outcome, r.reason, r.attempt, r.failures,
    r.stop_reason, r.worker, r.started_at, r.finished_at
"""
RUN_FROM = "FROM run r JOIN job j ON j.id = r.job_id"
RUN_CHANGED_COLUMNS = RUN_COLUMNS.replace(
    "j.name", "(SELECT name FROM job WHERE job.id = run.job_id)"
).replace("r.", "")
"""The same of a run that a statement changes, for its RETURNING."""

ATTEMPT_COLUMNS = """
    a.run_id, a.attempt, a.worker, a.boot_id, a.claimed_at, a.started_at, a.finished_at, a.pid, a.outcome,
    a.reason, a.exit_code, a.signal, a.duration_s, a.user_s, a.system_s, a.max_rss, a.output_bytes
"""

# `add`. A taken name violates job_name: JobExists.
JOB_ADD = """
INSERT INTO job (name, revision, next_fire_at, max_running, keep, locks, queue, at_startup, created_at,
    changed_at, paused_at, origin)
VALUES (?, 1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id
"""

# `set`, `pause`, `resume`, `remove`. Primary key. The guard is what the caller read: revision, watermark
# and pause; no row means that somebody else was faster.
JOB_CHANGE = """
UPDATE job SET revision = revision + CASE WHEN :bump THEN 1 ELSE 0 END,
    next_fire_at = :next_fire_at, paused_at = :paused_at, removed_at = :removed_at, changed_at = :now,
    max_running = CASE WHEN :bump THEN :max_running ELSE max_running END,
    keep = CASE WHEN :bump THEN :keep ELSE keep END, locks = CASE WHEN :bump THEN :locks ELSE locks END,
    queue = CASE WHEN :bump THEN :queue ELSE queue END,
    at_startup = CASE WHEN :bump THEN :at_startup ELSE at_startup END, origin = :origin
WHERE id = :id AND revision = :revision AND next_fire_at IS :seen AND paused_at IS :paused_seen
    AND removed_at IS NULL
"""

# Scheduler. Index job_due, ascending, so the limit ends the walk; run_waiting and run_running count. Of those
# due at one instant the oldest job comes first: the numbers of their runs decide who is first in line.
JOB_DUE = f"""
SELECT {JOB_COLUMNS},
    (SELECT count(*) FROM run x WHERE x.job_id = j.id AND x.state = 'queued'),
    (SELECT count(*) FROM run x WHERE x.job_id = j.id AND x.state = 'running')
{JOB_FROM}
WHERE j.next_fire_at <= ? AND j.next_fire_at IS NOT NULL AND j.paused_at IS NULL AND j.removed_at IS NULL
ORDER BY j.next_fire_at, j.id LIMIT ?
"""

# `pause`, `set` and the like: jobs as they are now, with what is active, and the last fire time that is
# accounted for, be it pruned since. Index job_name; UNIQUE (job_id, fire_at) gives the last one.
JOB_BY_NAME = f"""
SELECT {JOB_COLUMNS},
    (SELECT count(*) FROM run x WHERE x.job_id = j.id AND x.state = 'queued'),
    (SELECT count(*) FROM run x WHERE x.job_id = j.id AND x.state = 'running'),
    coalesce((SELECT x.last_fire_at FROM run x WHERE x.job_id = j.id AND x.fire_at IS NOT NULL
        ORDER BY x.fire_at DESC LIMIT 1), j.pruned_before - 1)
{JOB_FROM}
WHERE j.name = ? AND j.removed_at IS NULL
"""

# `list`. Index job_name gives the order.
JOB_LIST = f"""
SELECT {JOB_COLUMNS},
    (SELECT count(*) FROM run x WHERE x.job_id = j.id AND x.state = 'queued'),
    (SELECT count(*) FROM run x WHERE x.job_id = j.id AND x.state = 'running')
{JOB_FROM}
WHERE j.removed_at IS NULL ORDER BY j.name LIMIT ?
"""

# When the zone data changed. Index job_name, page by page.
JOB_SCHEDULED = f"""
SELECT {JOB_COLUMNS} {JOB_FROM}
WHERE j.removed_at IS NULL AND j.name > ? AND j.next_fire_at IS NOT NULL ORDER BY j.name LIMIT ?
"""

# `runs NAME`: the job of that name and its removed namesakes. Indexes job_name and job_tombstone.
JOB_IDS = """
SELECT id FROM job WHERE name = :name AND removed_at IS NULL
UNION ALL SELECT id FROM job WHERE name = :name AND removed_at IS NOT NULL
"""

# Suggestions for an unknown name.
JOB_NAMES = "SELECT name FROM job WHERE removed_at IS NULL"

# Scheduler, when a run falls due (G1). The compare-and-set on the watermark: a second scheduler, a crash
# between two tries, or an edit meanwhile finds no row.
JOB_ADVANCE = """
UPDATE job SET next_fire_at = :next_fire_at
WHERE id = :id AND revision = :revision AND next_fire_at IS :seen AND paused_at IS NULL AND removed_at IS NULL
"""

# Scheduler, at its start. Index job_startup; UNIQUE (job_id, trigger_key) makes a second run impossible.
JOB_STARTUP = """
SELECT id, revision,
    (SELECT iif(json_valid(document), coalesce(CAST(json_extract(document, '$.priority') AS INTEGER), 0), 0)
    FROM definition d WHERE d.job_id = job.id AND d.revision = job.revision)
FROM job WHERE at_startup = 1 AND paused_at IS NULL AND removed_at IS NULL
    AND NOT EXISTS (SELECT 1 FROM run WHERE run.job_id = job.id AND run.trigger_key = ?)
ORDER BY id
"""

# Scheduler, for a job whose definition cannot be read. Primary key; the watermark stays.
JOB_SET_ASIDE = """
UPDATE job SET paused_at = ?, changed_at = ? WHERE id = ? AND paused_at IS NULL AND removed_at IS NULL
"""

# `remove`, for such a job: which fire times are due cannot be said, only the one at the watermark is known.
JOB_REMOVE_UNREADABLE = """
UPDATE job SET next_fire_at = NULL, removed_at = :now, changed_at = :now WHERE id = :id AND removed_at IS NULL
"""
RUN_ADD_UNREADABLE = """
INSERT INTO run (job_id, revision, trigger, logical_at, fire_at, last_fire_at, state, outcome, reason,
    queued_at, available_at, finished_at)
SELECT id, revision, 'schedule', next_fire_at, next_fire_at, next_fire_at, 'done', 'skipped', :reason, :now,
    next_fire_at, :now
FROM job WHERE id = :id AND removed_at IS NULL AND next_fire_at <= :now ON CONFLICT DO NOTHING
"""
RUN_DROP_UNREADABLE = """
UPDATE run SET state = 'done', outcome = CASE attempt WHEN 0 THEN 'skipped' ELSE 'cancelled' END,
    reason = :reason, finished_at = :now
WHERE id = :run_id AND state = 'queued'
"""

# Scheduler, before it sleeps. Index job_due.
JOB_NEXT_DUE = """
SELECT next_fire_at FROM job
WHERE next_fire_at IS NOT NULL AND paused_at IS NULL AND removed_at IS NULL ORDER BY next_fire_at LIMIT 1
"""

# A live footer: the next few. Index job_due.
JOB_UPCOMING = """
SELECT name, next_fire_at FROM job
WHERE next_fire_at IS NOT NULL AND paused_at IS NULL AND removed_at IS NULL ORDER BY next_fire_at LIMIT ?
"""

# Every change of a definition. `since`: fire times after it belong to this revision.
DEFINITION_ADD = "INSERT INTO definition (job_id, revision, since, document, tzdata) VALUES (?, ?, ?, ?, ?)"
DEFINITION_GET = """
SELECT d.document, j.name FROM definition d JOIN job j ON j.id = d.job_id
WHERE d.job_id = ? AND d.revision = ?
"""

# Scheduler and `pause`. UNIQUE (job_id, fire_at): a fire time has one row, whoever inserts it (G1).
RUN_ADD = """
INSERT INTO run (job_id, revision, trigger, trigger_key, logical_at, fire_at, last_fire_at, fire_count, state,
    outcome, reason, priority, queued_at, available_at, finished_at)
VALUES (:job_id, :revision, :trigger, :trigger_key, :logical_at, :fire_at, :last_fire_at, :fire_count, :state,
    :outcome, :reason, :priority, :now, :available_at, :finished_at)
ON CONFLICT DO NOTHING RETURNING id
"""

# `cancel`, `runs`, and after every insert. Primary key.
RUN_GET = f"SELECT {RUN_COLUMNS} {RUN_FROM} WHERE r.id = ?"

# Claim. Index run_queue gives the order, run_running counts; the caller stops reading when it has enough.
# Runs of a paused job wait, unless somebody asked for them by hand. Jobs of which no more can start are
# passed over by the index alone.
RUN_CLAIMABLE = f"""
SELECT j.max_running, (SELECT count(*) FROM run x WHERE x.job_id = r.job_id AND x.state = 'running'), j.locks,
    {RUN_COLUMNS}
{RUN_FROM}
WHERE r.state = 'queued' AND r.available_at <= ? AND r.job_id NOT IN (SELECT value FROM json_each(?))
    AND (j.paused_at IS NULL OR r.trigger = 'manual')
ORDER BY r.priority DESC, r.available_at, r.id
"""

# Claim (G3). Primary key; the guard is the state. What the command is told about its job's last success comes
# with it: index run_success.
RUN_CLAIM = """
UPDATE run SET state = 'running', attempt = attempt + 1, worker = ?, stop_reason = NULL
WHERE id = ? AND state = 'queued'
RETURNING (SELECT max(s.logical_at) FROM run s WHERE s.job_id = run.job_id AND s.outcome = 'success')
"""

# A claim that was taken back from a worker that had not begun with it. Primary keys; the attempt guards it.
RUN_UNCLAIM = """
UPDATE run SET state = 'queued', attempt = attempt - 1, worker = NULL
WHERE id = ? AND attempt = ? AND state = 'running'
RETURNING job_id, stop_reason, (SELECT removed_at FROM job WHERE job.id = run.job_id)
"""
ATTEMPT_REMOVE = "DELETE FROM attempt WHERE run_id = ? AND attempt = ?"

# Before a claim is handed out. Index run_success.
RUN_LAST_SUCCESS = "SELECT max(logical_at) FROM run WHERE job_id = ? AND outcome = 'success'"

RUN_START = """
UPDATE run SET started_at = coalesce(started_at, ?) WHERE id = ? AND attempt = ? AND state = 'running'
"""

# The end of an attempt (G3): the attempt number fences off a worker that was replaced. No row: the claim does
# not stand, or a retry would be against a wish.
RUN_FINISH = f"""
UPDATE run SET state = 'done', outcome = ?, reason = ?, worker = NULL, failures = failures + ?,
    started_at = coalesce(started_at, ?), finished_at = ?
WHERE id = ? AND attempt = ? AND state = 'running'
RETURNING {RUN_CHANGED_COLUMNS}, EXISTS (SELECT 1 FROM hold WHERE run_id = run.id)
"""
RUN_REQUEUE = f"""
UPDATE run SET state = 'queued', worker = NULL, failures = failures + ?,
    started_at = coalesce(started_at, ?), available_at = ?
WHERE id = ? AND attempt = ? AND state = 'running' AND stop_reason IS NULL
    AND (SELECT removed_at FROM job WHERE job.id = run.job_id) IS NULL
RETURNING {RUN_CHANGED_COLUMNS}, EXISTS (SELECT 1 FROM hold WHERE run_id = run.id)
"""

# `cancel`, guarded by the state. A run that already had an attempt is as cancelled as one that had none.
RUN_CANCEL_QUEUED = """
UPDATE run SET state = 'done', outcome = 'cancelled', reason = ?, finished_at = ?
WHERE id = ? AND state = 'queued'
"""
RUN_ASK_STOP = "UPDATE run SET stop_reason = coalesce(stop_reason, ?) WHERE id = ? AND state = 'running'"

# Scheduler, when it stops what runs. Primary key.
RUN_ASK_STOP_ATTEMPT = """
UPDATE run SET stop_reason = coalesce(stop_reason, ?) WHERE id = ? AND attempt = ? AND state = 'running'
"""

# A launch that replaces. Indexes run_waiting and run_running.
RUN_REPLACE_QUEUED = """
UPDATE run SET state = 'done', outcome = 'cancelled', reason = ?, finished_at = ?
WHERE job_id = ? AND state = 'queued' AND id < ?
"""
RUN_REPLACE_RUNNING = """
UPDATE run SET stop_reason = coalesce(stop_reason, ?) WHERE job_id = ? AND state = 'running'
"""

# `remove`. Index run_waiting. Skipped means that nothing ever ran; a waiting retry did run.
RUN_DROP_QUEUED = """
UPDATE run SET state = 'done', outcome = CASE attempt WHEN 0 THEN 'skipped' ELSE 'cancelled' END,
    reason = 'removed', finished_at = ?
WHERE job_id = ? AND state = 'queued'
"""

# Scheduler, when the clock was set back. Index run_available. What had an attempt waits for its retry; what
# was available already stays so.
RUN_SET_BACK = """
UPDATE run SET available_at = available_at - :by
WHERE state = 'queued' AND available_at > :now AND (attempt > 0 OR available_at <= :before)
"""

# Scheduler, at its start: the latest instant that what is queued tells of. Index run_waiting.
RUN_LATEST = """
SELECT max(max(r.queued_at, coalesce(a.finished_at, 0)))
FROM run r LEFT JOIN attempt a ON a.run_id = r.id AND a.attempt = r.attempt WHERE r.state = 'queued'
"""

# Scheduler, before it sleeps. Index run_available.
RUN_NEXT_AVAILABLE = """
SELECT available_at FROM run WHERE state = 'queued' AND available_at > ? ORDER BY available_at LIMIT 1
"""

# `--until-idle`. Indexes run_running and run_available.
RUN_ANY_WORK = """
SELECT EXISTS (SELECT 1 FROM run WHERE state = 'running') OR EXISTS (
    SELECT 1 FROM run r JOIN job j ON j.id = r.job_id
    WHERE r.state = 'queued' AND (j.paused_at IS NULL OR r.trigger = 'manual'))
"""

# Scheduler, when the bell rang. Index run_stop.
RUN_STOPS = """
SELECT id, attempt, stop_reason FROM run WHERE state = 'running' AND stop_reason IS NOT NULL
"""

# Scheduler, at its start and in the sweep. Index run_running; + keeps SQLite from walking the whole table
# in the order of its key.
RUN_HELD = f"""
SELECT {RUN_COLUMNS}, {ATTEMPT_COLUMNS}
{RUN_FROM} JOIN attempt a ON a.run_id = r.id AND a.attempt = r.attempt
WHERE r.state = 'running' ORDER BY +r.id
"""

# A live footer. Index run_executed, newest first, so the limit ends the walk.
RUN_DURATIONS = """
SELECT a.duration_s FROM run r JOIN attempt a ON a.run_id = r.id AND a.attempt = r.attempt
WHERE r.job_id = ? AND r.state = 'done' AND r.attempt > 0 AND r.outcome = 'success'
    AND a.duration_s IS NOT NULL
ORDER BY r.id DESC LIMIT ?
"""

# `list` and `show`. Index run_executed, newest first, so the limit ends the walk.
RUN_RECENT = f"""
SELECT {RUN_COLUMNS}, a.duration_s
{RUN_FROM} LEFT JOIN attempt a ON a.run_id = r.id AND a.attempt = r.attempt
WHERE r.job_id = ? AND r.state = 'done' AND r.attempt > 0 ORDER BY r.id DESC LIMIT ?
"""

# `list`. Index run_running.
RUN_RUNNING_SINCE = (
    "SELECT min(coalesce(started_at, queued_at)) FROM run WHERE job_id = ? AND state = 'running'"
)

TOTALS = """
SELECT (SELECT count(*) FROM job WHERE removed_at IS NULL),
    (SELECT count(*) FROM job WHERE removed_at IS NULL AND paused_at IS NOT NULL),
    (SELECT count(*) FROM run WHERE state = 'queued'),
    (SELECT count(*) FROM run WHERE state = 'running'),
    (SELECT min(queued_at) FROM run WHERE state = 'queued')
"""

ATTEMPT_ADD = "INSERT INTO attempt (run_id, attempt, worker, boot_id, claimed_at) VALUES (?, ?, ?, ?, ?)"
ATTEMPT_START = """
UPDATE attempt SET started_at = ?, pid = ? WHERE run_id = ? AND attempt = ? AND outcome IS NULL
"""
ATTEMPT_FINISH = """
UPDATE attempt SET started_at = coalesce(started_at, ?), pid = coalesce(pid, ?), finished_at = ?, outcome = ?,
    reason = ?, exit_code = ?, signal = ?, duration_s = ?, user_s = ?, system_s = ?, max_rss = ?,
    output_bytes = ?
WHERE run_id = ? AND attempt = ? AND outcome IS NULL
"""
ATTEMPT_LIST = f"SELECT {ATTEMPT_COLUMNS} FROM attempt a WHERE a.run_id = ? ORDER BY a.attempt"

# The scheduler, for jobs that use calendars, and `cronq calendars`; a handful of rows.
CALENDAR_LIST = "SELECT name, text FROM calendar ORDER BY name"
CALENDAR_TEXT_ADD = """
INSERT INTO calendar_text (name, since, text) VALUES (?, ?, ?)
ON CONFLICT (name, since) DO UPDATE SET text = excluded.text
"""
CALENDAR_TEXTS = "SELECT name, since, text FROM calendar_text WHERE name = ? ORDER BY since"
CALENDAR_REMOVE = "DELETE FROM calendar WHERE name = ?"
CALENDAR_SET = """
INSERT INTO calendar (name, text, changed_at) VALUES (?, ?, ?)
ON CONFLICT (name) DO UPDATE SET text = excluded.text, changed_at = excluded.changed_at
"""

FACT_GET = "SELECT value FROM fact WHERE name = ?"
FACT_SET = (
    "INSERT INTO fact (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
)

# `add` and `set`: a new lock has one holder, unless somebody says otherwise.
LOCK_ADD = "INSERT INTO lock (name, capacity, changed_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
LOCK_SET = """
INSERT INTO lock (name, capacity, changed_at) VALUES (?, ?, ?)
ON CONFLICT (name) DO UPDATE SET capacity = excluded.capacity, changed_at = excluded.changed_at
"""
LOCK_REMOVE = "DELETE FROM lock WHERE name = ?"

# Claim and `cronq lock`; a handful of rows.
LOCK_LIST = "SELECT name, capacity FROM lock ORDER BY name"

# `add`, `set`, `cronq lock`: which jobs name a lock. All jobs that name any, which are few.
LOCK_JOBS = "SELECT id, name, locks FROM job WHERE locks IS NOT NULL AND removed_at IS NULL"

# Claim and `cronq lock`. As many rows as there are holders, and processes outside that wait.
HOLD_LIST = """
SELECT h.lock, h.run_id, r.attempt, h.holder, coalesce(j.name, h.command), h.asked_at, h.taken_at
FROM hold h LEFT JOIN run r ON r.id = h.run_id LEFT JOIN job j ON j.id = r.job_id ORDER BY h.id
"""
HOLD_ADD_RUN = "INSERT INTO hold (lock, run_id, asked_at, taken_at) VALUES (?, ?, ?, ?)"
HOLD_REMOVE_RUN = "DELETE FROM hold WHERE run_id = ?"
HOLD_ASK = "INSERT INTO hold (lock, holder, command, asked_at) VALUES (?, ?, ?, ?)"
HOLD_TAKE = "UPDATE hold SET taken_at = ? WHERE holder = ? AND taken_at IS NULL"
HOLD_LEAVE = "DELETE FROM hold WHERE holder = ? AND taken_at IS NULL RETURNING lock, command"
HOLD_REMOVE_OUTSIDE = "DELETE FROM hold WHERE holder = ?"

# `cronq lock`; and the scheduler before it claims, which has no reason to look if nothing is queued. Index
# hold_outside.
HOLD_OUTSIDE = """
SELECT holder FROM hold
WHERE holder IS NOT NULL AND (NOT ? OR EXISTS (SELECT 1 FROM run WHERE state = 'queued')) ORDER BY id
"""

# `cronq lock`: in how many slots nothing runs. The newest row; index run_running.
SLOTS_FREE = """
SELECT slots - (SELECT count(*) FROM run WHERE state = 'running') FROM scheduler ORDER BY id DESC LIMIT 1
"""

# `cronq lock`, `list`: who stands in line. The whole queue is walked; only people ask.
RUN_IN_LINE = """
SELECT r.id, r.job_id, j.name, j.max_running,
    (SELECT count(*) FROM run x WHERE x.job_id = r.job_id AND x.state = 'running'), j.locks, r.available_at
FROM run r JOIN job j ON j.id = r.job_id
WHERE r.state = 'queued' AND r.available_at <= ? AND (j.paused_at IS NULL OR r.trigger = 'manual')
    AND j.locks IS NOT NULL
ORDER BY r.priority DESC, r.available_at, r.id
"""
