//! Events as people meet them: which are meant, one in a list, one whole.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use vod_event::EventId;

use super::kept::{DeliveryState, EventState};
use super::letters::FailedAttempt;
use crate::envelope::{Envelope, Labels};
use crate::name::{SinkName, SourceName};

/// Which events are meant; what is absent lets all through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// `EventType` as it came.
    pub event_type: Option<String>,
    /// `Status`, normalised.
    pub status: Option<String>,
    /// `VideoId` as it came.
    pub video_id: Option<String>,
    /// `JobId` as it came.
    pub job_id: Option<String>,
    /// The source that it came from first.
    pub source: Option<SourceName>,
    /// Labels that it has, each with that value.
    pub labels: BTreeMap<String, String>,
    /// Received at that moment or later.
    pub since: Option<Timestamp>,
    /// Received before that moment.
    pub until: Option<Timestamp>,
    /// How it stands.
    pub standing: Option<Standing>,
}

/// How an event stands, all of its deliveries together.
///
/// As a filter, `Pending` and `Dead` mean that at least one delivery is so, `Delivered` and `Purged` that at least one
/// is and none of the rest is pending or dead. Of an event that is two of these, a list names the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Standing {
    /// Its body cannot be read.
    Unreadable,
    /// It matched no sink.
    Unrouted,
    /// A delivery was given up.
    Dead,
    /// A delivery is neither done nor given up.
    Pending,
    /// Every sink has it.
    Delivered,
    /// What was given up was seen to.
    Purged,
}

impl Standing {
    /// That of an event with these deliveries.
    #[must_use]
    pub fn of(state: EventState, deliveries: &[(SinkName, DeliveryState)]) -> Self {
        let has = |wanted: fn(DeliveryState) -> bool| deliveries.iter().any(|(_, state)| wanted(*state));
        match state {
            EventState::Unreadable => Self::Unreadable,
            EventState::Unrouted => Self::Unrouted,
            EventState::Routed if has(|state| state == DeliveryState::DeadLetter) => Self::Dead,
            EventState::Routed if has(DeliveryState::is_pending) => Self::Pending,
            EventState::Routed if has(|state| state == DeliveryState::Delivered) => Self::Delivered,
            EventState::Routed => Self::Purged,
        }
    }

    /// Whether a filter that asks for this means an event with these deliveries.
    #[must_use]
    pub fn takes(self, state: EventState, deliveries: &[(SinkName, DeliveryState)]) -> bool {
        let found = Self::of(state, deliveries);
        let is_pending = || deliveries.iter().any(|(_, state)| state.is_pending());
        let is_purged = || deliveries.iter().any(|(_, state)| *state == DeliveryState::Purged);
        found == self
            || (self == Self::Pending && found == Self::Dead && is_pending())
            || (self == Self::Purged && found == Self::Delivered && is_purged())
    }
}

/// An event in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRecord {
    /// Its place in the order of acceptance: the first has 1, and each one that is accepted a higher one.
    pub seq: u64,
    /// Its id.
    pub id: EventId,
    /// When it was received first.
    pub received_at: Timestamp,
    /// What became of it.
    pub state: EventState,
    /// The source that it came from first.
    pub source: SourceName,
    /// Other sources that brought it again.
    pub other_sources: Vec<SourceName>,
    /// The labels of the first source.
    pub labels: Labels,
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
    /// Where its deliveries stand, by the name of the sink.
    pub deliveries: Vec<(SinkName, DeliveryState)>,
    /// How many doubts there are about it; nothing where the body cannot be read, or is too large to read it for a list.
    pub doubts: Option<u64>,
}

/// An event whole.
#[derive(Clone, Debug)]
pub struct EventDetail {
    /// The event with its body.
    pub envelope: Envelope,
    /// Its place in the order of acceptance.
    pub seq: u64,
    /// What became of it.
    pub state: EventState,
    /// By which sources it came again.
    pub repeats: Vec<Repeats>,
    /// Its deliveries, by the name of the sink.
    pub deliveries: Vec<DeliveryRecord>,
}

/// That a source brought an event which was there already.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Repeats {
    /// The source.
    pub source: SourceName,
    /// When it did so first.
    pub first_at: Timestamp,
    /// How often.
    pub count: u64,
}

/// A delivery as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryRecord {
    /// Its place in the order of acceptance, by which dead letters are named.
    pub place: u64,
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
    /// When the first attempt since acceptance or the last replay started.
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
    pub failed_attempts: Vec<FailedAttempt>,
}

impl EventFilter {
    /// Whether that event is meant.
    #[must_use]
    pub fn takes(&self, event: &EventRecord) -> bool {
        let is = |wanted: &Option<String>, found: &Option<String>| wanted.is_none() || wanted == found;
        is(&self.event_type, &event.event_type)
            && is(&self.status, &event.status)
            && is(&self.video_id, &event.video_id)
            && is(&self.job_id, &event.job_id)
            && self.source.as_ref().is_none_or(|source| *source == event.source)
            && self.takes_labels(&event.labels)
            && self.since.is_none_or(|since| event.received_at >= since)
            && self.until.is_none_or(|until| event.received_at < until)
            && self.standing.is_none_or(|standing| standing.takes(event.state, &event.deliveries))
    }

    /// Whether an event with these labels is meant, as far as they go.
    #[must_use]
    pub fn takes_labels(&self, labels: &Labels) -> bool {
        self.labels.iter().all(|(name, value)| labels.get(name) == Some(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An event with deliveries that stand so: what a list says, and which filters mean it.
    fn check(stands: &[DeliveryState], says: Standing, meant_by: &[Standing]) {
        let name = |index| SinkName::new(&format!("sink{index}")).unwrap();
        let deliveries: Vec<_> =
            stands.iter().enumerate().map(|(index, state)| (name(index), *state)).collect();
        assert_eq!(Standing::of(EventState::Routed, &deliveries), says, "{stands:?}");
        let all = [Standing::Dead, Standing::Pending, Standing::Delivered, Standing::Purged];
        let found: Vec<Standing> =
            all.into_iter().filter(|standing| standing.takes(EventState::Routed, &deliveries)).collect();
        assert_eq!(found, meant_by, "{stands:?}");
    }

    #[test]
    fn a_list_names_what_is_worst() {
        use DeliveryState::{DeadLetter, Delivered, Fresh, Purged, Retry};
        check(&[Fresh], Standing::Pending, &[Standing::Pending]);
        check(&[Delivered, Retry], Standing::Pending, &[Standing::Pending]);
        check(&[DeadLetter, Retry], Standing::Dead, &[Standing::Dead, Standing::Pending]);
        check(&[DeadLetter, Purged], Standing::Dead, &[Standing::Dead]);
        check(&[Delivered, Delivered], Standing::Delivered, &[Standing::Delivered]);
        check(&[Delivered, Purged], Standing::Delivered, &[Standing::Delivered, Standing::Purged]);
        check(&[Purged], Standing::Purged, &[Standing::Purged]);
        check(&[Purged, Fresh], Standing::Pending, &[Standing::Pending]);
        assert_eq!(Standing::of(EventState::Unrouted, &[]), Standing::Unrouted);
        assert!(Standing::Unreadable.takes(EventState::Unreadable, &[]));
        assert!(!Standing::Purged.takes(EventState::Unrouted, &[]));
    }
}
