//! Reading a table around what does not read: a range of keys at a time, and where that fails each key for itself.
//!
//! A bit that flips in a key makes rows come out of order, and a search pass by what a walk would find. So a walk only
//! says which keys there are, and each row is searched for by its key.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension};

use crate::backup::values;
use crate::copy::Table;

/// Keys that are walked at a time.
const RANGE: i64 = 256;

/// What a table did not give.
#[derive(Debug, Default)]
pub(super) struct Unread {
    /// Keys that do not read, by ranges.
    pub(super) lost: Vec<(i64, i64)>,
    /// Ranges that could not be walked, though each key that is found in them reads.
    pub(super) doubtful: Vec<(i64, i64)>,
}

/// Hands out each row whose key is not below `first`, in order. Where not even the next key is to be found, the keys up
/// to `expected` are searched for one by one.
pub(super) fn read_range(
    conn: &Connection,
    table: &Table,
    key: &str,
    first: i64,
    expected: i64,
    row: &mut dyn FnMut(Vec<Value>),
) -> Unread {
    let reading = Reading {
        conn,
        keys: format!("SELECT {key} FROM {} WHERE {key} BETWEEN ?1 AND ?2 ORDER BY {key}", table.name),
        next: format!("SELECT MIN({key}) FROM {} WHERE {key} >= ?1", table.name),
        row: table.select(&format!("WHERE {key} = ?1")),
    };
    let (mut unread, mut from) = (Unread::default(), first);
    loop {
        let mut end = i64::MAX;
        match reading.next_from(from) {
            Ok(Some(next)) => from = next,
            Ok(None) => break,
            Err(_) if from > expected => break,
            Err(_) => end = expected,
        }
        let to = from.saturating_add(RANGE - 1).min(end);
        let lost_before = unread.lost.last().copied();
        let (keys, is_walked) = match reading.keys(from, to) {
            Ok(keys) => (keys, true),
            Err(_) => ((from..=to).collect(), false),
        };
        for key in keys {
            match reading.row(key) {
                Ok(Some(values)) => row(values),
                Ok(None) if !is_walked => {}
                Ok(None) | Err(_) => {
                    note(&mut unread.lost, key, key);
                }
            }
        }
        if !is_walked && unread.lost.last().copied() == lost_before {
            note(&mut unread.doubtful, from, to);
        }
        let Some(next) = to.checked_add(1) else { break };
        from = next;
    }
    unread
}

struct Reading<'a> {
    conn: &'a Connection,
    keys: String,
    next: String,
    row: String,
}

impl Reading<'_> {
    /// The first key that is not below that one, so that a gap costs nothing.
    fn next_from(&self, from: i64) -> rusqlite::Result<Option<i64>> {
        let next: Option<i64> = self.conn.prepare_cached(&self.next)?.query_row([from], |row| row.get(0))?;
        match next {
            Some(next) if next < from => Err(rusqlite::Error::IntegralValueOutOfRange(0, next)),
            next => Ok(next),
        }
    }

    fn keys(&self, first: i64, last: i64) -> rusqlite::Result<Vec<i64>> {
        let mut statement = self.conn.prepare_cached(&self.keys)?;
        let (mut rows, mut keys, mut next) = (statement.query([first, last])?, Vec::new(), first);
        while let Some(row) = rows.next()? {
            let key: i64 = row.get(0)?;
            // Pages that hang together in a circle give the same rows again and again.
            if key < next || key > last {
                return Err(rusqlite::Error::IntegralValueOutOfRange(0, key));
            }
            next = key + 1;
            keys.push(key);
        }
        Ok(keys)
    }

    fn row(&self, key: i64) -> rusqlite::Result<Option<Vec<Value>>> {
        self.conn.prepare_cached(&self.row)?.query_row([key], values).optional()
    }
}

/// Ranges that touch are one.
fn note(ranges: &mut Vec<(i64, i64)>, first: i64, last: i64) {
    match ranges.last_mut() {
        Some((_, end)) if *end + 1 == first => *end = last,
        _ => ranges.push((first, last)),
    }
}
