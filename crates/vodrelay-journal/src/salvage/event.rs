//! One event with its sources, deliveries and attempts.

use std::io::{self, Write};

use rusqlite::types::Value;
use sha2::{Digest, Sha256};
use vod_event::EventId;
use vodrelay_core::{SinkName, SourceName};

use super::scratch::Scratch;
use super::{LossKind, MOST_SEQ, Salvage};
use crate::backup::values;
use crate::copy::{ATTEMPTS, CopyError, DELIVERIES, EVENTS, SINKS, SOURCES, Table, WORDS};
use crate::folder;
use crate::key::Key;

/// Columns of an event, as `EVENTS` names them.
const ID: usize = 1;
const SOURCE: usize = 2;
const OTHER_WORDS: [usize; 3] = [3, 6, 8];
const STATE: usize = 5;
const UNREADABLE: usize = 12;
const SHA256: usize = 13;
const BODY: usize = 14;

/// Stands for a source whose name does not read.
pub(super) const UNKNOWN_SOURCE: &str = "callbacks.salvaged";

/// Whether a row of words or sinks can be one.
pub(super) fn is_name(table: &Table, row: &[Value]) -> bool {
    match row.get(1) {
        Some(Value::Text(text)) => table.name != SINKS.name || SinkName::new(text).is_ok(),
        _ => false,
    }
}

