//! The port to what the journal tells people: refusals, backlogs, totals.

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use serde::Serialize;

use crate::journal::JournalError;
use crate::name::{SinkName, SourceName};

/// What people and their tools ask of a journal. Nothing of it stands on the path of an event.
#[cfg_attr(any(test, feature = "test-util"), mockall::automock)]
#[async_trait]
pub trait Ledger: Send + Sync + std::fmt::Debug {
    /// Keeps refusals, within the bounds of size and age that the journal was opened with. When there are too many,
    /// those of the cause and address that hold most of the room go first.
    ///
    /// # Errors
    /// If they cannot be kept; nothing else depends on it.
    async fn refuse(&self, refusals: Vec<Refusal>) -> Result<(), JournalError>;

    /// How much waits for each sink that the journal knows, configured or not.
    ///
    /// # Errors
    /// If the journal cannot be read.
    async fn backlogs(&self) -> Result<Vec<SinkBacklog>, JournalError>;

    /// What the journal holds, from counters that are kept with each commit.
    ///
    /// # Errors
    /// If the journal cannot be read.
    async fn totals(&self) -> Result<Totals, JournalError>;

    /// Whether an append would be accepted now.
    ///
    /// # Errors
    /// With the reason why not.
    async fn writable(&self) -> Result<(), JournalError>;
}

/// A request that was turned away, kept because our own mistake may be why.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The callback that it was meant for.
    pub source: SourceName,
    /// Why it was turned away.
    pub cause: RefusalCause,
    /// The cause in words, for people; never sent back.
    pub detail: String,
    /// When its first byte was here: the moment by which its timestamp is to be judged, now and later.
    pub received_at: Timestamp,
    /// Who sent it, as far as the trusted proxies tell.
    pub address: String,
    /// `X-VOD-TIMESTAMP` as it came.
    pub timestamp: Option<String>,
    /// `X-VOD-SIGNATURE` as it came.
    pub signature: Option<String>,
    /// The body, as far as it was read.
    pub body: Bytes,
    /// Whether the body is only a part of what was sent; such a one can never be accepted.
    pub cut_short: bool,
}

/// Why a request was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum RefusalCause {
    /// No proof was sent.
    Missing,
    /// The proof's headers are not of the right form, or doubled, or only one is there.
    Malformed,
    /// The proof was made with another key or for another URL.
    Mismatch,
    /// The proof is right, and too old or too far ahead.
    Stale,
    /// Unproven by configuration, and not an event either.
    Unreadable,
}

impl RefusalCause {
    /// The word for it in metrics, logs and the journal.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::Mismatch => "mismatch",
            Self::Stale => "stale",
            Self::Unreadable => "unreadable",
        }
    }
}

/// What waits for one sink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SinkBacklog {
    /// The sink.
    pub sink: SinkName,
    /// Deliveries that are neither delivered nor given up.
    pub pending: u64,
    /// Deliveries given up.
    pub dead_letters: u64,
    /// Deliveries done.
    pub delivered: u64,
    /// When the oldest pending one was accepted.
    pub oldest_pending_at: Option<Timestamp>,
}

impl SinkBacklog {
    /// That of a sink that got nothing yet.
    #[must_use]
    pub fn empty(sink: SinkName) -> Self {
        Self { sink, pending: 0, dead_letters: 0, delivered: 0, oldest_pending_at: None }
    }
}

/// What the journal holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Events accepted and still kept.
    pub events: u64,
    /// Repeats of events that were merged.
    pub duplicates: u64,
    /// Events that matched no sink.
    pub unrouted: u64,
    /// Events whose body cannot be read.
    pub unreadable: u64,
    /// Refusals kept.
    pub refusals: u64,
}
