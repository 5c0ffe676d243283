-- The first schema. Later ones only add to it; see docs/JOURNAL.md.
-- Moments are nanoseconds since 1970; a delivery's id is its event's seq, shifted left by 12 bits, plus its sink's id.

CREATE TABLE meta (key TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;

-- Texts that repeat: names of sources, label sets, event types, statuses.
CREATE TABLE words (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE) STRICT;

CREATE TABLE totals (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    events INTEGER NOT NULL DEFAULT 0,
    duplicates INTEGER NOT NULL DEFAULT 0,
    unrouted INTEGER NOT NULL DEFAULT 0,
    unreadable INTEGER NOT NULL DEFAULT 0,
    refusals INTEGER NOT NULL DEFAULT 0,
    refusal_bytes INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO totals (only) VALUES (1);

CREATE TABLE sinks (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    pending INTEGER NOT NULL DEFAULT 0,
    dead_letters INTEGER NOT NULL DEFAULT 0,
    delivered INTEGER NOT NULL DEFAULT 0,
    in_hand BLOB -- at the last commit: ids of deliveries, 8 bytes each, little endian
) STRICT;

CREATE TABLE events (
    seq INTEGER PRIMARY KEY,
    id BLOB NOT NULL, -- unique; see event_ids
    source INTEGER NOT NULL, -- words
    labels INTEGER, -- words, as JSON; null where there are none
    received_at INTEGER NOT NULL,
    state INTEGER NOT NULL, -- 0 routed, 1 unrouted, 2 unreadable
    event_type INTEGER, -- words
    event_time INTEGER,
    status INTEGER, -- words
    video_id TEXT,
    media_id TEXT,
    job_id TEXT,
    unreadable TEXT, -- the reason
    sha256 BLOB NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE INDEX events_of_no_sink ON events (state, seq) WHERE state <> 0;

-- The events by id, up to `ids_folded_to` of meta and some beyond; the writer knows the others by heart.
CREATE TABLE event_ids (id BLOB PRIMARY KEY, seq INTEGER NOT NULL) STRICT, WITHOUT ROWID;

-- By which sources duplicates came; the source of the first arrival stands on the event.
CREATE TABLE event_sources (
    event INTEGER NOT NULL,
    source INTEGER NOT NULL, -- words
    first_at INTEGER NOT NULL,
    repeats INTEGER NOT NULL,
    PRIMARY KEY (event, source)
) STRICT, WITHOUT ROWID;

CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY,
    sink INTEGER NOT NULL,
    state INTEGER NOT NULL, -- 0 fresh, 1 retry, 2 delivered, 3 dead letter
    attempts INTEGER NOT NULL DEFAULT 0,
    tries INTEGER NOT NULL DEFAULT 0, -- attempts since acceptance or the last replay
    replays INTEGER NOT NULL DEFAULT 0,
    crashes INTEGER NOT NULL DEFAULT 0,
    age_ms INTEGER NOT NULL DEFAULT 0,
    due_at INTEGER, -- of a retry
    first_attempt_at INTEGER,
    last_attempt_at INTEGER,
    settled_at INTEGER,
    status INTEGER, -- of the last answer
    took_ms INTEGER,
    reason TEXT -- of a dead letter
) STRICT;
CREATE INDEX deliveries_fresh ON deliveries (sink, id) WHERE state = 0;
CREATE INDEX deliveries_retry ON deliveries (sink, due_at) WHERE state = 1;
CREATE INDEX deliveries_dead ON deliveries (id) WHERE state = 3;

-- Attempts that failed; the first 3 and the last 17 of a delivery are kept.
CREATE TABLE attempts (
    delivery INTEGER NOT NULL,
    number INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    took_ms INTEGER NOT NULL,
    status INTEGER,
    note TEXT NOT NULL,
    PRIMARY KEY (delivery, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE refusals (
    id INTEGER PRIMARY KEY,
    source TEXT NOT NULL,
    cause TEXT NOT NULL,
    detail TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    address TEXT NOT NULL,
    timestamp TEXT,
    signature TEXT,
    cut_short INTEGER NOT NULL,
    bytes INTEGER NOT NULL, -- what it counts for against the bound
    body BLOB NOT NULL
) STRICT;
CREATE INDEX refusals_by_share ON refusals (cause, address, id);

-- How much of the bound each cause and address holds.
CREATE TABLE refusal_shares (
    cause TEXT NOT NULL,
    address TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (cause, address)
) STRICT, WITHOUT ROWID;
CREATE INDEX refusal_shares_by_size ON refusal_shares (bytes);
