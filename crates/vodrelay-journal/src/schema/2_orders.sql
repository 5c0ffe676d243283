-- What the second schema adds; see docs/JOURNAL.md.

-- Set while the sink is paused.
ALTER TABLE sinks ADD COLUMN paused_at INTEGER;
ALTER TABLE sinks ADD COLUMN pause_reason TEXT;

-- Dead letters that somebody has seen to. They leave the table of deliveries, so that an earlier version counts right.
CREATE TABLE purged (
    delivery INTEGER PRIMARY KEY, -- of an event that cannot be read: its seq, shifted, and no sink
    attempts INTEGER NOT NULL,
    replays INTEGER NOT NULL,
    status INTEGER,
    reason TEXT,
    settled_at INTEGER,
    purged_at INTEGER NOT NULL
) STRICT;

CREATE INDEX deliveries_dead_of_sink ON deliveries (sink, id) WHERE state = 3;
