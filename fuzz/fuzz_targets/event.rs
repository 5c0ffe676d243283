//! The event parser: any bytes either read as one event, always the same, or are refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vod_event::{EventId, queue};

fuzz_target!(|bytes: &[u8]| {
    read(bytes);
    // A queue may have it in Base64.
    read(&queue::decode_body(bytes));
});

fn read(body: &[u8]) {
    let Ok(reading) = vod_event::read(body) else {
        // What cannot be read is known by its bytes.
        let _ = EventId::of_raw(body);
        return;
    };
    let id = reading.id();
    let again = vod_event::read(body).map(|again| again.id());
    assert_eq!(again.ok(), Some(id), "one body is one event");
    for path in ["EventType", "DynamicImageJobInfo.FileURL", "Extend.env", "..", ""] {
        let _ = reading.field(path);
    }
    let event = reading.into_event();
    let json = serde_json::to_string(&event).unwrap_or_default();
    assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok(), "an event is JSON again: {json}");
}
