//! The event parser: any bytes either read as one event, always the same, or are refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;
use vod_event::{EventId, Reading, queue};

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
    check_fields(&reading);
    let json = serde_json::to_string(&reading.event().identified(id)).unwrap_or_default();
    // Its numbers are texts of their own, which may be beyond what a `serde_json::Value` holds.
    assert!(serde_json::from_str::<IgnoredAny>(&json).is_ok(), "an event is JSON again: {json}");
    assert!(!json.contains(['\n', '\r']), "and one line: {json}");
}

/// A field is null where the member is, and nowhere else. In an envelope two members may have the same name.
fn check_fields(reading: &Reading<'_>) {
    if reading.field("MessageBody").is_some() {
        return;
    }
    // A few: each is looked for in the whole body.
    for (name, raw) in reading.event().fields.iter().filter(|(name, _)| !name.contains('.')).take(10) {
        assert_eq!(raw.get() == "null", reading.field(name).is_none(), "{name}: {raw}");
    }
}