impl Salvage<'_> {
    pub(super) fn event(&mut self, from: &Scratch, mut row: Vec<Value>) -> Result<(), CopyError> {
        let Some(Value::Integer(seq)) = row.first().cloned() else { return Ok(()) };
        let (Some(Value::Blob(sha256)), Some(Value::Blob(body))) = (row.get(SHA256), row.get(BODY)) else {
            self.lose(format!("event {seq}: its body is none"));
            return Ok(());
        };
        if Sha256::digest(body)[..] != sha256[..] {
            return self.keep_out(seq, &body.clone());
        }
        let expected = match row.get(UNREADABLE) {
            Some(Value::Null) => {
                vod_event::read(body).map_or_else(|_| EventId::of_raw(body), |reading| reading.id())
            }
            _ => EventId::of_raw(body),
        };
        if row.get(ID) != Some(&Value::Blob(expected.as_bytes().to_vec())) {
            self.tell(
                LossKind::Mended,
                format!("event {seq}: its id was not that of its body, and is {expected} now"),
            );
            set(&mut row, ID, Value::Blob(expected.as_bytes().to_vec()));
        }
        let same = self.target.event_with(expected.as_bytes()).map_err(|error| self.target.failed(&error))?;
        if let Some(other) = same {
            self.tell(LossKind::Mended, format!("event {seq} is event {other} once more"));
            return Ok(());
        }
        let seq = self.number_of(from, seq, expected.as_bytes())?;
        set(&mut row, 0, Value::Integer(seq));
        self.words_of(seq, &mut row)?;
        let deliveries = self.deliveries(from, seq, said_none(&row));
        self.mend_state(from, seq, &mut row, deliveries.len());
        if !self.put(&EVENTS, &row)? {
            self.lose(format!("event {seq}: a field of it cannot be one"));
            return Ok(());
        }
        self.target.put_id(expected.as_bytes(), seq).map_err(|error| self.target.failed(&error))?;
        self.count.events += 1;
        self.count.last_seq = self.count.last_seq.max(seq);
        for delivery in deliveries {
            self.put_delivery(seq, &delivery)?;
        }
        self.belongings(from, seq)
    }

    /// Has the event say what became of it, by the deliveries that are found.
    fn mend_state(&mut self, from: &Scratch, seq: i64, row: &mut [Value], found: usize) {
        let said_none = said_none(row);
        let (state, name) = match (found, row.get(UNREADABLE)) {
            (1.., _) => (0, "for sinks"),
            (0, _) if !said_none && is_purged(from, Key::range_of(seq)) => (0, "for sinks"),
            (0, Some(Value::Null)) => (1, "unrouted"),
            (0, _) => (2, "unreadable"),
        };
        if row.get(STATE) == Some(&Value::Integer(state)) {
            return;
        }
        if said_none && found > 0 {
            let what = "says that no sink has it; they may be another's, which lacks them now";
            let advice = "`vodrelay replay --since TIME` delivers anew";
            self.tell(LossKind::Lost, format!("event {seq} with {found} deliveries {what}; {advice}"));
        } else {
            self.tell(LossKind::Mended, format!("event {seq}: its state does not read, and is {name} now"));
        }
        set(row, STATE, Value::Integer(state));
    }

    /// An event that is in the new journal no more.
    fn lose(&mut self, what: String) {
        self.count.told += 1;
        self.tell(LossKind::Lost, what);
    }

    /// The number of an event, in which a bit may have flipped: the ids' table has it once more. Else it keeps that which
    /// it says it has, where that is in order and can be, or gets one that no event had.
    fn number_of(&mut self, from: &Scratch, seq: i64, id: &[u8]) -> Result<i64, CopyError> {
        let named = from.seq_of(id).filter(|named| (1..=MOST_SEQ).contains(named) && !from.has_event(*named));
        let is_free =
            |seq: i64| self.target.has_event(seq).map(|has| !has).map_err(|error| self.target.failed(&error));
        let may_be_right = !self.misnumbered.contains(id) || from.seq_of(id) == Some(seq);
        let number = match named {
            Some(named) if named != seq && is_free(named)? => named,
            _ if may_be_right && (1..=MOST_SEQ).contains(&seq) && is_free(seq)? => return Ok(seq),
            _ => self.count.last_seq.max(from.expected_seq()) + 1,
        };
        self.tell(LossKind::Mended, format!("event {seq} has lost its number, and is event {number} now"));
        Ok(number)
    }

    /// The bytes may still help a person who knows what they ought to be.
    fn keep_out(&mut self, seq: i64, body: &[u8]) -> Result<(), CopyError> {
        let path = self.kept_out.join(format!("{seq}.body"));
        let write = || -> io::Result<()> {
            folder::make_folder(&self.kept_out)?;
            let mut file = folder::make_file(&path)?;
            file.write_all(body)?;
            file.sync_all()?;
            folder::sync(&self.kept_out)
        };
        write().map_err(|error| CopyError::target(&path, &error))?;
        self.count.told += 1;
        let what =
            format!("event {seq}: its body is not the one that was accepted; it is in {}", path.display());
        self.tell(LossKind::KeptOut, what);
        Ok(())
    }

    /// A word that does not read is left out, but for the source, which every event has.
    fn words_of(&mut self, seq: i64, row: &mut [Value]) -> Result<(), CopyError> {
        for column in OTHER_WORDS {
            let is_known =
                matches!(row.get(column), Some(Value::Integer(word)) if self.target.knows(&WORDS, *word));
            if !is_known && row.get(column) != Some(&Value::Null) {
                self.without.words.add(seq);
                set(row, column, Value::Null);
            }
        }
        let source = self.source_of(row.get(SOURCE))?;
        if row.get(SOURCE) != Some(&source) {
            self.without.source.add(seq);
            set(row, SOURCE, source);
        }
        Ok(())
    }

    /// The source as it is named, or the one that stands for those whose name does not read.
    fn source_of(&mut self, source: Option<&Value>) -> Result<Value, CopyError> {
        if let Some(Value::Integer(number)) = source
            && let Some(text) = self.target.word(*number).map_err(|error| self.target.failed(&error))?
            && text.parse::<SourceName>().is_ok()
        {
            return Ok(Value::Integer(*number));
        }
        let number =
            self.target.number_of_word(UNKNOWN_SOURCE).map_err(|error| self.target.failed(&error))?;
        Ok(Value::Integer(number))
    }

    /// What reads of an event's deliveries; one of which nobody can say where it stands is to be made again.
    fn deliveries(&mut self, from: &Scratch, seq: i64, said_none: bool) -> Vec<Vec<Value>> {
        let range = Key::range_of(seq);
        let passed = passed(from, &DELIVERIES, range);
        let (mut found, others): (Vec<_>, Vec<_>) =
            passed.as_deref().unwrap_or_default().iter().cloned().partition(|row| is_within(row, range));
        if said_none {
            return found;
        }
        if passed.is_err() || !others.is_empty() {
            for sink in self.sinks.clone() {
                found.extend(self.delivery(from, Key::new(seq, sink)));
            }
        }
        found.extend(self.strays.remove(&seq).unwrap_or_default());
        let found = self.each_once(seq, found);
        if !found.is_empty() || is_purged(from, range) {
            return found;
        }
        let what = "none of its deliveries is found; they are made again for each sink, perhaps for nothing";
        self.tell(LossKind::Mended, format!("event {seq}: {what}"));
        self.sinks.iter().map(|sink| fresh(Key::new(seq, *sink))).collect()
    }

    /// A delivery that is searched for by itself.
    fn delivery(&mut self, from: &Scratch, key: Key) -> Vec<Vec<Value>> {
        let only = (key.0, key.0);
        if let Ok(passed) = passed(from, &DELIVERIES, only) {
            return passed.into_iter().filter(|row| is_within(row, only)).collect();
        }
        let (id, event) = (key.0, key.seq());
        let what = "does not read; it is made again, perhaps for nothing";
        self.tell(LossKind::Mended, format!("delivery {id} of event {event} {what}"));
        *self.perhaps.entry(key.sink()).or_default() += 1;
        vec![fresh(key)]
    }

    /// A delivery that stands twice is another's once, and nobody knows how its own stands.
    fn each_once(&mut self, seq: i64, rows: Vec<Vec<Value>>) -> Vec<Vec<Value>> {
        let mut once: Vec<Vec<Value>> = Vec::new();
        for mut row in rows {
            // The sink stands in the row once more.
            if let Some(Value::Integer(sink)) = row.get(1)
                && self.sinks.contains(sink)
            {
                let key = Key::new(seq, *sink).0;
                set(&mut row, 0, Value::Integer(key));
            }
            match once.iter_mut().find(|known| known.first() == row.first()) {
                Some(known) if *known != row => {
                    let Some(Value::Integer(key)) = row.first() else { continue };
                    *known = fresh(Key(*key));
                    let what = "stands there twice; it is made again, perhaps for nothing";
                    self.tell(LossKind::Mended, format!("delivery {key} of event {seq} {what}"));
                }
                Some(_) => {}
                None => once.push(row),
            }
        }
        once
    }

    fn put_delivery(&mut self, seq: i64, row: &[Value]) -> Result<(), CopyError> {
        let Some(Value::Integer(id)) = row.first().cloned() else { return Ok(()) };
        let sink = Key(id).sink();
        if self.target.is_new(&SINKS, sink) {
            let name = format!("lost_{sink}");
            self.tell(LossKind::Mended, format!("the name of sink {sink} does not read, and is {name} now"));
            self.put(&SINKS, &[Value::Integer(sink), Value::Text(name)])?;
        }
        let is_right = row.get(1) == Some(&Value::Integer(sink))
            && match row.get(2) {
                Some(Value::Integer(1)) => matches!(row.get(8), Some(Value::Integer(_))),
                Some(Value::Integer(state)) => (0..=3).contains(state),
                _ => false,
            };
        self.count.deliveries += 1;
        if is_right && self.put(&DELIVERIES, row)? {
            return Ok(());
        }
        self.tell(
            LossKind::Mended,
            format!("delivery {id} of event {seq} says what cannot be; it is made again"),
        );
        self.put(&DELIVERIES, &fresh(Key(id)))?;
        Ok(())
    }

    /// Sources of duplicates and failed attempts: history, which is told as lost in one line.
    fn belongings(&mut self, from: &Scratch, seq: i64) -> Result<(), CopyError> {
        for (table, range) in [(&SOURCES, (seq, seq)), (&ATTEMPTS, Key::range_of(seq))] {
            let rows = passed(from, table, range).ok();
            // A bit that flips in a key puts a row where it does not belong.
            let Some(rows) = rows.filter(|rows| rows.iter().all(|row| is_within(row, range))) else {
                self.tell(LossKind::Lost, format!("event {seq}: its {} do not read", table.name));
                continue;
            };
            for row in rows {
                let names_nobody = match (table.name, row.get(1), row.first()) {
                    ("event_sources", Some(Value::Integer(word)), _) => !self.target.knows(&WORDS, *word),
                    ("attempts", _, Some(Value::Integer(delivery))) => {
                        !is_purged(from, (*delivery, *delivery))
                            && !self
                                .target
                                .has_delivery(*delivery)
                                .map_err(|error| self.target.failed(&error))?
                    }
                    _ => true,
                };
                if names_nobody || !self.put(table, &row)? {
                    self.tell(
                        LossKind::Lost,
                        format!("event {seq}: one of its {} does not read", table.name),
                    );
                }
            }
        }
        Ok(())
    }
}

