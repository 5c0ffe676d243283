//! A copy of a journal while the relay works on.
//!
//! SQLite's own online backup begins anew whenever somebody else has written between two of its steps, or keeps one
//! transaction open to its end, during which the log grows. So events are copied a few hundred at a time, each with all
//! that belongs to it in one short transaction, and with a pause in between. Everything that was acknowledged before the
//! backup began is in it; each event stands as it stood at the moment of its copy.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rusqlite::types::Value;
use rusqlite::{Connection, Row, Statement};
use sha2::{Digest, Sha256};

use crate::copy::{
    self, ATTEMPTS, CopyError, DELIVERIES, EVENTS, PURGED, REFUSALS, SINKS, SOURCES, Table, Target, WORDS,
    file_of,
};
use crate::key::Key;
use crate::lock;
use crate::open::FILE;
use crate::reader;
use crate::schema;
use crate::storage::Storage;
use crate::verify::Progress;

/// Rows, and bytes of bodies, that one transaction reads.
const PAGE: i64 = 200;
const PAGE_BYTES: usize = 4 << 20;
/// Between two of them the disk is the relay's.
const PAUSE: Duration = Duration::from_millis(2);

/// What was copied.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackedUp {
    /// The new journal's file.
    pub file: PathBuf,
    /// Events in it.
    pub events: u64,
    /// Refusals in it.
    pub refusals: u64,
    /// Events whose body is not the one that was accepted; they are in it as they are.
    pub corrupt: u64,
}

/// Copies the journal of that folder to a new one: into `to` where that ends in `.sqlite3`, else into the folder `to`.
///
/// # Errors
/// If the journal does not read, if something is there already, or if it cannot be written.
pub fn backup(folder: &Path, to: &Path, progress: &mut dyn FnMut(Progress)) -> Result<BackedUp, CopyError> {
    let is_still = !lock::is_held(folder);
    let from = reader::connect_to_all(folder, &Storage::default())?;
    let source = folder.join(FILE);
    let damaged = |error: rusqlite::Error| CopyError::damaged(&source, &error);
    let (of, duplicates, last, openings) = from.query_row(ABOUT, [], about).map_err(damaged)?;
    let version = schema::version(&from).map_err(damaged)?;
    let target = Target::create(file_of(to))?;
    let mut copy = Copy { from, source: source.clone(), version, target, events: 0, corrupt: 0 };
    let mut after = 0;
    while let Some(seq) = copy.events_after(after, last)? {
        after = seq;
        progress(Progress { events: copy.events, of });
        thread::sleep(PAUSE);
    }
    let refusals = copy.all_of(&REFUSALS)?;
    copy.compare_with_counters(last, refusals, is_still)?;
    copy.what_later_schemas_add()?;
    let Copy { target, events, corrupt, .. } = copy;
    target.take_over(duplicates, last, openings).map_err(|error| target.failed(&error))?;
    Ok(BackedUp { file: target.finish()?, events, refusals, corrupt })
}

/// How many events there are, how many duplicates there were, the last `seq` that was given out, and the openings.
pub(crate) const ABOUT: &str = "SELECT events, duplicates,
    MAX(COALESCE((SELECT MAX(seq) FROM events), 0), COALESCE((SELECT value FROM meta WHERE key = 'last_seq'), 0)),
    COALESCE((SELECT value FROM meta WHERE key = 'openings'), 1) FROM totals";

pub(crate) fn about(row: &Row<'_>) -> rusqlite::Result<(u64, i64, i64, i64)> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
}

struct Copy {
    from: Connection,
    source: PathBuf,
    /// Of its schema.
    version: i64,
    target: Target,
    events: u64,
    corrupt: u64,
}

