//! Each event against its body, each delivery against its event and its sink, each id against the table of ids.

use std::collections::HashMap;

use rusqlite::{OptionalExtension, Row, params};
use sha2::{Digest, Sha256};
use vod_event::EventId;

use super::{FindingKind, Look, Progress};
use crate::key::Key;
use crate::schema;

/// Rows that one transaction reads, and bytes of bodies after which it ends too.
const PAGE: i64 = 500;
const PAGE_BYTES: usize = 16 << 20;

/// An event as far as it is looked at.
struct Event {
    seq: i64,
    id: [u8; 16],
    is_body_intact: bool,
    is_id_right: bool,
    state: i64,
    deliveries: i64,
    has_words: bool,
    bytes: usize,
}

pub(super) fn check(look: &mut Look<'_>) -> rusqlite::Result<()> {
    let of = look.conn.query_row("SELECT events FROM totals", [], |row| row.get::<_, u64>(0)).unwrap_or(0);
    let mut after = i64::MIN;
    loop {
        let events = page_of_events(look, after)?;
        let Some(last) = events.last() else { return Ok(()) };
        after = last.seq;
        for event in events {
            look.verified.events += 1;
            judge(look, &event);
        }
        look.listener.progress(Progress { events: look.verified.events, of });
    }
}

/// The next rows, read in one transaction: dropping the statement ends it.
fn page_of_events(look: &Look<'_>, after: i64) -> rusqlite::Result<Vec<Event>> {
    // Purged dead letters stand in a table of their own, which a file that only an earlier version has opened lacks.
    let purged = if schema::version(&look.conn)? >= 2 {
        "+ (SELECT COUNT(*) FROM purged WHERE state = 0 AND delivery BETWEEN seq << 12 AND seq << 12 | 4095)"
    } else {
        ""
    };
    let mut statement = look.conn.prepare_cached(&format!(
        "SELECT seq, id, sha256, body, unreadable IS NOT NULL, state,
             (SELECT COUNT(*) FROM deliveries WHERE id BETWEEN seq << 12 AND seq << 12 | 4095) {purged},
             EXISTS (SELECT 1 FROM words WHERE id = source)
                 AND (labels IS NULL OR EXISTS (SELECT 1 FROM words WHERE id = labels))
                 AND (event_type IS NULL OR EXISTS (SELECT 1 FROM words WHERE id = event_type))
                 AND (status IS NULL OR EXISTS (SELECT 1 FROM words WHERE id = status))
         FROM events WHERE seq > ?1 ORDER BY seq LIMIT ?2"
    ))?;
    let mut rows = statement.query(params![after, PAGE])?;
    let (mut events, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let event = Event::from_row(row)?;
        bytes += event.bytes;
        events.push(event);
        if bytes > PAGE_BYTES {
            break;
        }
    }
    Ok(events)
}

impl Event {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let (id, sha256): ([u8; 16], [u8; 32]) = (row.get(1)?, row.get(2)?);
        let body = row.get_ref(3)?.as_blob().map_err(rusqlite::Error::from)?;
        let expected = match row.get(4)? {
            true => Some(EventId::of_raw(body)),
            false => vod_event::read(body).ok().map(|reading| reading.id()),
        };
        Ok(Self {
            seq: row.get(0)?,
            id,
            is_body_intact: Sha256::digest(body)[..] == sha256,
            is_id_right: expected.is_some_and(|expected| *expected.as_bytes() == id),
            state: row.get(5)?,
            deliveries: row.get(6)?,
            has_words: row.get(7)?,
            bytes: body.len(),
        })
    }
}

fn judge(look: &mut Look<'_>, event: &Event) {
    let name = format!("event {} ({})", event.seq, EventId::from_bytes(event.id));
    if !event.is_body_intact {
        look.found(FindingKind::Body, format!("{name}: the body is not the one that was accepted"));
    } else if !event.is_id_right {
        look.found(FindingKind::Id, format!("{name}: the id is not that of its body"));
    }
    if !event.has_words {
        look.found(
            FindingKind::Row,
            format!("{name}: its source, labels, type or status are not in the journal"),
        );
    }
    let is_state_right = match event.state {
        0 => event.deliveries > 0,
        1 | 2 => event.deliveries == 0,
        _ => false,
    };
    if !is_state_right {
        let (state, deliveries) = (event.state, event.deliveries);
        look.found(FindingKind::Row, format!("{name}: it has the state {state} and {deliveries} deliveries"));
    }
}

