-- What schema 2 adds. Each statement may find its work done.

-- Stretches of time in which one process had the journal open, told by heartbeats; see heart.rs.
CREATE TABLE IF NOT EXISTS lives (
    id INTEGER PRIMARY KEY,
    started_at INTEGER NOT NULL,
    beat_at INTEGER NOT NULL,
    ended INTEGER NOT NULL DEFAULT 0 -- 0 not yet, or by a crash; 1 by a clean stop; 2 by a clock that jumped
) STRICT;

-- Events that were turned away, those that are close together in one row.
CREATE TABLE IF NOT EXISTS troubles (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    source TEXT NOT NULL,
    first_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    count INTEGER NOT NULL DEFAULT 0,
    kept INTEGER NOT NULL DEFAULT 0, -- among the refusals, now
    settled INTEGER NOT NULL DEFAULT 0 -- accepted later, or purged by a person
) STRICT;
CREATE INDEX IF NOT EXISTS troubles_by_kind ON troubles (kind, source, first_at);
