//! Mending the indexes by which deliveries are found, where a bit of them has flipped.
//!
//! Pages have no checksum. A delivery whose entry is wrong would wait for ever, since nobody looks into the table itself:
//! so whoever claims compares what it finds with the counters and the rows, which costs a step in a tree, and here the
//! indexes are made again from the table.

use rusqlite::Connection;

use crate::key::Key;
use crate::writer::Batch;

/// Why the indexes are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// Nothing waits by the indexes, and something does by the counter. A delivery that was added a moment ago looks the
    /// same.
    TooFew,
    /// An entry is not what its row says.
    WrongEntry,
}

/// Makes them again in the running transaction, where they are wrong. It reads all deliveries, so appends wait for it.
pub(crate) fn mend(conn: &Connection, batch: &mut Batch, sink: i64, doubt: Doubt) -> rusqlite::Result<()> {
    let (pending, found) = count(conn, sink)?;
    if doubt == Doubt::TooFew && pending == found {
        return Ok(());
    }
    tracing::error!(
        pending,
        found,
        "an index of the journal is damaged, and deliveries could not be found by it; it is made again. Look at the disk, \
         and run `vodrelay journal verify`"
    );
    conn.execute_batch("REINDEX deliveries_fresh; REINDEX deliveries_retry;")?;
    let (pending, found) = count(conn, sink)?;
    if pending != found {
        tracing::error!(
            pending,
            found,
            "the table itself does not have what its counter says; see `vodrelay journal verify`"
        );
    }
    batch.appeared.push(Key::new(0, sink));
    batch.work = true;
    Ok(())
}

/// How much is pending by the counter, and by the indexes.
fn count(conn: &Connection, sink: i64) -> rusqlite::Result<(i64, i64)> {
    conn.query_row(
        "SELECT pending,
             (SELECT COUNT(*) FROM deliveries INDEXED BY deliveries_fresh WHERE sink = ?1 AND state = 0)
             + (SELECT COUNT(*) FROM deliveries INDEXED BY deliveries_retry WHERE sink = ?1 AND state = 1)
         FROM sinks WHERE id = ?1",
        [sink],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )
}
