//! What stands in the body: the provider's bytes, or the normalised event in one of two standard envelopes.

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use vod_event::{Event, EventTime, Identified};
use vodrelay_core::{Envelope, SinkError};

use super::type_name::standard_type;

/// The `format` of the options, with what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// The provider's bytes, as they came.
    Raw,
    /// The payload that Standard Webhooks recommends: type, timestamp, data.
    Standard,
    /// CloudEvents 1.0 in structured mode.
    CloudEvents {
        /// The attribute `source`.
        source: String,
    },
}

/// The word for a format in the options.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum FormatName {
    #[default]
    Raw,
    Standard,
    CloudEvents,
}

/// A body and what it is.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) body: Bytes,
    pub(super) content_type: &'static str,
}

impl Format {
    pub(super) fn message(&self, envelope: &Envelope) -> Result<Message, SinkError> {
        if *self == Self::Raw {
            return Ok(Message { body: envelope.body.clone(), content_type: "application/json" });
        }
        let unreadable =
            |reason: &str| SinkError::permanent(format!("the body cannot be read as an event: {reason}"));
        let event = envelope.event().map_err(unreadable)?;
        let data = event.identified(envelope.id);
        let (json, content_type) = match self {
            Self::CloudEvents { source } => {
                (serde_json::to_vec(&CloudEvent::new(source, data)), "application/cloudevents+json")
            }
            Self::Raw | Self::Standard => {
                (serde_json::to_vec(&StandardPayload::new(data, envelope.received_at)), "application/json")
            }
        };
        let body =
            json.map_err(|error| SinkError::permanent(format!("the event cannot be written: {error}")))?;
        Ok(Message { body: body.into(), content_type })
    }
}

/// The payload of Standard Webhooks.
#[derive(Serialize)]
struct StandardPayload<'e> {
    r#type: String,
    timestamp: EventTime,
    data: Identified<'e>,
}

impl<'e> StandardPayload<'e> {
    fn new(data: Identified<'e>, received_at: Timestamp) -> Self {
        let timestamp = data.event.event_time.unwrap_or(EventTime(received_at));
        Self { r#type: standard_type(&data.event.event_type), timestamp, data }
    }
}

/// A CloudEvent; attributes that are not known are left out, as its specification wants it.
#[derive(Serialize)]
struct CloudEvent<'e> {
    specversion: &'static str,
    id: String,
    source: &'e str,
    r#type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<EventTime>,
    datacontenttype: &'static str,
    dataschema: &'static str,
    data: Identified<'e>,
}

impl<'e> CloudEvent<'e> {
    fn new(source: &'e str, data: Identified<'e>) -> Self {
        Self {
            specversion: "1.0",
            id: data.id.to_string(),
            source,
            r#type: format!("com.aliyun.vod.{}", data.event.event_type),
            subject: subject(data.event),
            time: data.event.event_time,
            datacontenttype: "application/json",
            dataschema: "urn:vodrelay:event:1",
            data,
        }
    }
}

/// What the event is about: a video, an animated image of it, or another medium.
fn subject(event: &Event) -> Option<String> {
    let about_image = event.event_type == "DynamicImageComplete";
    match (&event.video_id, &event.job_id, &event.media_id) {
        (Some(video), Some(job), _) if about_image => Some(format!("videos/{video}/dynamic-images/{job}")),
        (Some(video), ..) => Some(format!("videos/{video}")),
        (None, Some(job), _) if about_image => Some(format!("dynamic-images/{job}")),
        (None, _, Some(medium)) => Some(format!("media/{medium}")),
        (None, _, None) => None,
    }
}
