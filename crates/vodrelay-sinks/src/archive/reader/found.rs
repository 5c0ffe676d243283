//! A record as it is found in the store: what a list shows of it, and what it claims.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::archive::record;

/// What stands under a key where a record should.
#[derive(Clone, Debug)]
pub struct Found {
    /// The key, below the prefix of the archive.
    pub key: String,
    /// The record, or why it is none.
    pub record: Result<FoundRecord, String>,
}

/// A record, as far as a list and a check want it.
#[derive(Clone, Debug, Serialize)]
pub struct FoundRecord {
    /// The event's id.
    pub id: String,
    /// The event's type.
    pub event_type: String,
    /// The event's status, where it has one.
    pub status: Option<String>,
    /// The event's `VideoId`, where it has one.
    pub video_id: Option<String>,
    /// The event's `MediaId`, where it has one.
    pub media_id: Option<String>,
    /// When it was received first.
    pub received_at: Timestamp,
    /// The event's time, or that of its acceptance where it has none.
    pub time: Timestamp,
    /// The event's images, by their place in it.
    pub images: Vec<FoundImage>,
    #[serde(skip)]
    pub(super) body: Body,
}

/// What a record says of an image.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct FoundImage {
    /// `linked`, `pending`, `kept` or `failed`, or what a later version may call it.
    pub state: String,
    /// The word for why a failed one is not kept.
    pub cause: Option<String>,
    /// Why it is not kept, where the record says.
    pub reason: Option<String>,
    /// The key of a kept one, below the prefix of the archive.
    pub key: Option<String>,
    /// The SHA-256 of a kept one, in lower-case hex.
    pub sha256: Option<String>,
    /// The size of a kept one in bytes.
    pub kept_bytes: Option<u64>,
    /// In what a kept one differs from what the event says of it.
    #[serde(default)]
    pub doubts: Vec<FoundDoubt>,
}

/// In what an image differs from what the event says of it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct FoundDoubt {
    /// The provider's name of the field.
    pub field: String,
    /// What is odd about it.
    pub what: String,
}

impl Found {
    pub(super) fn new(key: String, bytes: &[u8]) -> Self {
        Self { record: FoundRecord::read(bytes), key }
    }
}

/// A record's own account of the provider's bytes.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Body {
    encoding: String,
    content: String,
    pub(super) size_bytes: u64,
    pub(super) sha256: String,
}

impl Body {
    /// The provider's bytes.
    pub(super) fn bytes(&self) -> Result<Vec<u8>, String> {
        match self.encoding.as_str() {
            "utf-8" => Ok(self.content.clone().into_bytes()),
            "base64" => STANDARD
                .decode(&self.content)
                .map_err(|error| format!("has a body that is no Base64: {error}")),
            other => Err(format!("has a body with the encoding {other:?}, which nobody writes")),
        }
    }
}

#[derive(Deserialize)]
struct Written {
    event: Event,
    images: Vec<FoundImage>,
    body: Body,
    receipt: Receipt,
}

#[derive(Deserialize)]
struct Event {
    id: String,
    event_type: String,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    video_id: Option<String>,
    #[serde(default)]
    media_id: Option<String>,
    event_time: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Receipt {
    received_at: Timestamp,
}

impl FoundRecord {
    fn read(bytes: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Schema {
            schema: String,
        }
        let no_record = |error: serde_json::Error| format!("is no record: {error}");
        let Schema { schema } = serde_json::from_slice(bytes).map_err(no_record)?;
        if schema != record::SCHEMA {
            return Err(format!("has the schema {schema:?}; this version reads {:?}", record::SCHEMA));
        }
        let Written { event, images, body, receipt } = serde_json::from_slice(bytes).map_err(no_record)?;
        let time = event.event_time.unwrap_or(receipt.received_at);
        let Event { id, event_type, status, video_id, media_id, .. } = event;
        let received_at = receipt.received_at;
        Ok(Self { id, event_type, status, video_id, media_id, received_at, time, images, body })
    }
}
