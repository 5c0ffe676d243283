//! What the tables say, as the ledger tells it.

use std::time::Duration;

use rusqlite::Row;
use rusqlite::types::Type;
use vod_event::EventId;
use vodrelay_core::Labels;
use vodrelay_core::ledger::{DeliveryRecord, DeliveryState, EventRecord, EventState, FailedAttempt, Repeats};

use super::refusals::parsed;
use super::sink_name;
use crate::key::moment;

/// The number by which the tables name a state; one that this version does not know matches nothing.
pub(super) const fn number_of(state: EventState) -> i64 {
    match state {
        EventState::Routed => 0,
        EventState::Unrouted => 1,
        EventState::Unreadable => 2,
        _ => -1,
    }
}

pub(super) fn event_state(row: &Row<'_>, column: usize) -> rusqlite::Result<EventState> {
    match row.get(column)? {
        0 => Ok(EventState::Routed),
        1 => Ok(EventState::Unrouted),
        number => read_state(column, number, 2, EventState::Unreadable),
    }
}

pub(super) fn delivery_state(row: &Row<'_>, column: usize) -> rusqlite::Result<DeliveryState> {
    match row.get(column)? {
        0 => Ok(DeliveryState::Fresh),
        1 => Ok(DeliveryState::Retry),
        2 => Ok(DeliveryState::Delivered),
        3 => Ok(DeliveryState::DeadLetter),
        number => read_state(column, number, 4, DeliveryState::Purged),
    }
}

/// The last of the known states, or an error for a number that this version does not know.
fn read_state<T>(column: usize, number: i64, known: i64, state: T) -> rusqlite::Result<T> {
    if number == known { Ok(state) } else { Err(rusqlite::Error::IntegralValueOutOfRange(column, number)) }
}

/// An event without what stands in other tables than its own.
pub(super) fn event_head(row: &Row<'_>) -> rusqlite::Result<EventRecord> {
    Ok(EventRecord {
        seq: row.get(0)?,
        id: EventId::from_bytes(row.get(1)?),
        received_at: moment(row.get(2)?),
        state: event_state(row, 3)?,
        source: parsed(row, 4)?,
        other_sources: Vec::new(),
        event_type: row.get(5)?,
        status: row.get(6)?,
        event_time: row.get::<_, Option<i64>>(7)?.map(moment),
        video_id: row.get(8)?,
        media_id: row.get(9)?,
        job_id: row.get(10)?,
        unreadable: row.get(11)?,
        labels: labels(row, 12)?,
        deliveries: Vec::new(),
        doubts: None,
    })
}

fn labels(row: &Row<'_>, column: usize) -> rusqlite::Result<Labels> {
    let Some(text) = row.get::<_, Option<String>>(column)? else { return Ok(Labels::new()) };
    let odd = |error| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error));
    serde_json::from_str(&text).map_err(odd)
}

pub(super) fn repeats(row: &Row<'_>) -> rusqlite::Result<Repeats> {
    Ok(Repeats { source: parsed(row, 0)?, first_at: moment(row.get(1)?), count: row.get(2)? })
}

pub(super) fn delivery(row: &Row<'_>) -> rusqlite::Result<DeliveryRecord> {
    let moment_at = |column: usize| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(column)?.map(moment));
    Ok(DeliveryRecord {
        place: row.get(0)?,
        sink: sink_name(row, 1)?,
        state: delivery_state(row, 2)?,
        attempts: row.get(3)?,
        replays: row.get(4)?,
        due_at: moment_at(5)?,
        first_attempt_at: moment_at(6)?,
        last_attempt_at: moment_at(7)?,
        settled_at: moment_at(8)?,
        status: row.get(9)?,
        took: row.get::<_, Option<u64>>(10)?.map(Duration::from_millis),
        reason: row.get(11)?,
        failed_attempts: Vec::new(),
    })
}

pub(super) fn failed_attempt(row: &Row<'_>) -> rusqlite::Result<FailedAttempt> {
    Ok(FailedAttempt {
        number: row.get(0)?,
        started_at: moment(row.get(1)?),
        took: Duration::from_millis(row.get(2)?),
        status: row.get(3)?,
        note: row.get(4)?,
    })
}
