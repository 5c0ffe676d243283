//! Who did what: the changes that people had the relay make, as they are remembered.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;

/// One change, made or tried.
#[derive(Clone, Debug, Serialize)]
pub struct Deed {
    /// When it was asked for.
    pub at: Timestamp,
    /// The name of the token of whoever asked; nothing where it has none.
    pub token: Option<String>,
    /// Where the request came from.
    pub address: Option<String>,
    /// What was asked, like `POST /api/v1/sinks/cms/pause`.
    pub action: String,
    /// How it was asked, as JSON.
    pub request: Option<Box<RawValue>>,
    /// The status of the answer.
    pub status: u16,
    /// The answer, as JSON.
    pub result: Option<Box<RawValue>>,
}

/// A deed with its number.
#[derive(Clone, Debug, Serialize)]
pub struct DeedRecord {
    /// Later ones have higher numbers.
    pub id: u64,
    /// What was done.
    #[serde(flatten)]
    pub deed: Deed,
}
