//! Kept events and where their deliveries stand, and the orders by which deliveries begin anew.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use vod_event::{Event, EventId};

use crate::envelope::Envelope;
use crate::name::{SinkName, SourceName};

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventState {
    /// It has deliveries, or had some.
    Routed,
    /// It matched no sink.
    Unrouted,
    /// Its body cannot be read.
    Unreadable,
}

/// Where a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeliveryState {
    /// No attempt has failed yet.
    Fresh,
    /// To be tried again, or replayed.
    Retry,
    /// The sink has it.
    Delivered,
    /// Given up.
    DeadLetter,
    /// Given up, and somebody has seen to it: only the event's history tells of it.
    Purged,
}

impl DeliveryState {
    /// The word by which people are told of it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fresh => "waiting",
            Self::Retry => "retry",
            Self::Delivered => "delivered",
            Self::DeadLetter => "dead_letter",
            Self::Purged => "purged",
        }
    }

    /// Whether it is neither done nor given up.
    #[must_use]
    pub const fn is_pending(self) -> bool {
        matches!(self, Self::Fresh | Self::Retry)
    }
}

/// Which kept events are meant; what is absent lets all through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptFilter {
    /// These; all where none is named.
    pub events: Vec<EventId>,
    /// Those in that state. An unreadable one that was purged is not meant.
    pub state: Option<EventState>,
    /// Received at that moment or later.
    pub since: Option<Timestamp>,
    /// Received before that moment.
    pub until: Option<Timestamp>,
}

/// An event as it is kept.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Its place in the order of acceptance.
    pub place: u64,
    /// The event with its body.
    pub envelope: Envelope,
    /// By which other sources it came as well.
    pub other_sources: Vec<SourceName>,
    /// What became of it.
    pub state: EventState,
    /// Its deliveries.
    pub deliveries: Vec<(SinkName, DeliveryState)>,
}

/// Which deliveries of an event begin anew.
#[derive(Clone, Debug)]
pub struct ReplayOrder {
    /// The event.
    pub event: EventId,
    /// What its body says, where it could not be read when it came and can be now. The id stays.
    pub reading: Option<Arc<Event>>,
    /// The deliveries.
    pub deliveries: Vec<Redelivery>,
}

/// One delivery that begins anew, if it still stands as it did when that was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redelivery {
    /// The sink.
    pub sink: SinkName,
    /// How it stands; nothing where there is none yet. One that is pending is never touched.
    pub from: Option<DeliveryState>,
}

/// What came of orders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Replayed {
    /// Deliveries that begin anew.
    pub again: u64,
    /// Deliveries that were not there before.
    pub added: u64,
    /// Events that can be read now.
    pub read: u64,
}

/// What one step of a long change came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Deliveries that were changed.
    pub changed: u64,
    /// Whether there may be more: the same is to be asked again.
    pub more: bool,
}
