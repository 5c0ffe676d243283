//! Appending one event in the running transaction: new, or merged into the one that is there.

use rusqlite::{Connection, OptionalExtension, params};
use vod_event::Event;
use vodrelay_core::{Appended, Envelope, JournalError, MOST_LABEL_BYTES, SinkName};

use crate::erase;
use crate::ids::Ids;
use crate::key::{Key, MOST_SINKS, excerpt, nanos};
use crate::op::Row;
use crate::writer::{Batch, Names};

/// The largest body; a hundred times what the provider sends, and still an easy row.
const LARGEST_BODY: usize = 64 << 20;
const LONGEST_REASON: usize = 1_024;
/// Words stay in the file for good and in memory while they are in use, so that nobody may make long ones up.
pub(crate) const LONGEST_WORD: usize = 128;

pub(crate) const ROUTED: i64 = 0;
pub(crate) const UNROUTED: i64 = 1;
pub(crate) const UNREADABLE: i64 = 2;

impl Row {
    /// Checks an envelope and makes the row of it, so that nothing in the transaction can fail for its sake.
    pub(crate) fn new(envelope: &Envelope, sinks: &[SinkName]) -> Result<Self, JournalError> {
        let size = envelope.body.len();
        if size > LARGEST_BODY {
            let message =
                format!("a body of {size} bytes is larger than the {LARGEST_BODY} that a journal keeps");
            return Err(JournalError::Invalid(message));
        }
        let labels = (!envelope.labels.is_empty()).then(|| serde_json::to_string(&*envelope.labels));
        let labels = labels.transpose().map_err(|error| JournalError::Invalid(error.to_string()))?;
        if labels.as_ref().is_some_and(|labels| labels.len() > MOST_LABEL_BYTES) {
            let message =
                format!("the labels of {} are larger than {MOST_LABEL_BYTES} bytes", envelope.source);
            return Err(JournalError::Invalid(message));
        }
        let mut sinks = sinks.to_vec();
        sinks.sort_unstable();
        sinks.dedup();
        Ok(Self {
            id: envelope.id,
            source: envelope.source.clone(),
            labels,
            received_at: nanos(envelope.received_at),
            event: envelope.event().cloned().map_err(|reason| excerpt(reason, LONGEST_REASON).to_owned()),
            body: envelope.body.clone(),
            sha256: envelope.sha256,
            trace: envelope.trace.map(|trace| trace.to_bytes()),
            sinks,
        })
    }

    fn state(&self) -> i64 {
        match (&self.event, self.sinks.is_empty()) {
            (_, false) => ROUTED,
            (Ok(_), true) => UNROUTED,
            (Err(_), true) => UNREADABLE,
        }
    }
}

/// Writes the event with its deliveries, or adds what the duplicate brings.
pub(crate) fn append(
    conn: &Connection,
    names: &mut Names,
    ids: &mut Ids,
    batch: &mut Batch,
    row: &Row,
) -> rusqlite::Result<Appended> {
    if let Some(seq) = ids.find(conn, batch, &row.id)? {
        merge(conn, names, batch, row, seq)?;
        return Ok(Appended::Duplicate);
    }
    if erase::is_erased(conn, &row.id)? {
        batch.counters.duplicates += 1;
        return Ok(Appended::Duplicate);
    }
    let seq = names.next_seq;
    names.next_seq += 1;
    insert(conn, names, row, seq)?;
    ids.add(batch, &row.id, seq);
    batch.counters.events += 1;
    count_state(batch, row.state(), 1);
    for sink in &row.sinks {
        let key = Key::new(seq, names.sink(conn, sink)?);
        add_delivery(conn, batch, key)?;
    }
    batch.work |= !row.sinks.is_empty();
    batch.appended += 1;
    Ok(Appended::New)
}

fn insert(conn: &Connection, names: &mut Names, row: &Row, seq: i64) -> rusqlite::Result<()> {
    let source = names.words.number(conn, row.source.as_str())?;
    let labels = row.labels.as_deref().map(|labels| names.words.number(conn, labels)).transpose()?;
    let event = row.event.as_deref().ok();
    let (event_type, status) = words_of(conn, names, event)?;
    conn.prepare_cached(
        "INSERT INTO events (seq, id, source, labels, received_at, state, event_type, event_time, status,
             video_id, media_id, job_id, unreadable, sha256, body)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
    )?
    .execute(params![
        seq,
        row.id.as_bytes(),
        source,
        labels,
        row.received_at,
        row.state(),
        event_type,
        event.and_then(|event| event.event_time).map(|time| nanos(time.0)),
        status,
        event.and_then(|event| event.video_id.as_deref()),
        event.and_then(|event| event.media_id.as_deref()),
        event.and_then(|event| event.job_id.as_deref()),
        row.event.as_ref().err(),
        row.sha256,
        &row.body[..],
    ])?;
    if let Some(trace) = row.trace {
        conn.prepare_cached("INSERT OR REPLACE INTO traces (event, context) VALUES (?1, ?2)")?
            .execute(params![seq, trace])?;
    }
    Ok(())
}

