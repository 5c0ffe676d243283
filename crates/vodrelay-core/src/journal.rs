//! The port to what makes events durable.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::envelope::{Delivery, Envelope};
use crate::name::SinkName;

/// Grows by at least one with each change that may give a dispatcher something to do.
pub type Seq = u64;

/// Keeps events and their deliveries, and survives what the process does not.
///
/// What `append` or `settle` has answered survives kill -9 and the loss of power: the answer comes after a successful
/// sync, never before. Several calls may share one sync. When a sync fails, the journal is *poisoned*: each caller
/// gets [`JournalError::Poisoned`], nothing is tried again, and the process is expected to exit.
#[cfg_attr(any(test, feature = "test-util"), mockall::automock)]
#[async_trait]
pub trait Journal: Send + Sync + std::fmt::Debug {
    /// Makes the event and its deliveries durable, wholly or not at all.
    ///
    /// An event that is there already is a duplicate: its source is noted, deliveries to those of `sinks` that have
    /// none yet are added, and no other is repeated or reopened. No sinks means the event is kept as unrouted, or,
    /// where its body cannot be read, as unreadable.
    ///
    /// # Errors
    /// If the event is not durable; it may still turn out to be, so the source tries again.
    async fn append(&self, envelope: &Envelope, sinks: &[SinkName]) -> Result<Appended, JournalError>;

    /// Hands out up to `limit` deliveries of the sink that are due, each under a lease.
    ///
    /// First attempts come in the order of acceptance; while fresh and retried ones both wait they alternate. A body
    /// that no longer has its digest is dead-lettered as `corrupt` and never handed out. A paused sink gets nothing.
    ///
    /// # Errors
    /// If the journal cannot be read.
    async fn claim(&self, sink: &SinkName, limit: usize, lease: Duration) -> Result<Claimed, JournalError>;

    /// Makes outcomes durable. After its lease has run out a token counts for [`Outcome::Delivered`] only.
    ///
    /// # Errors
    /// If no outcome is durable: with [`JournalError::Full`] the caller holds them and settles them again.
    async fn settle(&self, outcomes: &[Settled]) -> Result<Vec<SettleResult>, JournalError>;

    /// A channel that changes after each append, replay and resume. Mark it seen *before* claiming, and no wake-up is
    /// lost.
    fn watch_work(&self) -> watch::Receiver<Seq>;

    /// The sinks that are paused, as they are now and whenever that changes.
    fn watch_pauses(&self) -> watch::Receiver<Pauses>;
}

/// The sinks that are paused.
pub type Pauses = Arc<BTreeMap<SinkName, Pause>>;

/// That a sink is paused.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Pause {
    /// Since when.
    pub since: Timestamp,
    /// Why, in the words of whoever did it.
    pub reason: Option<String>,
}

/// What an append found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// The event was not there; now it is.
    New,
    /// The event was there already, durable.
    Duplicate,
}

/// What a claim hands out.
#[derive(Debug, Default)]
pub struct Claimed {
    /// The deliveries, in the order in which they are to start.
    pub claims: Vec<Claim>,
    /// When to look again, if nothing wakes the caller before: the earliest retry or lease that will be due.
    pub look_again_at: Option<Timestamp>,
}

/// A delivery in hand.
#[derive(Debug)]
pub struct Claim {
    /// What is to be delivered.
    pub delivery: Delivery,
    /// By which its outcome is settled.
    pub token: Token,
}

/// Names one claim of one delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token {
    /// The delivery.
    pub delivery: u64,
    /// Which claim of it.
    pub lease: u64,
}

/// How one claim ended.
#[derive(Clone, Debug)]
pub struct Settled {
    /// The claim.
    pub token: Token,
    /// What comes of the delivery.
    pub outcome: Outcome,
    /// The attempt that was made; none where the claim was given back untried, or the sink postponed it.
    pub attempt: Option<Attempt>,
    /// When that was, by the clock that the outcome's moment is of.
    pub reached_at: Timestamp,
}

impl Settled {
    /// A claim that is given back untried.
    #[must_use]
    pub fn released(token: Token, now: Timestamp) -> Self {
        Self { token, outcome: Outcome::Released, attempt: None, reached_at: now }
    }

    /// From when on it is to be tried again, by a clock that says so now. One that was set back since the outcome was
    /// reached says less now than then.
    #[must_use]
    pub fn due_at(&self, at: Timestamp, now: Timestamp) -> Timestamp {
        if self.reached_at <= now {
            return at;
        }
        now.saturating_add(at.duration_since(self.reached_at)).unwrap_or(at)
    }
}

/// What comes of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The sink has it.
    Delivered,
    /// To be tried again from that moment on, or, where the clock was set back since the outcome was reached, as long
    /// after that as was meant. Without an attempt nothing is counted: the delivery comes back as it was.
    RetryAt(Timestamp),
    /// Given up, with the reason; kept until somebody replays or purges it.
    DeadLetter(String),
    /// Given back untried; due at once.
    Released,
}

/// One attempt, as it is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// When it started.
    pub started_at: Timestamp,
    /// How long it took.
    pub took: Duration,
    /// The age of the delivery when it ended: time since the first attempt, less what the sink stood still.
    pub age: Duration,
    /// The status of the answer, where there was one.
    pub status: Option<u16>,
    /// What went wrong, with an excerpt of the answer; empty after success.
    pub note: String,
}

/// What a settlement came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettleResult {
    /// The outcome is durable.
    Done,
    /// The lease had run out and another claim may be under way, so the outcome does not count.
    Expired,
    /// There is no such delivery, or it was settled already.
    Unknown,
}

/// Why the journal did not do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// A write or a sync failed, or the file is corrupt: nothing more is accepted, and the process should exit.
    #[error("the journal is poisoned: {0}")]
    Poisoned(String),
    /// The disk has too little room. It passes by itself when there is room again.
    #[error("the journal has no room: {0}")]
    Full(String),
    /// The journal is shutting down.
    #[error("the journal is closed")]
    Closed,
    /// This one request cannot be kept, and would not be when tried again.
    #[error("the journal refuses it: {0}")]
    Invalid(String),
    /// The request failed; the journal works on.
    #[error("the journal failed: {0}")]
    Failed(String),
}
