//! The archive's record of an event: one line of JSON that says everything we know, so that query engines read a
//! folder of them as a table.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use vod_event::{Identified, Image};
use vodrelay_core::Envelope;

/// Names the layout below; a new layout gets a new number.
pub(super) const SCHEMA: &str = "urn:vodrelay:record:1";

/// `events/date=YYYY-MM-DD/ID.json`, by the UTC day of the event, or of its acceptance where its own time is not
/// known. Two relays that got the same event write the same key.
pub(super) fn key(envelope: &Envelope) -> String {
    let event_time = envelope.event().ok().and_then(|event| event.event_time);
    let time = event_time.map_or(envelope.received_at, |time| time.0);
    format!("events/date={}/{}.json", time.strftime("%Y-%m-%d"), envelope.id)
}

/// The record of an event.
///
/// # Errors
/// If its body cannot be read as an event.
pub(super) fn json(envelope: &Envelope) -> Result<Vec<u8>, String> {
    let event =
        envelope.event().map_err(|reason| format!("the body cannot be read as an event: {reason}"))?;
    let record = Record {
        schema: SCHEMA,
        event: event.identified(envelope.id),
        images: event.images.iter().map(|image| RecordedImage { image, state: "linked" }).collect(),
        body: Body::of(envelope),
        receipt: Receipt {
            source: envelope.source.to_string(),
            received_at: envelope.received_at.to_string(),
            labels: &envelope.labels,
        },
    };
    let mut json =
        serde_json::to_vec(&record).map_err(|error| format!("the record cannot be written: {error}"))?;
    json.push(b'\n');
    Ok(json)
}

#[derive(Serialize)]
struct Record<'e> {
    schema: &'static str,
    event: Identified<'e>,
    images: Vec<RecordedImage<'e>>,
    body: Body<'e>,
    receipt: Receipt<'e>,
}

/// An image as the event tells of it, and what the archive has of it: `linked` is nothing but its URL.
#[derive(Serialize)]
struct RecordedImage<'e> {
    #[serde(flatten)]
    image: &'e Image,
    state: &'static str,
}

/// The provider's bytes: as text where they are UTF-8, else in Base64, so that they can be had again to the byte.
#[derive(Serialize)]
struct Body<'e> {
    encoding: &'static str,
    content: std::borrow::Cow<'e, str>,
    size_bytes: usize,
    sha256: String,
}

impl<'e> Body<'e> {
    fn of(envelope: &'e Envelope) -> Self {
        let (encoding, content) = match str::from_utf8(&envelope.body) {
            Ok(text) => ("utf-8", text.into()),
            Err(_) => ("base64", STANDARD.encode(&envelope.body).into()),
        };
        let sha256 = envelope.sha256.iter().map(|byte| format!("{byte:02x}")).collect();
        Self { encoding, content, size_bytes: envelope.body.len(), sha256 }
    }
}

/// How the event reached this relay; another relay has its own.
#[derive(Serialize)]
struct Receipt<'e> {
    source: String,
    received_at: String,
    labels: &'e vodrelay_core::Labels,
}
