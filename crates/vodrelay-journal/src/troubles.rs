//! When events were turned away, and what became of those refusals that are kept.

use rusqlite::{Connection, OptionalExtension, params};
use vodrelay_core::history::TROUBLE_JOINS;
use vodrelay_core::{RefusalCause, Trouble, TroubleKind};

use crate::age;
use crate::heart::REMEMBERED;
use crate::key::{nanos, nanos_of};

/// So many of a kind are remembered: forgeries that come for months must not push out the hour in which the journal
/// was full.
const MOST_OF_A_KIND: i64 = 2_000;

/// What is counted of a trouble.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Change {
    pub(crate) count: i64,
    pub(crate) kept: i64,
    pub(crate) settled: i64,
}

/// Notes a trouble of that kind and source between these moments: in the one that it joins, or as a new one.
pub(crate) fn note(
    conn: &Connection,
    kind: &str,
    source: &str,
    (first, last): (i64, i64),
    change: Change,
) -> rusqlite::Result<()> {
    if let Some(id) = find(conn, kind, source, (first, last), nanos_of(TROUBLE_JOINS))? {
        return update(conn, id, (first, last), change);
    }
    let id = conn
        .prepare_cached(
            "INSERT INTO troubles (kind, source, first_at, last_at, count, kept, settled)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .insert(params![kind, source, first, last, change.count, change.kept, change.settled])?;
    conn.prepare_cached(
        "DELETE FROM troubles WHERE kind = ?1 AND id <> ?2 AND (last_at < ?3 OR id <=
         (SELECT id FROM troubles WHERE kind = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?4))",
    )?
    .execute(params![kind, id, age::limit(conn, last, REMEMBERED)?, MOST_OF_A_KIND])?;
    Ok(())
}

/// Notes one as the port has it.
pub(crate) fn note_all(conn: &Connection, troubles: &[Trouble]) -> rusqlite::Result<()> {
    for trouble in troubles {
        let span = (nanos(trouble.first_at), nanos(trouble.last_at));
        let count = i64::try_from(trouble.count).unwrap_or(i64::MAX);
        let change = Change { count, ..Change::default() };
        note(conn, trouble.kind.as_str(), trouble.source.as_str(), span, change)?;
    }
    Ok(())
}

/// Notes that a refusal is kept.
pub(crate) fn keep(conn: &Connection, cause: RefusalCause, source: &str, at: i64) -> rusqlite::Result<()> {
    let change = Change { kept: 1, ..Change::default() };
    note(conn, TroubleKind::Refused(cause).as_str(), source, (at, at), change)
}

/// Notes that a refusal is not kept any more; where its trouble is forgotten there is nothing to note.
pub(crate) fn remove(
    conn: &Connection,
    cause: &str,
    source: &str,
    at: i64,
    settled: bool,
) -> rusqlite::Result<()> {
    let Some(id) = find(conn, cause, source, (at, at), 0)? else { return Ok(()) };
    update(conn, id, (at, at), Change { count: 0, kept: -1, settled: i64::from(settled) })
}

/// The trouble that lies between these moments, or no further from them than that.
fn find(
    conn: &Connection,
    kind: &str,
    source: &str,
    (first, last): (i64, i64),
    apart: i64,
) -> rusqlite::Result<Option<i64>> {
    let found: Option<(i64, i64)> = conn
        .prepare_cached(
            "SELECT id, last_at FROM troubles WHERE kind = ?1 AND source = ?2 AND first_at <= ?3
             ORDER BY first_at DESC LIMIT 1",
        )?
        .query_row(params![kind, source, last.saturating_add(apart)], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(found.filter(|(_, last_at)| *last_at >= first.saturating_sub(apart)).map(|(id, _)| id))
}

fn update(conn: &Connection, id: i64, (first, last): (i64, i64), change: Change) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "UPDATE troubles SET first_at = MIN(first_at, ?2), last_at = MAX(last_at, ?3), count = count + ?4,
         kept = MAX(kept + ?5, 0), settled = settled + ?6 WHERE id = ?1",
    )?
    .execute(params![id, first, last, change.count, change.kept, change.settled])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(conn: &Connection) -> Vec<(String, i64)> {
        let mut statement =
            conn.prepare("SELECT kind, COUNT(*) FROM troubles GROUP BY kind ORDER BY kind").unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn they_are_bounded_in_number_and_age_for_each_kind() {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch(include_str!("schema/2_history.sql")).unwrap();
        let minute = 60_000_000_000;
        let once = |kind: &str, at: i64| {
            note(&conn, kind, "callbacks.main", (at, at), Change { count: 1, ..Change::default() }).unwrap();
        };
        once("full", 0);
        (0..2_100).for_each(|number| once("mismatch", number * 6 * minute));
        assert_eq!(kinds(&conn), [("full".to_owned(), 1), ("mismatch".to_owned(), MOST_OF_A_KIND)]);
        once("mismatch", 200 * 24 * 60 * minute);
        assert_eq!(kinds(&conn), [("full".to_owned(), 1), ("mismatch".to_owned(), 1)]);
    }
}
