//! Dead letters as people meet them: which are meant, a page of them, one whole.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use vod_event::EventId;

use crate::envelope::Envelope;
use crate::moment;
use crate::name::SinkName;

/// Which dead letters are meant; what is absent lets all through.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LetterFilter {
    /// Of these events; of all where none is named.
    pub events: Vec<EventId>,
    /// Of that sink. An unreadable event is of none.
    pub sink: Option<SinkName>,
    /// Of events of that type. An unreadable event has none.
    pub event_type: Option<String>,
    /// With this in the reason.
    pub reason: Option<String>,
    /// Given up at that moment or later.
    #[serde(deserialize_with = "moment::read")]
    pub since: Option<Timestamp>,
    /// Given up before that moment.
    #[serde(deserialize_with = "moment::read")]
    pub until: Option<Timestamp>,
}

/// A delivery that was given up, or an event that cannot be read: a dead letter of no sink.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct DeadLetter {
    /// Its place in the order of acceptance, by which it is named and pages go on.
    pub place: u64,
    /// The event.
    #[serde(rename = "event_id")]
    pub event: EventId,
    /// `EventType`; nothing where the body cannot be read.
    pub event_type: Option<String>,
    /// `VideoId`, where there is one.
    pub video_id: Option<String>,
    /// When the event was received first.
    pub received_at: Timestamp,
    /// The sink; nothing of an event that cannot be read.
    pub sink: Option<SinkName>,
    /// Why it was given up, or why the body cannot be read.
    pub reason: String,
    /// When it was given up; an event that cannot be read was when it came.
    pub given_up_at: Timestamp,
    /// Attempts that were made.
    pub attempts: u32,
    /// How often it was replayed.
    pub replays: u32,
}

/// A dead letter with all that is needed to act on it elsewhere.
#[derive(Clone, Debug)]
pub struct LetterDetail {
    /// The dead letter.
    pub letter: DeadLetter,
    /// The event with its body.
    pub envelope: Envelope,
    /// The attempts that are remembered, the first one first.
    pub failed_attempts: Vec<FailedAttempt>,
}

/// An attempt that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FailedAttempt {
    /// Which attempt of the delivery it was; 1 is the first.
    pub number: u32,
    /// When it started.
    pub started_at: Timestamp,
    /// How long it took, in milliseconds.
    #[serde(rename = "took_ms", serialize_with = "as_millis")]
    pub took: Duration,
    /// The status of the answer, where there was one.
    pub status: Option<u16>,
    /// What went wrong.
    pub note: String,
}

/// How many are asked for at once: at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "u64")]
pub struct Limit(u64);

/// A count that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("0 is too few; ask for 1 or more, or leave it out for the usual count")]
pub struct TooFew;

impl TryFrom<u64> for Limit {
    type Error = TooFew;

    fn try_from(count: u64) -> Result<Self, TooFew> {
        if count == 0 { Err(TooFew) } else { Ok(Self(count)) }
    }
}

impl Limit {
    /// As many as are asked for, or the usual count where nobody says, and never more than the most.
    #[must_use]
    pub fn within(asked: Option<Self>, usual: usize, most: usize) -> usize {
        asked.map_or(usual, |Self(count)| usize::try_from(count).unwrap_or(most).min(most))
    }
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// What is in it; fewer than were asked for, or none, does not mean that it is the last.
    pub items: Vec<T>,
    /// Behind which place the next one begins; nothing where this is the last.
    pub next: Option<u64>,
}

impl<T> Default for Page<T> {
    fn default() -> Self {
        Self { items: Vec::new(), next: None }
    }
}

impl LetterFilter {
    /// Whether that dead letter is meant.
    #[must_use]
    pub fn takes(&self, letter: &DeadLetter) -> bool {
        let is = |wanted: &Option<String>, found: &Option<String>| wanted.is_none() || wanted == found;
        (self.events.is_empty() || self.events.contains(&letter.event))
            && (self.sink.is_none() || self.sink == letter.sink)
            && is(&self.event_type, &letter.event_type)
            && self.reason.as_ref().is_none_or(|part| letter.reason.contains(part))
            && self.since.is_none_or(|since| letter.given_up_at >= since)
            && self.until.is_none_or(|until| letter.given_up_at < until)
    }
}

fn as_millis<S: serde::Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(filter: &LetterFilter, expect: bool) {
        let letter = DeadLetter {
            place: 7,
            event: EventId::from_bytes([7; 16]),
            event_type: Some("SnapshotComplete".to_owned()),
            video_id: None,
            received_at: at(0),
            sink: SinkName::new("cms").ok(),
            reason: "410 gone".to_owned(),
            given_up_at: at(10),
            attempts: 1,
            replays: 0,
        };
        assert_eq!(filter.takes(&letter), expect, "{filter:?}");
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    #[test]
    fn every_part_has_to_agree() {
        let all = LetterFilter::default;
        check(&all(), true);
        check(&LetterFilter { events: vec![EventId::from_bytes([7; 16])], ..all() }, true);
        check(&LetterFilter { events: vec![EventId::from_bytes([8; 16])], ..all() }, false);
        check(&LetterFilter { sink: SinkName::new("cms").ok(), ..all() }, true);
        check(&LetterFilter { sink: SinkName::new("other").ok(), ..all() }, false);
        check(&LetterFilter { event_type: Some("SnapshotComplete".to_owned()), ..all() }, true);
        check(&LetterFilter { event_type: Some("Snapshot".to_owned()), ..all() }, false);
        check(&LetterFilter { reason: Some("gone".to_owned()), ..all() }, true);
        check(&LetterFilter { reason: Some("busy".to_owned()), ..all() }, false);
        check(&LetterFilter { since: Some(at(10)), until: Some(at(11)), ..all() }, true);
        check(&LetterFilter { since: Some(at(11)), ..all() }, false);
        check(&LetterFilter { until: Some(at(10)), ..all() }, false);
    }
}
