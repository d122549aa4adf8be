-- Named calendars, shared by jobs, in their canonical text.
CREATE TABLE calendar (
    name       TEXT    PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 63),
    text       TEXT    NOT NULL,
    changed_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
