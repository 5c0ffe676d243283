-- What schema 3 adds. Each statement may find its work done.

-- Who had the relay change something, the newest rows of it.
CREATE TABLE IF NOT EXISTS audit (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    token TEXT,
    address TEXT,
    action TEXT NOT NULL,
    request TEXT, -- JSON
    status INTEGER NOT NULL,
    result TEXT -- JSON
) STRICT;
