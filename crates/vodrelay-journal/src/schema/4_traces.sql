-- What schema 4 adds. Each statement may find its work done.

-- The span that brought an event, where that is recorded.
CREATE TABLE IF NOT EXISTS traces (
    event INTEGER PRIMARY KEY,
    context BLOB NOT NULL CHECK (length(context) = 24) -- id of the trace, id of the span
) STRICT;

-- An earlier version removes events, too, and knows nothing of this table.
CREATE TRIGGER IF NOT EXISTS trace_goes_with_event AFTER DELETE ON events BEGIN
    DELETE FROM traces WHERE event = OLD.seq;
END;
