-- The ledger: jobs, every revision of their definitions, runs, attempts.
-- Instants are UTC microseconds. The CHECKs make impossible rows impossible, so no code has to be trusted.

CREATE TABLE job (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    name         TEXT    NOT NULL CHECK (length(name) BETWEEN 1 AND 63),
    revision     INTEGER NOT NULL CHECK (revision >= 1),
    -- The watermark: the first fire time the rest of the ledger does not account for. NULL: there is none.
    next_fire_at INTEGER,
    -- Copied from the definition, because the claim reads it for every candidate. NULL: no limit.
    max_running  INTEGER CHECK (max_running >= 1),
    at_startup   INTEGER NOT NULL DEFAULT 0 CHECK (at_startup IN (0, 1)),
    created_at   INTEGER NOT NULL,
    changed_at   INTEGER NOT NULL,
    paused_at    INTEGER,
    removed_at   INTEGER,
    CHECK (removed_at IS NULL OR next_fire_at IS NULL)
) STRICT;

CREATE UNIQUE INDEX job_name ON job (name) WHERE removed_at IS NULL;
-- What is due: paused and removed jobs are not in it at all.
CREATE INDEX job_due ON job (next_fire_at)
    WHERE next_fire_at IS NOT NULL AND paused_at IS NULL AND removed_at IS NULL;
CREATE INDEX job_startup ON job (id) WHERE at_startup = 1 AND paused_at IS NULL AND removed_at IS NULL;

-- Every definition that was ever in force, so that the past can be explained by the rules of the past.
CREATE TABLE definition (
    job_id   INTEGER NOT NULL REFERENCES job (id) ON DELETE CASCADE,
    revision INTEGER NOT NULL CHECK (revision >= 1),
    since    INTEGER NOT NULL,
    document TEXT    NOT NULL CHECK (json_valid(document)),
    PRIMARY KEY (job_id, revision)
) STRICT, WITHOUT ROWID;

CREATE TABLE run (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id       INTEGER NOT NULL REFERENCES job (id) ON DELETE CASCADE,
    revision     INTEGER NOT NULL,
    trigger      TEXT    NOT NULL
        CHECK (trigger IN ('schedule', 'catch_up', 'manual', 'backfill', 'chain', 'startup')),
    -- Makes triggers other than a fire time idempotent: the boot id of a start-up run.
    trigger_key  TEXT,
    logical_at   INTEGER NOT NULL,
    fire_at      INTEGER,
    last_fire_at INTEGER,
    fire_count   INTEGER NOT NULL DEFAULT 1 CHECK (fire_count >= 1),
    state        TEXT    NOT NULL CHECK (state IN ('queued', 'running', 'done')),
    outcome      TEXT    CHECK (outcome IN
        ('success', 'failure', 'timeout', 'cancelled', 'abandoned', 'skipped', 'missed')),
    reason       TEXT    NOT NULL DEFAULT '',
    priority     INTEGER NOT NULL DEFAULT 0,
    queued_at    INTEGER NOT NULL,
    available_at INTEGER NOT NULL,
    attempt      INTEGER NOT NULL DEFAULT 0 CHECK (attempt >= 0),
    failures     INTEGER NOT NULL DEFAULT 0 CHECK (failures BETWEEN 0 AND attempt),
    stop_reason  TEXT,
    worker       TEXT,
    started_at   INTEGER,
    finished_at  INTEGER,
    UNIQUE (job_id, fire_at),
    UNIQUE (job_id, trigger_key),
    FOREIGN KEY (job_id, revision) REFERENCES definition (job_id, revision),
    CHECK ((state = 'done') = (outcome IS NOT NULL)),
    CHECK ((state = 'done') = (finished_at IS NOT NULL)),
    CHECK ((state = 'running') = (worker IS NOT NULL)),
    CHECK (state <> 'running' OR attempt >= 1),
    CHECK ((trigger IN ('schedule', 'catch_up')) = (fire_at IS NOT NULL)),
    CHECK ((fire_at IS NULL) = (last_fire_at IS NULL)),
    CHECK (last_fire_at >= fire_at AND (fire_count > 1) = (last_fire_at > fire_at)),
    CHECK (fire_count = 1 OR (fire_at IS NOT NULL AND coalesce(outcome, '') IN ('skipped', 'missed'))),
    -- A fire time that was skipped or missed never had a process; one that succeeded had.
    CHECK (outcome IS NULL OR outcome NOT IN ('skipped', 'missed') OR attempt = 0),
    CHECK (outcome IS NULL OR outcome NOT IN ('success', 'failure', 'timeout', 'abandoned') OR attempt >= 1)
) STRICT;

CREATE INDEX run_queue ON run (priority DESC, available_at, id) WHERE state = 'queued';
CREATE INDEX run_available ON run (available_at) WHERE state = 'queued';
-- Two, not one over both states: SQLite does not see that state = 'queued' implies state IN (...), and an
-- index over both would be walked past all that is queued to find the few that run.
CREATE INDEX run_waiting ON run (job_id) WHERE state = 'queued';
CREATE INDEX run_running ON run (job_id) WHERE state = 'running';
CREATE INDEX run_stop ON run (id) WHERE state = 'running' AND stop_reason IS NOT NULL;
CREATE INDEX run_history ON run (job_id, id);
CREATE INDEX run_executed ON run (job_id, id) WHERE state = 'done' AND attempt > 0;
CREATE INDEX run_success ON run (job_id, logical_at) WHERE outcome = 'success';

CREATE TABLE attempt (
    run_id      INTEGER NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    attempt     INTEGER NOT NULL CHECK (attempt >= 1),
    worker      TEXT    NOT NULL,
    boot_id     TEXT    NOT NULL,
    claimed_at  INTEGER NOT NULL,
    started_at  INTEGER,
    finished_at INTEGER,
    pid         INTEGER CHECK (pid > 0),
    outcome     TEXT    CHECK (outcome IN ('success', 'failure', 'timeout', 'cancelled', 'abandoned')),
    reason      TEXT    NOT NULL DEFAULT '',
    exit_code   INTEGER,
    signal      INTEGER CHECK (signal > 0),
    duration_s  REAL    CHECK (duration_s >= 0),
    user_s      REAL    CHECK (user_s >= 0),
    system_s    REAL    CHECK (system_s >= 0),
    max_rss     INTEGER CHECK (max_rss >= 0),
    PRIMARY KEY (run_id, attempt),
    CHECK ((outcome IS NULL) = (finished_at IS NULL)),
    CHECK (exit_code IS NULL OR signal IS NULL),
    CHECK (outcome IS NULL OR outcome <> 'success' OR started_at IS NOT NULL)
) STRICT, WITHOUT ROWID;

-- Facts about the store itself: the boot that start-up jobs last ran in, the zone data in use.
CREATE TABLE fact (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
