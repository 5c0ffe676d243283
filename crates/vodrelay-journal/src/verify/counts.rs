//! The counters against a recount, both of one moment.

use rusqlite::Connection;

use super::{FindingKind, Look};

/// What is counted, what the journal says of it, and what the tables hold.
const COUNTS: &str = "
    SELECT 'events', events, (SELECT COUNT(*) FROM events) FROM totals UNION ALL
    SELECT 'unrouted', unrouted, (SELECT COUNT(*) FROM events WHERE state = 1) FROM totals UNION ALL
    SELECT 'unreadable', unreadable, (SELECT COUNT(*) FROM events WHERE state = 2) FROM totals UNION ALL
    SELECT 'refusals', refusals, (SELECT COUNT(*) FROM refusals) FROM totals UNION ALL
    SELECT 'bytes of refusals', refusal_bytes, (SELECT COALESCE(SUM(bytes), 0) FROM refusals) FROM totals UNION ALL
    SELECT 'bytes of refusals by cause and address', refusal_bytes,
        (SELECT COALESCE(SUM(bytes), 0) FROM refusal_shares) FROM totals UNION ALL
    SELECT 'shares of refusals that are wrong', 0, (SELECT COUNT(*) FROM refusal_shares AS share WHERE bytes <>
        (SELECT COALESCE(SUM(bytes), 0) FROM refusals AS r WHERE r.cause = share.cause AND r.address = share.address))";

const SINKS: &str = "
    SELECT s.name, s.pending, s.dead_letters, s.delivered,
        COALESCE(SUM(d.state < 2), 0), COALESCE(SUM(d.state = 3), 0), COALESCE(SUM(d.state = 2), 0)
    FROM sinks AS s LEFT JOIN deliveries AS d ON d.sink = s.id GROUP BY s.id";

pub(super) fn check(look: &mut Look<'_>) -> rusqlite::Result<()> {
    for (what, says, counted) in look.within_patience(|look| read(&look.conn))? {
        if says != counted {
            look.found(FindingKind::Counter, format!("{what}: the counter says {says}, a recount {counted}"));
        }
    }
    Ok(())
}

fn read(conn: &Connection) -> rusqlite::Result<Vec<(String, i64, i64)>> {
    let mut counts: Vec<_> = conn
        .prepare(COUNTS)?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    let mut statement = conn.prepare(SINKS)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let name: String = row.get(0)?;
        for (column, what) in [(1, "pending"), (2, "dead letters"), (3, "delivered")] {
            counts.push((format!("{what} of the sink {name}"), row.get(column)?, row.get(column + 3)?));
        }
    }
    Ok(counts)
}
