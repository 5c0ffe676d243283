//! Reading a table around what does not read: each range that fails is halved until what fails is one row.

use rusqlite::Connection;
use rusqlite::types::Value;

use crate::backup::values;
use crate::copy::Table;

/// After so many queries that failed the rest counts as lost: a root that is gone loses all, and soon.
const MOST_FAILURES: usize = 200_000;

/// Hands out each row whose key is in that range, in order, and returns the ranges that do not read.
pub(super) fn read_range(
    conn: &Connection,
    table: &Table,
    key: &str,
    first: i64,
    last: i64,
    row: &mut dyn FnMut(Vec<Value>),
) -> Vec<(i64, i64)> {
    let sql = table.select(&format!("WHERE {key} BETWEEN ?1 AND ?2 ORDER BY {key}"));
    let (mut waiting, mut lost, mut failures) = (vec![(first, last)], Vec::new(), 0);
    while let Some((first, last)) = waiting.pop() {
        let Some(from) = read(conn, &sql, first, last, row) else { continue };
        failures += 1;
        if from >= last || failures > MOST_FAILURES {
            note(&mut lost, from.min(last), last);
            continue;
        }
        let middle = from + (last - from) / 2;
        waiting.push((middle + 1, last));
        waiting.push((from, middle));
    }
    lost
}

/// Reads up to the first error; returns where to go on then.
fn read(conn: &Connection, sql: &str, first: i64, last: i64, row: &mut dyn FnMut(Vec<Value>)) -> Option<i64> {
    let mut next = first;
    let read = (|| {
        let mut statement = conn.prepare_cached(sql)?;
        let mut rows = statement.query([first, last])?;
        while let Some(found) = rows.next()? {
            let key: i64 = found.get(0)?;
            // Pages that hang together in a circle give the same rows again and again.
            if key < next || key > last {
                return Err(rusqlite::Error::IntegralValueOutOfRange(0, key));
            }
            let values = values(found)?;
            next = key + 1;
            row(values);
        }
        Ok(())
    })();
    read.is_err().then_some(next)
}

/// Ranges that touch are one.
fn note(lost: &mut Vec<(i64, i64)>, first: i64, last: i64) {
    match lost.last_mut() {
        Some((_, end)) if *end + 1 == first => *end = last,
        _ => lost.push((first, last)),
    }
}