/// The numbers of the event's type and status.
pub(crate) fn words_of(
    conn: &Connection,
    names: &mut Names,
    event: Option<&Event>,
) -> rusqlite::Result<(Option<i64>, Option<i64>)> {
    let word = |text| excerpt(text, LONGEST_WORD);
    let event_type = event.map(|event| names.words.number(conn, word(&event.event_type))).transpose()?;
    let status = event.and_then(|event| event.status.as_ref());
    let status = status.map(|status| names.words.number(conn, word(status.as_str()))).transpose()?;
    Ok((event_type, status))
}

/// Notes the source of a duplicate and adds the deliveries that are missing; none that is there is touched.
fn merge(
    conn: &Connection,
    names: &mut Names,
    batch: &mut Batch,
    row: &Row,
    seq: i64,
) -> rusqlite::Result<()> {
    let state: i64 = conn
        .prepare_cached("SELECT state FROM events WHERE seq = ?1")?
        .query_row([seq], |found| found.get(0))?;
    batch.counters.duplicates += 1;
    let source = names.words.number(conn, row.source.as_str())?;
    conn.prepare_cached(
        "INSERT INTO event_sources (event, source, first_at, repeats) VALUES (?1, ?2, ?3, 1)
         ON CONFLICT (event, source) DO UPDATE SET repeats = repeats + 1",
    )?
    .execute([seq, source, row.received_at])?;
    if state != ROUTED && !row.sinks.is_empty() {
        conn.prepare_cached("UPDATE events SET state = 0 WHERE seq = ?1")?.execute([seq])?;
        count_state(batch, state, -1);
    }
    for sink in &row.sinks {
        let key = Key::new(seq, names.sink(conn, sink)?);
        if !is_purged(conn, key)? && add_delivery(conn, batch, key)? {
            batch.appeared.push(key);
        }
    }
    Ok(())
}

/// Says whether the delivery was not there.
fn add_delivery(conn: &Connection, batch: &mut Batch, key: Key) -> rusqlite::Result<bool> {
    let added = conn
        .prepare_cached(
            "INSERT INTO deliveries (id, sink, state) VALUES (?1, ?2, 0) ON CONFLICT (id) DO NOTHING",
        )?
        .execute([key.0, key.sink()])?;
    if added > 0 {
        batch.counters.sink(key.sink()).pending += 1;
    }
    Ok(added > 0)
}

/// Whether the delivery was given up and somebody has seen to it.
pub(crate) fn is_purged(conn: &Connection, key: Key) -> rusqlite::Result<bool> {
    conn.prepare_cached("SELECT 1 FROM purged WHERE delivery = ?1")?.exists([key.0])
}

pub(crate) fn count_state(batch: &mut Batch, state: i64, by: i64) {
    match state {
        UNROUTED => batch.counters.unrouted += by,
        UNREADABLE => batch.counters.unreadable += by,
        _ => {}
    }
}

impl Names {
    /// Whether those sinks can all be named; a journal that ran out of numbers refuses the row before the batch.
    pub(crate) fn have_room_for(&self, sinks: &[SinkName]) -> bool {
        let new = sinks.iter().filter(|sink| !self.sinks.contains_key(*sink)).count();
        self.last_sink + i64::try_from(new).unwrap_or(i64::MAX) <= MOST_SINKS
    }

    /// The number of the sink, given out in the running transaction where there is none yet.
    pub(crate) fn sink(&mut self, conn: &Connection, sink: &SinkName) -> rusqlite::Result<i64> {
        if let Some(number) = self.sinks.get(sink) {
            return Ok(*number);
        }
        let found = conn
            .prepare_cached("SELECT id FROM sinks WHERE name = ?1")?
            .query_row([sink.as_str()], |row| row.get(0))
            .optional()?;
        let number = match found {
            Some(number) => number,
            None => {
                conn.prepare_cached("INSERT INTO sinks (id, name) VALUES (?1, ?2)")?
                    .execute(params![self.last_sink + 1, sink.as_str()])?;
                self.last_sink += 1;
                self.last_sink
            }
        };
        self.sinks.insert(sink.clone(), number);
        Ok(number)
    }
}
