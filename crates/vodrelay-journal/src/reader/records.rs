//! What the reader hands out.

use std::time::Duration;

use jiff::Timestamp;
use rusqlite::Row;
use vod_event::EventId;
use vodrelay_core::SinkName;
pub use vodrelay_core::ledger::{DeliveryState, EventState};

use super::sink_name;
use crate::key::moment;

/// Which events are wanted; what is absent lets all through.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// `VideoId` as it came.
    pub video_id: Option<String>,
    /// `JobId` as it came.
    pub job_id: Option<String>,
    /// `EventType` as it came.
    pub event_type: Option<String>,
    /// What became of it.
    pub state: Option<EventState>,
}

/// An event in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRecord {
    /// Its place in the order of acceptance.
    pub seq: u64,
    /// Its id.
    pub id: EventId,
    /// When it was received first.
    pub received_at: Timestamp,
    /// What became of it.
    pub state: EventState,
    /// The source that it came from first.
    pub source: String,
    /// `EventType`; nothing where the body cannot be read.
    pub event_type: Option<String>,
    /// `Status`, normalised.
    pub status: Option<String>,
    /// `EventTime`.
    pub event_time: Option<Timestamp>,
    /// `VideoId`.
    pub video_id: Option<String>,
    /// `MediaId` or its like.
    pub media_id: Option<String>,
    /// `JobId`.
    pub job_id: Option<String>,
    /// Why the body cannot be read.
    pub unreadable: Option<String>,
}

/// An event whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventDetail {
    /// The event.
    pub event: EventRecord,
    /// By which sources duplicates came, and how many each.
    pub sources: Vec<(String, u64)>,
    /// Its deliveries, by the name of the sink.
    pub deliveries: Vec<DeliveryRecord>,
}

/// A delivery as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryRecord {
    /// Its number, as tokens name it.
    pub id: u64,
    /// The sink.
    pub sink: SinkName,
    /// Where it stands.
    pub state: DeliveryState,
    /// Attempts so far.
    pub attempts: u32,
    /// Replays so far.
    pub replays: u32,
    /// When it is tried again.
    pub due_at: Option<Timestamp>,
    /// When the first attempt started.
    pub first_attempt_at: Option<Timestamp>,
    /// When the last attempt started.
    pub last_attempt_at: Option<Timestamp>,
    /// When it was delivered or given up.
    pub settled_at: Option<Timestamp>,
    /// The status of the last answer.
    pub status: Option<u16>,
    /// How long the last attempt took.
    pub took: Option<Duration>,
    /// Why it was given up.
    pub reason: Option<String>,
    /// The first 3 and the last 17 attempts that failed.
    pub failed_attempts: Vec<AttemptRecord>,
}

/// An attempt that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptRecord {
    /// Which attempt of the delivery it was; 1 is the first.
    pub number: u32,
    /// When it started.
    pub started_at: Timestamp,
    /// How long it took.
    pub took: Duration,
    /// The status of the answer.
    pub status: Option<u16>,
    /// What went wrong.
    pub note: String,
}

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

impl EventRecord {
    pub(super) fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            seq: row.get(0)?,
            id: EventId::from_bytes(row.get(1)?),
            received_at: moment(row.get(2)?),
            state: event_state(row, 3)?,
            source: row.get(4)?,
            event_type: row.get(5)?,
            status: row.get(6)?,
            event_time: row.get::<_, Option<i64>>(7)?.map(moment),
            video_id: row.get(8)?,
            media_id: row.get(9)?,
            job_id: row.get(10)?,
            unreadable: row.get(11)?,
        })
    }
}

impl DeliveryRecord {
    pub(super) fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let moment_at =
            |column: usize| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(column)?.map(moment));
        Ok(Self {
            id: row.get(0)?,
            sink: sink_name(row, 1)?,
            state: match row.get(2)? {
                0 => DeliveryState::Fresh,
                1 => DeliveryState::Retry,
                2 => DeliveryState::Delivered,
                3 => DeliveryState::DeadLetter,
                number => read_state(2, number, 4, DeliveryState::Purged)?,
            },
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
}

/// The last of the known states, or an error for a number that this version does not know.
fn read_state<T>(column: usize, number: i64, known: i64, state: T) -> rusqlite::Result<T> {
    if number == known { Ok(state) } else { Err(rusqlite::Error::IntegralValueOutOfRange(column, number)) }
}

impl AttemptRecord {
    pub(super) fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            number: row.get(0)?,
            started_at: moment(row.get(1)?),
            took: Duration::from_millis(row.get(2)?),
            status: row.get(3)?,
            note: row.get(4)?,
        })
    }
}
