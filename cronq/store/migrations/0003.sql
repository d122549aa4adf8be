-- Retention, named locks, and what it takes to prove and explain the past.

-- What is kept of the history, as `--keep` says it. NULL: everything.
ALTER TABLE job ADD COLUMN keep TEXT;
-- Fire times before this may have been removed by retention. NULL: none has.
ALTER TABLE job ADD COLUMN pruned_before INTEGER;
-- Named locks, separated by spaces; copied from the definition, because the claim reads them. NULL: none.
ALTER TABLE job ADD COLUMN locks TEXT;
-- Who defined it: `file` (jobs as code). NULL: somebody by hand.
ALTER TABLE job ADD COLUMN origin TEXT CHECK (origin IN ('file'));
-- With the job, so that a backlog of a job that may not start is passed over without reading its rows.
DROP INDEX run_queue;
CREATE INDEX run_queue ON run (priority DESC, available_at, id, job_id) WHERE state = 'queued';
CREATE INDEX job_locks ON job (name) WHERE locks IS NOT NULL AND removed_at IS NULL;
CREATE INDEX job_keep ON job (id) WHERE keep IS NOT NULL;

-- Which zone data computed the fire times of a revision. NULL: not known.
ALTER TABLE definition ADD COLUMN tzdata TEXT;

-- How much the command printed in all, of which a part may have been cut. NULL: not known.
ALTER TABLE attempt ADD COLUMN output_bytes INTEGER CHECK (output_bytes >= 0);

-- Every text that a named calendar ever had. NULL: it was removed.
CREATE TABLE calendar_text (
    name  TEXT    NOT NULL,
    since INTEGER NOT NULL,
    text  TEXT,
    PRIMARY KEY (name, since)
) STRICT, WITHOUT ROWID;
INSERT INTO calendar_text (name, since, text) SELECT name, changed_at, text FROM calendar;

-- A counted resource that jobs, and commands outside, share.
CREATE TABLE lock (
    name       TEXT    PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 63),
    capacity   INTEGER NOT NULL CHECK (capacity >= 1),
    changed_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Who holds a lock, or waits for it from outside (runs wait in the queue).
CREATE TABLE hold (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    lock     TEXT    NOT NULL REFERENCES lock (name),
    -- The run that holds it; NULL: a process outside, of which `holder` tells.
    run_id   INTEGER REFERENCES run (id) ON DELETE CASCADE,
    -- The name of the lock file that the process outside holds as long as it lives, and what it executes.
    holder   TEXT,
    command  TEXT,
    asked_at INTEGER NOT NULL,
    -- NULL: it waits.
    taken_at INTEGER,
    UNIQUE (lock, run_id),
    UNIQUE (lock, holder),
    CHECK ((run_id IS NULL) <> (holder IS NULL)),
    CHECK (run_id IS NULL OR taken_at IS NOT NULL)
) STRICT;
CREATE INDEX hold_run ON hold (run_id) WHERE run_id IS NOT NULL;
CREATE INDEX hold_outside ON hold (holder) WHERE holder IS NOT NULL;

-- The lives of schedulers: when nobody was there, fire times were missed or late. `stopped_at` NULL: it runs,
-- or it was killed.
CREATE TABLE scheduler (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    started_at INTEGER NOT NULL,
    stopped_at INTEGER,
    pid        INTEGER NOT NULL,
    boot_id    TEXT    NOT NULL,
    version    TEXT    NOT NULL,
    -- Attempts at a time.
    slots      INTEGER NOT NULL
) STRICT;
CREATE INDEX scheduler_started ON scheduler (started_at);