impl Copy {
    /// Copies the next few events in one transaction; returns the last of them.
    fn events_after(&mut self, after: i64, last: i64) -> Result<Option<i64>, CopyError> {
        let damaged = |error: rusqlite::Error| CopyError::damaged(&self.source, &error);
        let snapshot = self.from.unchecked_transaction().map_err(damaged)?;
        let sql = EVENTS.select("WHERE seq > ?1 AND seq <= ?2 ORDER BY seq LIMIT ?3");
        let mut statement = snapshot.prepare_cached(&sql).map_err(damaged)?;
        let mut rows = statement.query([after, last, PAGE]).map_err(damaged)?;
        let (mut copied_to, mut bytes) = (None, 0);
        while bytes < PAGE_BYTES
            && let Some(row) = rows.next().map_err(damaged)?
        {
            let values = values(row).map_err(damaged)?;
            let seq: i64 = row.get(0).map_err(damaged)?;
            let body = row.get_ref("body").and_then(|body| Ok(body.as_blob()?)).map_err(damaged)?;
            let sha256: [u8; 32] = row.get("sha256").map_err(damaged)?;
            bytes += body.len();
            self.corrupt += u64::from(Sha256::digest(body)[..] != sha256);
            let id: [u8; 16] = row.get(1).map_err(damaged)?;
            if seq <= copied_to.unwrap_or(after) {
                return Err(self.lacks(&format!("event {seq} is out of order")));
            }
            let deliveries = put_event(&snapshot, &mut self.target, seq, &id, &values)
                .map_err(|error| self.told(error))?;
            let purged = match self.version {
                ..2 => 0,
                _ => put_purged(&snapshot, &mut self.target, seq).map_err(|error| self.told(error))?,
            };
            let is_for_no_sink = row.get::<_, i64>("state").map_err(damaged)? != 0;
            if is_for_no_sink && deliveries > 0 || !is_for_no_sink && deliveries + purged == 0 {
                return Err(self.lacks(&format!("event {seq} has not the deliveries that it says")));
            }
            self.events += 1;
            copied_to = Some(seq);
        }
        Ok(copied_to)
    }

    /// A bit that flips in a key leads a walk past rows, which nothing else shows: the journal counts what it holds. Of
    /// what was copied some may have gone since, and where a relay works, deliveries and refusals may have come.
    fn compare_with_counters(&self, last: i64, refusals: u64, is_still: bool) -> Result<(), CopyError> {
        let damaged = |error: rusqlite::Error| CopyError::damaged(&self.source, &error);
        let sql = "SELECT events - (SELECT COUNT(*) FROM events WHERE seq > ?1) FROM totals";
        let counted: i64 = self.from.query_row(sql, [last], |row| row.get(0)).map_err(damaged)?;
        let found = i64::try_from(self.events).unwrap_or(i64::MAX);
        if found < counted {
            return Err(self.lacks(&format!("of {counted} events that it counts {found} are found")));
        }
        if !is_still {
            return Ok(());
        }
        let counted: u64 =
            self.from.query_row("SELECT refusals FROM totals", [], |row| row.get(0)).map_err(damaged)?;
        if refusals < counted {
            return Err(self.lacks(&format!("of {counted} refusals that it counts {refusals} are found")));
        }
        let found = self.target.deliveries().map_err(|error| self.target.failed(&error))?;
        for (sink, name, counted) in copy::counted(&self.from).map_err(damaged)? {
            let found = found.get(&sink).copied().unwrap_or(0);
            if found < counted {
                let what = format!("of {counted} deliveries to {name} that it counts {found} are found");
                return Err(self.lacks(&what));
            }
        }
        Ok(())
    }

    fn lacks(&self, cause: &str) -> CopyError {
        CopyError::Damaged { path: self.source.clone(), cause: cause.to_owned() }
    }

    fn odd(&self, table: &str) -> CopyError {
        self.lacks(&format!("a row of {table} is none that a relay writes"))
    }

    /// Pauses, the history of the relay, who did what, and which spans brought events. A file that only an earlier
    /// version has opened has none.
    fn what_later_schemas_add(&mut self) -> Result<(), CopyError> {
        let damaged = |error: rusqlite::Error| CopyError::damaged(&self.source, &error);
        if self.version < 2 {
            return Ok(());
        }
        let pauses = copy::pauses(&self.from).map_err(damaged)?;
        let paused: Vec<Value> = pauses.iter().map(|(sink, ..)| Value::Integer(*sink)).collect();
        put_named(&self.from, &mut self.target, &SINKS, paused.iter()).map_err(|error| self.told(error))?;
        self.target.take_over_pauses(&pauses).map_err(|error| self.target.failed(&error))?;
        copy::of_later_schemas(self.version).try_for_each(|table| self.all_of(table).map(drop))
    }

    fn told(&self, error: Side) -> CopyError {
        match error {
            Side::From(error) => CopyError::damaged(&self.source, &error),
            Side::To(error) => self.target.failed(&error),
            Side::Odd(table) => self.odd(table),
        }
    }

    /// Copies a table page by page; says how many rows it had.
    fn all_of(&mut self, table: &Table) -> Result<u64, CopyError> {
        let key = table.key();
        let damaged = |error: rusqlite::Error| CopyError::damaged(&self.source, &error);
        let (mut after, mut copied) = (0, 0);
        loop {
            let page = {
                let sql = table.select(&format!("WHERE {key} > ?1 ORDER BY {key} LIMIT ?2"));
                let mut statement = self.from.prepare_cached(&sql).map_err(damaged)?;
                rows_of(&mut statement, [after, PAGE]).map_err(damaged)?
            };
            let Some(Value::Integer(last)) = page.last().and_then(|row| row.first()) else {
                return Ok(copied);
            };
            after = *last;
            for row in &page {
                if !self.target.put(table, row).map_err(|error| self.target.failed(&error))? {
                    return Err(self.odd(table.name));
                }
                copied += 1;
            }
            thread::sleep(PAUSE);
        }
    }
}

