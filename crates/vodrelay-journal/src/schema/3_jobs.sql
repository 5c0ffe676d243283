-- What schema 3 adds. Each statement may find its work done.

-- Replays that go on by themselves, the newest of them.
CREATE TABLE IF NOT EXISTS jobs (
    id INTEGER PRIMARY KEY,
    state TEXT NOT NULL, -- as in the JSON, but for one that was at work when the process went down
    job TEXT NOT NULL -- JSON
) STRICT;
