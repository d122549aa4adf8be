-- Named calendars, shared by jobs, in their canonical text.
CREATE TABLE calendar (
    name       TEXT    PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 63),
    text       TEXT    NOT NULL,
    changed_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The history of a removed job is still asked for by its name.
CREATE INDEX job_tombstone ON job (name) WHERE removed_at IS NOT NULL;
