//! The record as it is first written: what the event says and how it reached this relay. That stays; only the states of
//! its images change later.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use vod_event::{Event, Identified, Image};
use vodrelay_core::{Envelope, Labels};

use super::raw::RawObject;
use super::{Record, SCHEMA, State};

impl Record {
    /// The record of an event, with these states of its images, in their order.
    pub(in crate::archive) fn first(
        envelope: &Envelope,
        event: &Event,
        states: &[State],
    ) -> serde_json::Result<Self> {
        let members = RawObject::of(&First {
            schema: SCHEMA,
            event: event.identified(envelope.id),
            // Their place among the members; what they say comes from the list beside.
            images: [],
            body: Body::of(envelope),
            receipt: Receipt {
                source: envelope.source.to_string(),
                received_at: envelope.received_at.to_string(),
                labels: &envelope.labels,
            },
        })?;
        let images = event.images.iter().zip(states);
        let images = images.map(|(image, state)| RawObject::of(&FirstImage { image, state }));
        Ok(Self { members, images: images.collect::<Result<_, _>>()? })
    }
}

#[derive(Serialize)]
struct First<'e> {
    schema: &'static str,
    event: Identified<'e>,
    images: [(); 0],
    body: Body<'e>,
    receipt: Receipt<'e>,
}

/// An image as the event tells of it, and what the archive has of it.
#[derive(Serialize)]
struct FirstImage<'e> {
    #[serde(flatten)]
    image: &'e Image,
    #[serde(flatten)]
    state: &'e State,
}

/// The provider's bytes: as text where they are UTF-8, else in Base64, so that they can be had again to the byte.
#[derive(Serialize)]
struct Body<'e> {
    encoding: &'static str,
    content: Cow<'e, str>,
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
    labels: &'e Labels,
}
