//! What the journal remembers of the relay itself: when it was there, and when it turned events away.

use std::str::FromStr;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::name::SourceName;
use crate::refusal::{Refusal, RefusalCause};

/// Troubles of a kind and source that are no further apart are one.
pub const TROUBLE_JOINS: Duration = Duration::from_secs(300);

/// What is remembered since some moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Since when anything is remembered; nothing where nothing is.
    pub known_since: Option<Timestamp>,
    /// When the relay was there, in order. The first is the one that was under way at that moment, or ended last
    /// before it.
    pub lives: Vec<Life>,
    /// When it turned events away, in the order in which each began.
    pub troubles: Vec<Trouble>,
}

/// A stretch of time in which one process had the journal open and wrote heartbeats, by the clock on the wall. A clock
/// that jumps ends one and begins the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// When it began.
    pub started_at: Timestamp,
    /// The last heartbeat; of one that was stopped, the stop.
    pub beat_at: Timestamp,
    /// How it ended.
    pub end: LifeEnd,
}

/// How a [`Life`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LifeEnd {
    /// Not yet, or by a crash where another follows.
    Open,
    /// By a clean stop.
    Stopped,
    /// The process went on, and the clock jumped.
    ClockJumped,
}

/// Events that were turned away for one reason, close together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Why.
    pub kind: TroubleKind,
    /// Where they came from.
    pub source: SourceName,
    /// When the first of them was received …
    pub first_at: Timestamp,
    /// … and the last.
    pub last_at: Timestamp,
    /// How many requests they were; one event may be three.
    pub count: u64,
    /// How many of them are kept as refusals now.
    pub kept: u64,
    /// How many of them were accepted later, or purged by a person.
    pub settled: u64,
}

/// Why events were turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TroubleKind {
    /// Their proof did not hold.
    Refused(RefusalCause),
    /// The journal had no room.
    Full,
    /// The journal did not work.
    Failing,
    /// Their time ran out before the relay came to them.
    Busy,
    /// They were larger than what is received.
    TooLarge,
}

/// A word that names no kind of trouble.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no kind of trouble")]
pub struct NotATrouble(String);

impl TroubleKind {
    /// The word for it in the journal and in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refused(cause) => cause.as_str(),
            Self::Full => "full",
            Self::Failing => "failing",
            Self::Busy => "busy",
            Self::TooLarge => "too_large",
        }
    }
}

impl FromStr for TroubleKind {
    type Err = NotATrouble;

    fn from_str(word: &str) -> Result<Self, NotATrouble> {
        match word {
            "full" => Ok(Self::Full),
            "failing" => Ok(Self::Failing),
            "busy" => Ok(Self::Busy),
            "too_large" => Ok(Self::TooLarge),
            word => word.parse().map(Self::Refused).map_err(|_| NotATrouble(word.chars().take(80).collect())),
        }
    }
}

impl Trouble {
    /// One request that was turned away at that moment.
    #[must_use]
    pub fn once(kind: TroubleKind, source: SourceName, at: Timestamp) -> Self {
        Self { kind, source, first_at: at, last_at: at, count: 1, kept: 0, settled: 0 }
    }

    /// The refusal as a trouble of its own.
    #[must_use]
    pub fn of_refusal(refusal: &Refusal) -> Self {
        Self::once(TroubleKind::Refused(refusal.cause), refusal.source.clone(), refusal.received_at)
    }

    /// Whether the other is of the same kind and source, and close enough to be one with this.
    #[must_use]
    pub fn joins(&self, other: &Self) -> bool {
        let joins = SignedDuration::try_from(TROUBLE_JOINS).unwrap_or_default();
        let apart = |earlier: Timestamp, later: Timestamp| later.duration_since(earlier) > joins;
        (self.kind, &self.source) == (other.kind, &other.source)
            && !apart(self.last_at, other.first_at)
            && !apart(other.last_at, self.first_at)
    }

    /// Takes the other in.
    pub fn absorb(&mut self, other: &Self) {
        self.first_at = self.first_at.min(other.first_at);
        self.last_at = self.last_at.max(other.last_at);
        self.count += other.count;
        self.kept += other.kept;
        self.settled += other.settled;
    }
}
