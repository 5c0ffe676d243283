//! Rows that stand in a table and that no search finds.
//!
//! A bit that flips in a key leads a search past other rows of its page, and the row itself has another key than those
//! beside it. A walk through the whole table compares no keys and passes them all.

use std::collections::{HashMap, HashSet, VecDeque};

use rusqlite::types::Value;
use rusqlite::{Connection, Row};

use crate::backup::values;
use crate::copy::{DELIVERIES, EVENTS, Table};
use crate::key::Key;

/// No row of any table is smaller.
const SMALLEST_ROW: u64 = 16;

/// From which end a walk begins.
#[derive(Clone, Copy)]
enum End {
    First,
    Last,
}

/// Passes every row, most of them twice: a walk ends where a page does not read, so there is one from either end.
pub(super) fn walk(conn: &Connection, table: &Table, pass: &mut dyn FnMut(&Row<'_>)) {
    walk_from(conn, table, End::First, pass);
    walk_from(conn, table, End::Last, pass);
}

fn walk_from(conn: &Connection, table: &Table, end: End, pass: &mut dyn FnMut(&Row<'_>)) {
    // Pages that hang together in a circle give the same rows again and again.
    let pages = conn.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap_or(u64::from(u32::MAX));
    let most = pages.saturating_mul(4_096 / SMALLEST_ROW);
    let order = match end {
        End::First => "ASC",
        End::Last => "DESC",
    };
    let sql = table.select(&format!("ORDER BY {} {order}", table.key()));
    let Ok(mut walk) = conn.prepare(&sql) else { return };
    let Ok(mut rows) = walk.query([]) else { return };
    for _ in 0..most {
        let Ok(Some(row)) = rows.next() else { break };
        pass(row);
    }
}

/// The ids of the events whose numbers are not in order with those beside them: they may be another's.
pub(super) fn misnumbered(conn: &Connection) -> HashSet<Vec<u8>> {
    let read = |row: &Row<'_>| Ok((row.get(0)?, row.get::<_, Vec<u8>>(1)?));
    out_of_order(conn, &EVENTS, &read).into_iter().map(|odd| odd.what).collect()
}

/// A delivery that stands at another's place.
#[derive(Debug)]
pub(super) struct Misplaced {
    pub(super) key: Key,
    /// The only one that it may have had: that of a place between those beside it, with its sink, and one bit another.
    pub(super) was: Option<Key>,
    pub(super) row: Vec<Value>,
}

/// The deliveries whose keys are not in order with those beside them.
pub(super) fn misplaced(conn: &Connection) -> Vec<Misplaced> {
    let read = |row: &Row<'_>| Ok((row.get(0)?, values(row)?));
    let mut found: Vec<Misplaced> = Vec::new();
    for Odd { number, what: row, between: (low, high) } in out_of_order(conn, &DELIVERIES, &read) {
        let is_right =
            |key: &i64| *key > low && *key < high && row.get(1) == Some(&Value::Integer(Key(*key).sink()));
        let mut may_be = (0..63).map(|bit| number ^ (1 << bit)).filter(is_right);
        let was = may_be.next().filter(|_| may_be.next().is_none()).map(Key);
        if found.iter().all(|known| known.key.0 != number || known.row != row) {
            found.push(Misplaced { key: Key(number), was, row });
        }
    }
    found
}

/// A row whose number is not in order.
struct Odd<T> {
    number: i64,
    what: T,
    /// The numbers of those beside it.
    between: (i64, i64),
}

/// What is read of those, from either end.
fn out_of_order<T>(
    conn: &Connection,
    table: &Table,
    read: &dyn Fn(&Row<'_>) -> rusqlite::Result<(i64, T)>,
) -> Vec<Odd<T>> {
    let mut found = Vec::new();
    for end in [End::First, End::Last] {
        let (mut before, mut ahead, from) = (i64::MIN, VecDeque::new(), found.len());
        walk_from(conn, table, end, &mut |row| {
            let Ok((number, what)) = read(row) else { return };
            ahead.push_back((if matches!(end, End::First) { number } else { number.saturating_neg() }, what));
            if ahead.len() > 2 {
                found.extend(judge(&mut before, &mut ahead));
            }
        });
        while !ahead.is_empty() {
            found.extend(judge(&mut before, &mut ahead));
        }
        if matches!(end, End::Last) {
            for odd in found.iter_mut().skip(from) {
                let (low, high) = odd.between;
                (odd.number, odd.between) =
                    (odd.number.saturating_neg(), (high.saturating_neg(), low.saturating_neg()));
            }
        }
    }
    found
}

/// Takes the next one. Where it and the one behind it are out of order, the one after that tells which of them is wrong.
fn judge<T>(before: &mut i64, ahead: &mut VecDeque<(i64, T)>) -> Option<Odd<T>> {
    let (number, what) = ahead.pop_front()?;
    let next = ahead.front().map_or(i64::MAX, |(next, _)| *next);
    let is_above = ahead.get(1).is_some_and(|(next, _)| *next > number);
    if number > *before && (number < next || is_above) {
        *before = number;
        return None;
    }
    Some(Odd { number, what, between: (*before, next) })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_that_is_out_of_order_is_told_from_those_beside_it() {
        check(&[1, 2, 3, 4], &[]);
        check(&[5, 2, 3, 4, 5, 6], &[0]);
        check(&[1, 2, 19, 4, 5], &[2]);
        check(&[10, 11, 4, 13], &[2]);
        // Nothing behind them tells which of the two it is.
        check(&[1, 2, 3, 4, 5, 3], &[4, 5]);
        check(&[1, 2, 2, 4], &[2]);
    }

    /// Which of them are found, by their places.
    fn check(numbers: &[i64], expected: &[usize]) {
        let (mut before, mut found) = (i64::MIN, Vec::new());
        let mut ahead: VecDeque<_> = numbers.iter().copied().zip(0..).collect();
        while !ahead.is_empty() {
            found.extend(judge(&mut before, &mut ahead).map(|odd| odd.what));
        }
        assert_eq!(found, expected, "{numbers:?}");
    }
}