/// On which side something went wrong.
enum Side {
    From(rusqlite::Error),
    To(rusqlite::Error),
    /// A row of that table is none that a relay writes.
    Odd(&'static str),
}

fn place(to: &Target, table: &Table, row: &[Value]) -> Result<(), Side> {
    if to.put(table, row).map_err(Side::To)? { Ok(()) } else { Err(Side::Odd(table.name)) }
}

/// Copies an event with its words, sinks, sources, deliveries and attempts; says how many deliveries it has.
fn put_event(
    from: &Connection,
    to: &mut Target,
    seq: i64,
    id: &[u8; 16],
    values: &[Value],
) -> Result<usize, Side> {
    let (first, last) = Key::range_of(seq);
    let belongings = [
        (&SOURCES, SOURCES.select("WHERE event = ?1 AND ?2 = ?2"), [seq, 0]),
        (&DELIVERIES, DELIVERIES.select("WHERE id BETWEEN ?1 AND ?2"), [first, last]),
        (&ATTEMPTS, ATTEMPTS.select("WHERE delivery BETWEEN ?1 AND ?2"), [first, last]),
    ];
    put_named(from, to, &WORDS, [2, 3, 6, 8].iter().filter_map(|column| values.get(*column)))?;
    place(to, &EVENTS, values)?;
    to.put_id(id, seq).map_err(Side::To)?;
    let (mut deliveries, mut last) = (0, None);
    for (table, sql, of) in belongings {
        let mut statement = from.prepare_cached(&sql).map_err(Side::From)?;
        for row in rows_of(&mut statement, of).map_err(Side::From)? {
            match table.name {
                "event_sources" => put_named(from, to, &WORDS, row.get(1).into_iter())?,
                "deliveries" => {
                    let key = match row.as_slice() {
                        [Value::Integer(id), Value::Integer(sink), ..] if Key(*id).sink() == *sink => {
                            Key(*id)
                        }
                        _ => return Err(Side::Odd(table.name)),
                    };
                    if key.seq() != seq || last >= Some(key.0) {
                        return Err(Side::Odd(table.name));
                    }
                    (last, deliveries) = (Some(key.0), deliveries + 1);
                    put_named(from, to, &SINKS, row.get(1).into_iter())?;
                }
                _ => {}
            }
            place(to, table, &row)?;
        }
    }
    Ok(deliveries)
}

/// Copies the dead letters of an event that were purged, in the transaction that its deliveries are read in: else one
/// that is purged or replayed meanwhile would be both, or neither. Says how many they are.
fn put_purged(from: &Connection, to: &mut Target, seq: i64) -> Result<usize, Side> {
    let (first, last) = Key::range_of(seq);
    let sql = PURGED.select("WHERE delivery BETWEEN ?1 AND ?2");
    let mut statement = from.prepare_cached(&sql).map_err(Side::From)?;
    let purged = rows_of(&mut statement, [first, last]).map_err(Side::From)?;
    for row in &purged {
        if let Some(Value::Integer(delivery)) = row.first() {
            put_named(from, to, &SINKS, [Value::Integer(Key(*delivery).sink())].iter())?;
        }
        place(to, &PURGED, row)?;
    }
    Ok(purged.len())
}

/// Copies the rows that these numbers name, if they were not yet.
fn put_named<'a>(
    from: &Connection,
    to: &mut Target,
    table: &Table,
    numbers: impl Iterator<Item = &'a Value>,
) -> Result<(), Side> {
    for number in numbers {
        let Value::Integer(number) = number else { continue };
        if to.is_new(table, *number) {
            let mut statement =
                from.prepare_cached(&table.select("WHERE id = ?1 AND ?2 = ?2")).map_err(Side::From)?;
            for row in rows_of(&mut statement, [*number, 0]).map_err(Side::From)? {
                place(to, table, &row)?;
            }
        }
    }
    Ok(())
}

fn rows_of(statement: &mut Statement<'_>, of: [i64; 2]) -> rusqlite::Result<Vec<Vec<Value>>> {
    statement.query_map(of, values)?.collect()
}

/// A row as it stands.
pub(crate) fn values(row: &Row<'_>) -> rusqlite::Result<Vec<Value>> {
    (0..row.as_ref().column_count()).map(|column| row.get(column)).collect()
}