/// What a search for the rows with these keys passes, others among them.
fn passed(from: &Scratch, table: &Table, range: (i64, i64)) -> rusqlite::Result<Vec<Vec<Value>>> {
    let sql = table.select(&format!("WHERE {} BETWEEN ?1 AND ?2", table.key()));
    from.conn.prepare_cached(&sql)?.query_map(range, values)?.collect()
}

fn is_within(row: &[Value], (first, last): (i64, i64)) -> bool {
    matches!(row.first(), Some(Value::Integer(key)) if (first..=last).contains(key))
}

/// Whether the event says that no sink has it.
fn said_none(row: &[Value]) -> bool {
    matches!(row.get(STATE), Some(Value::Integer(1 | 2)))
}

/// A delivery of which nothing is known, as a new one.
fn fresh(key: Key) -> Vec<Value> {
    let mut row = vec![Value::Integer(key.0), Value::Integer(key.sink())];
    row.extend(vec![Value::Integer(0); 6]);
    row.extend(vec![Value::Null; 7]);
    row
}

fn set(row: &mut [Value], column: usize, value: Value) {
    if let Some(place) = row.get_mut(column) {
        *place = value;
    }
}

/// Whether one of these was a dead letter that was purged: it is among the deliveries no more.
fn is_purged(from: &Scratch, range: (i64, i64)) -> bool {
    let sql = "SELECT 1 FROM purged WHERE delivery BETWEEN ?1 AND ?2";
    from.conn.prepare(sql).and_then(|mut statement| statement.exists(range)).unwrap_or(false)
}
