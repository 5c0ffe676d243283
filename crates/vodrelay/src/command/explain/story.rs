//! What became of an event, from the journal of the configuration; the relay may be running or not.

use bytes::Bytes;
use jiff::Timestamp;
use serde::Serialize;
use vod_event::EventId;
use vodrelay_core::ledger::{DeliveryRecord, EventDetail, FailedAttempt, Repeats as RepeatsRecord};
use vodrelay_core::{JournalError, SinkName, SourceName};
use vodrelay_journal::Reader;

use crate::command::journal::there_is_one;
use crate::command::serve::code_of_journal;
use crate::config::Loaded;
use crate::exit::{Code, Failure};
use crate::output;

/// What helps where the body is not the one that was accepted.
pub(super) const DAMAGED: &str = "its body is not the one that was accepted, and no replay delivers that; ask VOD for the \
    media's state, or look for the event in a backup, and see `vodrelay journal verify` for more damage";

/// What the journal knows of an event beside its body.
#[derive(Debug, Serialize)]
pub(super) struct Story {
    /// The source that brought it first.
    pub(super) source: SourceName,
    #[serde(skip)]
    id: EventId,
    received_at: Timestamp,
    /// Whether the body is the one that was accepted.
    pub(super) body_intact: bool,
    repeats: Vec<Repeats>,
    deliveries: Vec<Delivery>,
}

#[derive(Debug, Serialize)]
struct Repeats {
    source: String,
    count: u64,
}

#[derive(Debug, Serialize)]
struct Delivery {
    sink: SinkName,
    state: &'static str,
    attempts: u32,
    replays: u32,
    /// When it is tried again.
    due_at: Option<Timestamp>,
    settled_at: Option<Timestamp>,
    /// The status of the last answer.
    status: Option<u16>,
    /// Why it was given up.
    reason: Option<String>,
    failed_attempts: Vec<Attempt>,
}

#[derive(Debug, Serialize)]
struct Attempt {
    number: u32,
    started_at: Timestamp,
    took_ms: u64,
    status: Option<u16>,
    note: String,
}

/// The body of the event and its story.
///
/// # Errors
/// If there is no journal, it cannot be read, or the event is not in it.
pub(super) fn from_journal(id: EventId, loaded: &Loaded) -> Result<(Bytes, Story), Failure> {
    let shown = loaded.data_dir.display();
    there_is_one(&loaded.data_dir, " yet; `vodrelay serve` makes it")?;
    let reader = Reader::open(&loaded.data_dir)
        .map_err(|error| Failure::new(code_of_journal(&error), error.to_string()))?;
    let failed = |error: JournalError| Failure::new(Code::Internal, error.to_string());
    let Some(detail) = reader.event(id).map_err(failed)? else {
        let message = match reader.erased_at(id).map_err(failed)? {
            Some(at) => format!(
                "event {id} was forgotten at {at:.0}; only its id is left, so that a repeat is merged"
            ),
            None => format!(
                "the journal in {shown} has no event {id}; it never came, or was refused, and may be kept so (`vodrelay refused list`), or its retention has passed (journal.retention)"
            ),
        };
        return Err(Failure::new(Code::Unreadable, message));
    };
    let EventDetail { envelope, repeats, deliveries, .. } = detail;
    let story = Story {
        body_intact: envelope.is_intact(),
        source: envelope.source,
        id,
        received_at: envelope.received_at,
        repeats: repeats.into_iter().map(Repeats::from).collect(),
        deliveries: deliveries.into_iter().map(Delivery::from).collect(),
    };
    Ok((envelope.body, story))
}

impl Story {
    /// Tells it line by line, under what `explain` says of any event.
    pub(super) fn print_receipt(&self) {
        output::line(format!("journal received {} from {}", self.received_at, self.source));
        for Repeats { source, count } in &self.repeats {
            output::line(format!("journal merged repeats from {source}: {count}"));
        }
    }

    pub(super) fn print(&self) {
        self.print_receipt();
        if self.deliveries.is_empty() {
            output::line("journal no delivery: it matched no sink when it was accepted");
            output::line(format!("next    `vodrelay replay {}` routes it by today's configuration", self.id));
        }
        for delivery in &self.deliveries {
            delivery.print();
        }
        if !self.body_intact {
            output::line(format!("next    {DAMAGED}"));
        } else if self.deliveries.iter().any(|delivery| delivery.state == "dead_letter") {
            output::line(format!("next    `vodrelay replay {}` tries again what was given up", self.id));
        }
    }
}

impl Delivery {
    fn print(&self) {
        let Self { sink, state, attempts, .. } = self;
        let more = match (&self.reason, self.due_at, self.settled_at) {
            (Some(reason), ..) => format!(": {reason}"),
            (None, Some(due), _) => format!(", next at {due}"),
            (None, None, Some(settled)) => format!(" at {settled}"),
            (None, None, None) => String::new(),
        };
        output::line(format!("deliver {sink}: {state}, attempts so far: {attempts}{more}"));
        for Attempt { number, started_at, status, note, .. } in &self.failed_attempts {
            let status = status.map(|status| format!(" ({status})")).unwrap_or_default();
            output::line(format!("        attempt {number} at {started_at}{status}: {note}"));
        }
    }
}

impl From<RepeatsRecord> for Repeats {
    fn from(record: RepeatsRecord) -> Self {
        Self { source: record.source.to_string(), count: record.count }
    }
}

impl From<DeliveryRecord> for Delivery {
    fn from(record: DeliveryRecord) -> Self {
        Self {
            sink: record.sink,
            state: record.state.as_str(),
            attempts: record.attempts,
            replays: record.replays,
            due_at: record.due_at,
            settled_at: record.settled_at,
            status: record.status,
            reason: record.reason,
            failed_attempts: record.failed_attempts.into_iter().map(Attempt::from).collect(),
        }
    }
}

impl From<FailedAttempt> for Attempt {
    fn from(record: FailedAttempt) -> Self {
        let FailedAttempt { number, started_at, took, status, note } = record;
        Self {
            number,
            started_at,
            took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            status,
            note,
        }
    }
}
