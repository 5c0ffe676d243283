//! Sample events for tests that need one and do not care which.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;

use crate::envelope::{Arrival, Delivery, Envelope, Labels};
use crate::name::{Name, SinkName, SourceName};

/// A DynamicImageComplete of video number `number`, success, with its info as JSON in a string.
#[must_use]
pub fn event_body(number: usize) -> Bytes {
    let info = format!(
        r#"{{\"FileSize\":\"1834831\",\"FileURL\":\"http://vod.example.com/{number:032x}/image/dynamic/3af1.gif\",\"Fps\":\"25\",\"Height\":\"200\",\"JobId\":\"{number:032x}\",\"Status\":\"success\",\"Width\":\"200\"}}"#
    );
    let body = format!(
        r#"{{"Status":"success","VideoId":"{number:032x}","EventType":"DynamicImageComplete","EventTime":"2024-03-05T09:12:58Z","DynamicImageJobInfo":"{info}","JobId":"{number:032x}"}}"#
    );
    Bytes::from(body)
}

/// An envelope around any bytes, as the callback `main` would have brought it.
#[must_use]
pub fn envelope_of(body: Bytes, received_at: Timestamp) -> Envelope {
    let source = SourceName::callback(&Name::new("main").expect("a good name"));
    let (id, event) = match vod_event::read(&body) {
        Ok(reading) => (reading.id(), Ok(reading.into_event())),
        Err(unreadable) => (vod_event::EventId::of_raw(&body), Err(unreadable.to_string())),
    };
    let labels = Arc::new(Labels::new());
    Envelope::new(Arrival { source, body, received_at, labels, trace: None }, id, event)
}

/// The first delivery of any bytes to a sink.
#[must_use]
pub fn delivery_of(body: Bytes, sink: &SinkName, received_at: Timestamp) -> Delivery {
    Delivery {
        envelope: Arc::new(envelope_of(body, received_at)),
        sink: sink.clone(),
        attempt: 1,
        replay: 0,
        tries: 0,
        first_attempt_at: None,
        last_attempt_at: None,
        age: std::time::Duration::ZERO,
        span: crate::trace::Span::default(),
    }
}