pub(super) fn check_deliveries(look: &mut Look<'_>) -> rusqlite::Result<()> {
    let mut after = i64::MIN;
    loop {
        let page: Vec<(i64, Option<&'static str>)> = look
            .conn
            .prepare_cached(
                "SELECT d.id, d.sink, d.state, d.due_at, e.seq IS NOT NULL, s.id IS NOT NULL
                 FROM deliveries AS d LEFT JOIN events AS e ON e.seq = d.id >> 12
                 LEFT JOIN sinks AS s ON s.id = d.sink WHERE d.id > ?1 ORDER BY d.id LIMIT ?2",
            )?
            .query_map(params![after, PAGE], |row| Ok((row.get(0)?, wrong_with(row)?)))?
            .collect::<Result<_, _>>()?;
        let Some((last, _)) = page.last() else { break };
        after = *last;
        for (id, wrong) in page {
            look.verified.deliveries += 1;
            if let Some(wrong) = wrong {
                look.found(FindingKind::Row, format!("delivery {id} of event {}: {wrong}", Key(id).seq()));
            }
        }
    }
    check_leftovers(look)
}

fn wrong_with(row: &Row<'_>) -> rusqlite::Result<Option<&'static str>> {
    let (key, sink, state) = (Key(row.get(0)?), row.get::<_, i64>(1)?, row.get::<_, i64>(2)?);
    let (due_at, has_event, has_sink): (Option<i64>, bool, bool) = (row.get(3)?, row.get(4)?, row.get(5)?);
    Ok(match state {
        _ if !has_event => Some("its event is not there"),
        _ if !has_sink => Some("its sink is not there"),
        _ if sink != key.sink() => Some("its number names another sink"),
        1 if due_at.is_none() => Some("it is to be tried again at no time"),
        0..=3 => None,
        _ => Some("it has a state that there is not"),
    })
}

/// Attempts of no delivery and sources of no event: a row for each of the first few.
fn check_leftovers(look: &mut Look<'_>) -> rusqlite::Result<()> {
    let nor_purged = if schema::version(&look.conn)? >= 2 {
        "AND NOT EXISTS (SELECT 1 FROM purged WHERE purged.delivery = attempts.delivery)"
    } else {
        ""
    };
    let of_attempts = format!(
        "SELECT delivery FROM attempts WHERE NOT EXISTS (SELECT 1 FROM deliveries WHERE id = delivery) {nor_purged} LIMIT 1"
    );
    // Whether a dead letter is there or was purged is told in one transaction.
    let both = if schema::version(&look.conn)? >= 2 {
        "SELECT delivery FROM purged WHERE EXISTS (SELECT 1 FROM deliveries WHERE id = delivery) LIMIT 1"
    } else {
        "SELECT 0 WHERE FALSE"
    };
    let of_sources =
        "SELECT event FROM event_sources WHERE NOT EXISTS (SELECT 1 FROM events WHERE seq = event) LIMIT 1";
    let leftovers = [
        ("attempts of a delivery that is not there", of_attempts.as_str()),
        ("sources of an event that is not there", of_sources),
        ("deliveries that are there and were purged as dead letters too", both),
    ];
    for (what, sql) in leftovers {
        let found: Option<i64> =
            look.within_patience(|look| look.conn.query_row(sql, [], |row| row.get(0)).optional())?;
        if let Some(number) = found {
            look.found(FindingKind::Row, format!("{what}, the first {number}"));
        }
    }
    Ok(())
}

/// Each event that was folded is in the table under its id, and each id there is an event's; of the others none is twice.
pub(super) fn check_ids(look: &mut Look<'_>) -> rusqlite::Result<()> {
    let mut recent: HashMap<[u8; 16], i64> = HashMap::new();
    let mut after = i64::MIN;
    loop {
        let page: Vec<(i64, [u8; 16], Option<i64>, bool)> = look
            .conn
            .prepare_cached(
                "SELECT e.seq, e.id, i.seq,
                     e.seq <= COALESCE((SELECT value FROM meta WHERE key = 'ids_folded_to'), 0)
                 FROM events AS e LEFT JOIN event_ids AS i ON i.id = e.id WHERE e.seq > ?1 ORDER BY e.seq LIMIT ?2",
            )?
            .query_map(params![after, PAGE], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            })?
            .collect::<Result<_, _>>()?;
        let Some((last, ..)) = page.last() else { break };
        after = *last;
        for (seq, id, listed, is_folded) in page {
            let other = match listed {
                Some(listed) => (listed != seq).then_some(listed),
                None if is_folded => {
                    look.found(FindingKind::Id, format!("event {seq} is not in the table of ids"));
                    None
                }
                None => recent.insert(id, seq),
            };
            if let Some(other) = other {
                look.found(FindingKind::Id, format!("events {other} and {seq} have the same id"));
            }
        }
    }
    check_listed(look)
}

fn check_listed(look: &mut Look<'_>) -> rusqlite::Result<()> {
    let mut after: Vec<u8> = Vec::new();
    loop {
        let page: Vec<(Vec<u8>, i64, bool)> = look
            .conn
            .prepare_cached(
                "SELECT i.id, i.seq, COALESCE(e.id = i.id, 0) FROM event_ids AS i LEFT JOIN events AS e ON e.seq = i.seq
                 WHERE i.id > ?1 ORDER BY i.id LIMIT ?2",
            )?
            .query_map(params![after, PAGE], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?
            .collect::<Result<_, _>>()?;
        let Some((last, ..)) = page.last() else { return Ok(()) };
        after.clone_from(last);
        for (_, seq, is_right) in page {
            if !is_right {
                look.found(
                    FindingKind::Id,
                    format!("the table of ids names event {seq}, which has another id or is not there"),
                );
            }
        }
    }
}
