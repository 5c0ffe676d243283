//! What people are told of.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// One kind of alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Kind {
    /// A sink takes nothing: its breaker is open.
    SinkDown,
    /// Something waits for a sink for long, though its breaker is closed.
    SinkBehind,
    /// Deliveries were given up, or events came that nobody can read.
    DeadLetter,
    /// Many requests of a callback were refused within minutes.
    Refusals,
    /// Events were answered 503, or left in their queue, by no fault of theirs.
    TurnedAway,
    /// The disk runs short of room.
    DiskLow,
    /// The clock of this machine is not the provider's.
    ClockOff,
    /// A queue does not do what it is asked for.
    QueueUnreachable,
    /// Nothing came from a source for longer than is expected.
    SourceSilent,
    /// The relay started after an end that was no stop.
    UncleanStart,
    /// Somebody tries out whether alerts arrive.
    Test,
}

impl Kind {
    /// All that can be chosen; a test is always sent.
    pub const ALL: [Self; 10] = [
        Self::SinkDown,
        Self::SinkBehind,
        Self::DeadLetter,
        Self::Refusals,
        Self::TurnedAway,
        Self::DiskLow,
        Self::ClockOff,
        Self::QueueUnreachable,
        Self::SourceSilent,
        Self::UncleanStart,
    ];

    /// The word for it in configuration and messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SinkDown => "sink_down",
            Self::SinkBehind => "sink_behind",
            Self::DeadLetter => "dead_letter",
            Self::Refusals => "refusals",
            Self::TurnedAway => "turned_away",
            Self::DiskLow => "disk_low",
            Self::ClockOff => "clock_off",
            Self::QueueUnreachable => "queue_unreachable",
            Self::SourceSilent => "source_silent",
            Self::UncleanStart => "unclean_start",
            Self::Test => "test",
        }
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word).ok_or_else(|| {
            let known: Vec<&str> = Self::ALL.iter().map(|kind| kind.as_str()).collect();
            format!("{word:?} is no kind of alert; there are: {}", known.join(", "))
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
