//! The normalised event: what a notification says, whatever way the provider spelled it.

mod decimal;
mod time;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

pub use decimal::Decimal;
pub use time::EventTime;

use crate::EventId;

/// The JSON Schema of an event as it leaves, its id included.
pub const EVENT_SCHEMA: &str = include_str!("../schema/event.schema.json");

/// One notification, normalised.
///
/// Serialised, this is the one schema in which events leave: `--json` output, the admin API, outgoing webhooks and
/// archive records. What is absent is `null` or an empty list, never a guess. The provider's own bytes are not part
/// of it; whoever needs them keeps the body beside it.
#[derive(Clone, Debug, Serialize)]
pub struct Event {
    /// `EventType` as it came, for example `DynamicImageComplete`. The provider adds types over time, so this is
    /// text and never fails on a new one.
    pub event_type: String,
    /// `EventTime`, or nothing where it is missing or cannot be parsed (then a doubt says so).
    pub event_time: Option<EventTime>,
    /// `Status`, or nothing where it is missing.
    pub status: Option<Status>,
    /// `VideoId` as it came.
    pub video_id: Option<String>,
    /// `MediaId`, `ImageId` or `AttachedMediaId` as it came: the main id of events that are not about a video.
    pub media_id: Option<String>,
    /// `JobId` as it came; of a DynamicImageComplete without one, the `JobId` inside its `DynamicImageJobInfo`.
    pub job_id: Option<String>,
    /// What went wrong, from `ErrorCode` and `ErrorMessage`, or from `Code` and `Message` where the status is not
    /// success.
    pub error: Option<EventError>,
    /// `Extend` as it came: up to 512 bytes that the user gave with the upload, usually JSON text.
    pub extend: Option<String>,
    /// The images of a DynamicImageComplete, from `DynamicImageJobInfo`; empty for every other type.
    pub images: Vec<Image>,
    /// Every other member, by its name: untouched, but without the line breaks between its parts.
    pub fields: BTreeMap<String, Box<RawValue>>,
    /// What was odd about the notification and how it was read all the same.
    pub doubts: Vec<Doubt>,
}

impl Event {
    /// The event with its id in front, which is how it leaves.
    #[must_use]
    pub fn identified(&self, id: EventId) -> Identified<'_> {
        Identified { id, event: self }
    }
}

/// An event and its id, as [`EVENT_SCHEMA`] describes them.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Identified<'e> {
    /// Which event it is.
    pub id: EventId,
    /// What it says.
    #[serde(flatten)]
    pub event: &'e Event,
}

/// One animated image of a DynamicImageComplete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Image {
    /// `JobId` of the image's job.
    pub job_id: Option<String>,
    /// `Status` of the image; where it disagrees with the event's own, the event's counts and a doubt says so.
    pub status: Option<Status>,
    /// `FileURL` as it came: http and unsigned, so a CDN that wants an `auth_key` answers it with 403.
    pub url: Option<String>,
    /// `FileSize` in bytes.
    pub size_bytes: Option<u64>,
    /// `Fps` in frames a second; may be fractional.
    pub fps: Option<Decimal>,
    /// `Width` in pixels.
    pub width_px: Option<u64>,
    /// `Height` in pixels.
    pub height_px: Option<u64>,
}

/// Whether the job that the event tells of went well.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Status {
    /// `success`, `Success`, `Succeed`.
    Success,
    /// `fail`, `Fail`, `Failed`.
    Fail,
    /// A word that the provider's documents do not have, in lower case; always with a doubt.
    Other(String),
}

impl Status {
    /// From one of the provider's words, in any letter case; any other word stays itself.
    #[must_use]
    pub fn from_word(word: &str) -> Self {
        if ["success", "succeed"].iter().any(|known| word.eq_ignore_ascii_case(known)) {
            Self::Success
        } else if ["fail", "failed"].iter().any(|known| word.eq_ignore_ascii_case(known)) {
            Self::Fail
        } else {
            Self::Other(word.to_lowercase())
        }
    }

    /// The lower-case word, as routing and output use it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Success => "success",
            Self::Fail => "fail",
            Self::Other(word) => word,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Status {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// The provider's code and words for a failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EventError {
    /// `ErrorCode` or `Code`, for example `InvalidParameter.ResourceContentBad`.
    pub code: Option<String>,
    /// `ErrorMessage` or `Message`.
    pub message: Option<String>,
}

/// Something odd in a notification that did not keep it from being read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Doubt {
    /// The member that it is about, as the provider names it; `""` for the body as a whole.
    pub field: String,
    /// What was odd, as a short sentence fragment.
    pub what: String,
}
