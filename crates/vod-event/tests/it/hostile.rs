//! Bodies that are as large as they may be and built to be expensive. That these tests end is what they test: with
//! anything quadratic in it, a megabyte would keep them busy for minutes.

use std::fmt::Write as _;

use vod_event::{UnreadableKind, read};

const MEBIBYTE: usize = 1 << 20;

#[track_caller]
fn kind(body: &str) -> Option<UnreadableKind> {
    let reading = read(body.as_bytes());
    reading.as_ref().ok().map(vod_event::Reading::id);
    reading.err().map(|unreadable| unreadable.kind())
}

#[test]
fn brackets() {
    for (open, close) in [("[", "]"), ("{\"\":", "}")] {
        let levels = MEBIBYTE / open.len();
        let body = format!("{{\"EventType\":\"X\",\"A\":{}", open.repeat(levels));
        assert_eq!(kind(&body), Some(UnreadableKind::TooDeep));
        let body = format!("{{\"EventType\":\"X\",\"A\":{}0{}}}", open.repeat(10_000), close.repeat(10_000));
        assert_eq!(kind(&body), Some(UnreadableKind::TooDeep));
        assert_eq!(kind(&open.repeat(levels)), Some(UnreadableKind::TooDeep));
    }
    let flat = format!("{{\"EventType\":\"X\",\"A\":[{}]}}", "[],".repeat(MEBIBYTE / 3));
    assert_eq!(kind(&flat), None);
}

#[test]
fn many_names() {
    let mut body = "{\"EventType\":\"X\"".to_owned();
    for number in 0..100_000 {
        write!(body, ",\"k{number}\":{number}").unwrap();
    }
    assert_eq!(kind(&format!("{body}}}")), None);
    assert_eq!(kind(&format!("{body},\"k77\":77}}")), None);
    assert_eq!(kind(&format!("{body},\"k77\":78}}")), Some(UnreadableKind::DuplicateKey));
}

#[test]
fn many_names_in_an_envelope_and_in_its_content() {
    let members = |prefix: &str| -> String {
        (0..40_000).map(|number| format!(",\"{prefix}{number}\":{number}")).collect()
    };
    let (outer, inner) = (members("o"), members("i"));
    let body = format!("{{\"UserId\":1{outer},\"MessageBody\":{{\"EventType\":\"X\"{inner}}}}}");
    assert_eq!(kind(&body), None);
}

#[test]
fn images_and_doubts_without_end_are_cut() {
    let counts = |info: &str| {
        let body = format!(
            "{{\"EventType\":\"DynamicImageComplete\",\"VideoId\":\"v\",\"DynamicImageJobInfo\":{info}}}"
        );
        let event = read(body.as_bytes()).unwrap().into_event();
        assert!(event.fields.contains_key("DynamicImageJobInfo"), "nothing of it is lost");
        assert!(
            event.doubts.iter().any(|doubt| doubt.what.starts_with("more ")),
            "that there are more is said"
        );
        (event.images.len(), event.doubts.len())
    };
    let (images, doubts) = counts(&format!("[{}{{}}]", "{},".repeat(300_000)));
    assert!(images == 100 && doubts < 140, "{images} images, {doubts} doubts");
    let (images, doubts) = counts(&format!("[{}1]", "1,".repeat(300_000)));
    assert!(images == 0 && doubts < 140, "{images} images, {doubts} doubts");
}

#[test]
fn the_same_name_many_times() {
    let body = format!("{{\"EventType\":\"X\"{}}}", ",\"\":{}".repeat(MEBIBYTE / 6));
    assert_eq!(kind(&body), None);
}

#[test]
fn equal_values_inside_equal_values() {
    let mut value = "{}".to_owned();
    while value.len() < MEBIBYTE / 2 {
        value = format!("{{\"a\":{value},\"a\":{value}}}");
    }
    assert_eq!(kind(&format!("{{\"EventType\":\"X\",\"A\":{value}}}")), None);
}

#[test]
fn large_equal_objects() {
    let members: String = (0..40_000).map(|number| format!("\"k{number}\":{number},")).collect();
    let body = format!("{{\"EventType\":\"X\",\"A\":{{{members}}},\"A\":{{{members}}}}}");
    assert_eq!(kind(&body), None);
}

#[test]
fn quotes_and_backslashes() {
    for inside in ["\\\"", "\\\\", "\\u0022", "\\ud800", "\n", "é"] {
        let body = format!("{{\"EventType\":\"X\",\"A\":\"{}\"}}", inside.repeat(MEBIBYTE / inside.len()));
        assert_eq!(kind(&body), None, "{inside:?}");
    }
    let open = format!("{{\"EventType\":\"X\",\"A\":{}", "\"".repeat(MEBIBYTE));
    assert_eq!(kind(&open), Some(UnreadableKind::NotJson));
}

#[test]
fn text_in_text_in_text() {
    let layer = |inner: &str| serde_json::to_string(inner).unwrap();
    let mut text = "{\"JobId\":\"x\"}".to_owned();
    while text.len() < MEBIBYTE {
        text = layer(&text);
    }
    assert_eq!(
        kind(&format!("{{\"EventType\":\"X\",\"VideoId\":\"v\",\"DynamicImageJobInfo\":{text}}}")),
        None
    );
    let body = format!(
        "{{\"EventType\":\"DynamicImageComplete\",\"VideoId\":\"v\",\"DynamicImageJobInfo\":{text}}}"
    );
    assert_eq!(kind(&body), None);
    assert_eq!(kind(&format!("{{\"EventType\":\"X\",\"MessageBody\":{text}}}")), None);
}

#[test]
fn long_numbers_and_blanks() {
    let body =
        format!("{{\"EventType\":\"X\",\"A\":{}{}}}", "9".repeat(MEBIBYTE / 2), " ".repeat(MEBIBYTE / 2));
    assert_eq!(kind(&body), None);
}
