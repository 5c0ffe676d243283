//! Rows that stand in a table and that no search finds.
//!
//! A bit that flips in a key leads a search past other rows of its page, and the row itself has another key than those
//! beside it. A walk through the whole table compares no keys and passes them all.

use std::collections::HashMap;

use rusqlite::types::Value;
use rusqlite::{Connection, Row};

use crate::backup::values;
use crate::copy::{DELIVERIES, Table};
use crate::key::Key;

/// No row of any table is smaller.
const SMALLEST_ROW: u64 = 16;

/// Passes every row, most of them twice: a walk ends where a page does not read, so there is one from either end.
pub(super) fn walk(conn: &Connection, table: &Table, pass: &mut dyn FnMut(&Row<'_>)) {
    // Pages that hang together in a circle give the same rows again and again.
    let pages = conn.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap_or(u64::from(u32::MAX));
    let most = pages.saturating_mul(4_096 / SMALLEST_ROW);
    for order in ["ASC", "DESC"] {
        let sql = table.select(&format!("ORDER BY {} {order}", table.key()));
        let Ok(mut walk) = conn.prepare(&sql) else { continue };
        let Ok(mut rows) = walk.query([]) else { continue };
        for _ in 0..most {
            let Ok(Some(row)) = rows.next() else { break };
            pass(row);
        }
    }
}

/// The deliveries that a search for those of their event does not find, by the event.
pub(super) fn deliveries(conn: &Connection) -> HashMap<i64, Vec<Vec<Value>>> {
    let mut found: HashMap<i64, Vec<Vec<Value>>> = HashMap::new();
    walk(conn, &DELIVERIES, &mut |row| {
        let (Ok(id), Ok(sink)) = (row.get(0), row.get(1)) else { return };
        // The sink stands in the row once more, and its number has 12 bits.
        if is_found(conn, Key(id), sink) || !(1..1 << 12).contains(&sink) {
            return;
        }
        let (event, Ok(mut values)) = (Key(id).seq(), values(row)) else { return };
        if let Some(first) = values.first_mut() {
            *first = Value::Integer(Key::new(event, sink).0);
        }
        found.entry(event).or_default().push(values);
    });
    found
}

fn is_found(conn: &Connection, key: Key, sink: i64) -> bool {
    let (first, last) = Key::range_of(key.seq());
    let search = conn.prepare_cached("SELECT id, sink FROM deliveries WHERE id BETWEEN ?1 AND ?2");
    let found = search.and_then(|mut search| {
        let rows = search.query_map([first, last], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect::<rusqlite::Result<Vec<(i64, i64)>>>()
    });
    found.is_ok_and(|found| found.contains(&(key.0, sink)))
}
