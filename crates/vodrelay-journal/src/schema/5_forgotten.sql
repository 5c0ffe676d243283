-- What schema 5 adds. Each statement may find its work done.

-- The ids of events that were forgotten: a repeat of one is a duplicate still.
CREATE TABLE IF NOT EXISTS forgotten (
    seq INTEGER PRIMARY KEY, -- the one that the event had
    id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
    at INTEGER NOT NULL
) STRICT;
