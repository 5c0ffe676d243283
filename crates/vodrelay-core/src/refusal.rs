//! Requests that were turned away and are kept, because our own mistake may be why.

use std::str::FromStr;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::name::SourceName;

/// A request that was turned away.
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

/// A kept refusal in a list: without what it would take to send it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RefusalRecord {
    /// Its place in the order in which refusals were kept. No two have the same.
    pub id: u64,
    /// When its first byte was here.
    pub received_at: Timestamp,
    /// The callback that it was meant for.
    pub source: SourceName,
    /// Why it was turned away.
    pub cause: RefusalCause,
    /// Who sent it, as far as the trusted proxies tell.
    pub address: String,
    /// The length of the body that is kept.
    pub bytes: u64,
    /// Whether that is only a part of what was sent.
    pub cut_short: bool,
}

/// Which refusals are meant; what is absent lets all through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RefusalFilter {
    /// The callback that they were meant for.
    pub source: Option<SourceName>,
    /// Why they were turned away.
    pub cause: Option<RefusalCause>,
    /// Who sent them.
    pub address: Option<String>,
    /// Received then or later.
    pub since: Option<Timestamp>,
    /// Received before.
    pub until: Option<Timestamp>,
}

impl RefusalFilter {
    /// Whether the record is meant.
    #[must_use]
    pub fn matches(&self, record: &RefusalRecord) -> bool {
        self.source.as_ref().is_none_or(|source| *source == record.source)
            && self.cause.is_none_or(|cause| cause == record.cause)
            && self.address.as_ref().is_none_or(|address| *address == record.address)
            && self.since.is_none_or(|since| record.received_at >= since)
            && self.until.is_none_or(|until| record.received_at < until)
    }
}

impl Refusal {
    /// The refusal in a list.
    #[must_use]
    pub fn record(&self, id: u64) -> RefusalRecord {
        RefusalRecord {
            id,
            received_at: self.received_at,
            source: self.source.clone(),
            cause: self.cause,
            address: self.address.clone(),
            bytes: self.body.len() as u64,
            cut_short: self.cut_short,
        }
    }
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

/// A word that names no cause of a refusal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no cause; there are: missing, malformed, mismatch, stale, unreadable")]
pub struct NotACause(String);

impl RefusalCause {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Missing, Self::Malformed, Self::Mismatch, Self::Stale, Self::Unreadable];

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

impl FromStr for RefusalCause {
    type Err = NotACause;

    fn from_str(word: &str) -> Result<Self, NotACause> {
        let found = Self::ALL.into_iter().find(|cause| cause.as_str() == word);
        found.ok_or_else(|| NotACause(word.chars().take(80).collect()))
    }
}

impl<'de> Deserialize<'de> for RefusalCause {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        word.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for RefusalCause {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
