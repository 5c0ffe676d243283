//! What holds for any body: reading never panics, nothing is lost, spelling does not matter and content does.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::Value;
use serde_json::value::RawValue;
use vod_event::json;
use vod_event::{EventId, queue, read};

use crate::fixtures::{fixtures, readable};

/// Few cases, since the default run has to stay short.
fn cases(count: u32) -> ProptestConfig {
    ProptestConfig { cases: count, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(512))]

    #[test]
    fn any_bytes_can_be_refused(body in proptest::collection::vec(any::<u8>(), 0..64)) {
        drop(read(&body));
        drop(read(&queue::decode_body(&body)));
    }

    #[test]
    fn anything_that_looks_like_json_can_be_refused(body in r#"[{}\[\],:"\\a0-9eE.+u \n-]{0,64}"#) {
        drop(json::parse(&body));
        let body = format!("{{\"EventType\":\"DynamicImageComplete\",\"VideoId\":\"v\",\"DynamicImageJobInfo\":{body}");
        drop(read(body.as_bytes()));
    }

    #[test]
    fn a_damaged_fixture_can_be_refused(
        which in any::<Index>(),
        damage in proptest::collection::vec((any::<Index>(), any::<u8>()), 1..4),
        cut in proptest::option::of(any::<Index>()),
    ) {
        static BODIES: LazyLock<Vec<Vec<u8>>> =
            LazyLock::new(|| fixtures().into_iter().map(|fixture| fixture.body).collect());
        let mut body = which.get(&BODIES).clone();
        for (place, byte) in damage {
            if !body.is_empty() {
                let place = place.index(body.len());
                body[place] = byte;
            }
        }
        if let Some(cut) = cut {
            body.truncate(cut.index(body.len() + 1));
        }
        if let Ok(reading) = read(&body) {
            assert_eq!(reading.id(), read(&body).unwrap().id());
            drop(reading.field("DynamicImageJobInfo.Width"));
            serde_json::to_string(reading.event()).unwrap();
        }
    }
}

/// Strict texts and ours agree on what is JSON, but for depth and names that stand twice.
#[track_caller]
fn check_against_serde_json(text: &str) {
    let strict = serde_json::from_str::<&RawValue>(text);
    match json::parse(text) {
        Ok(document) if document.oddities.is_empty() => assert!(strict.is_ok(), "{text:?}: {strict:?}"),
        Ok(_) => {}
        Err(json::Error { kind: json::ErrorKind::TooDeep | json::ErrorKind::DuplicateName(_), .. }) => {}
        Err(error) => assert!(strict.is_err(), "{text:?}: {error}"),
    }
}

proptest! {
    #![proptest_config(cases(2048))]

    #[test]
    fn texts_are_json_to_both_or_to_none(text in r#"[{}\[\],:"\\a0-9eE.+unltrfs \n-]{0,12}"#) {
        check_against_serde_json(&text);
    }

    #[test]
    fn numbers_are_json_to_both_or_to_none(text in r"-?[0-9]{0,3}(\.[0-9]{0,2})?([eE][+-]?[0-9]{0,2})?") {
        check_against_serde_json(&text);
    }

    #[test]
    fn strings_are_json_to_both_or_to_none(text in r#""([a\\"/bfnrtu\u{0}-\u{20}é😀]|\\[u"\\n]|\\u[0-9a-fA-F]{4}){0,6}""#) {
        check_against_serde_json(&text);
        if let (Ok(strict), Ok(document)) = (serde_json::from_str::<String>(&text), json::parse(&text)) {
            assert!(matches!(document.value, json::Value::String(ours) if ours == strict));
        }
    }
}

#[test]
fn every_member_of_every_fixture_is_in_the_event() {
    for fixture in readable() {
        let reading = read(&fixture.body).unwrap();
        let event = serde_json::to_string(reading.event()).unwrap();
        let text = std::str::from_utf8(&fixture.body).unwrap();
        let Ok(json::Document { value: json::Value::Object(root), .. }) = json::parse(text) else { panic!() };
        for member in root.members() {
            if let json::Value::String(text) = &member.value {
                let quoted = serde_json::to_string(text.trim()).unwrap();
                let is_there = event.contains(quoted.trim_matches('"'));
                let is_read =
                    matches!(&*member.name, "EventTime" | "Status" | "DynamicImageJobInfo" | "MessageBody");
                assert!(is_there || is_read, "{}: {} is lost from {event}", fixture.name, member.name);
            } else if !matches!(member.value, json::Value::Null) {
                let has_place = matches!(&*member.name, "DynamicImageJobInfo" | "MessageBody");
                let is_there = event.contains(&format!("\"{}\":", member.name));
                let is_text =
                    event.contains(&serde_json::to_string(member.raw).unwrap()) || event.contains(member.raw);
                assert!(has_place || is_there || is_text, "{}: {} is lost", fixture.name, member.name);
            }
        }
    }
}

/// An event of any kind of members, which `spell` then writes in many ways.
fn any_event() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::from),
        "[a-zé😀\"\\\\/\n ]{0,8}".prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("[A-Zé\"]{1,3}", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    });
    let info = proptest::collection::btree_map("[A-Z]{1,3}", value.clone(), 0..4);
    (proptest::collection::btree_map("[A-Z]{1,4}", value, 0..6), info).prop_map(|(members, info)| {
        let mut event: serde_json::Map<_, _> = members.into_iter().collect();
        event.insert("EventType".to_owned(), "DynamicImageComplete".into());
        event.insert("VideoId".to_owned(), "0a1b".into());
        event.insert("DynamicImageJobInfo".to_owned(), Value::Object(info.into_iter().collect()));
        Value::Object(event)
    })
}

/// How a text is spelled, decided by bits that are used up one after another.
struct Speller {
    bits: u64,
}

impl Speller {
    fn flip(&mut self) -> bool {
        self.bits = self.bits.rotate_right(1) ^ 0x9e37;
        self.bits & 1 == 1
    }

    fn spell(&mut self, value: &Value) -> String {
        let blank = if self.flip() { " \r\n" } else { "" };
        match value {
            Value::Array(elements) => {
                let elements: Vec<_> = elements.iter().map(|element| self.spell(element)).collect();
                format!("{blank}[{}]{blank}", elements.join(","))
            }
            Value::Object(members) => {
                let mut members: Vec<_> = members
                    .iter()
                    .map(|(name, value)| format!("{blank}{}:{}", self.string(name), self.spell(value)))
                    .collect();
                if self.flip() {
                    members.reverse();
                }
                format!("{{{}{blank}}}", members.join(","))
            }
            Value::String(text) => self.string(text),
            other => format!("{blank}{other}{blank}"),
        }
    }

    fn string(&mut self, text: &str) -> String {
        let mut spelled = "\"".to_owned();
        for character in text.chars() {
            if matches!(character, '"' | '\\' | '\0'..' ') || self.flip() {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    write!(spelled, "\\u{unit:04X}").unwrap();
                }
            } else {
                spelled.push(character);
            }
        }
        spelled + "\""
    }
}

fn id(body: &str) -> EventId {
    read(body.as_bytes()).unwrap().id()
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn spelling_does_not_change_the_id(event in any_event(), bits in any::<u64>()) {
        let mut speller = Speller { bits };
        let expect = id(&event.to_string());
        prop_assert_eq!(id(&speller.spell(&event)), expect);

        let mut as_text = event.clone();
        as_text["DynamicImageJobInfo"] = speller.spell(&event["DynamicImageJobInfo"]).into();
        prop_assert_eq!(id(&speller.spell(&as_text)), expect);
        as_text["DynamicImageJobInfo"] = as_text["DynamicImageJobInfo"].to_string().into();
        prop_assert_eq!(id(&speller.spell(&as_text)), expect);

        let envelope = serde_json::json!({"RequestId": bits, "UserId": 7, "EventType": "Other", "MessageBody": event});
        prop_assert_eq!(id(&speller.spell(&envelope)), expect);
        let envelope = serde_json::json!({"MessageBody": speller.spell(&as_text)});
        prop_assert_eq!(id(&speller.spell(&envelope)), expect);

        let mut inner = event.clone();
        let event_type = inner.as_object_mut().unwrap().remove("EventType").unwrap();
        let envelope = serde_json::json!({"EventType": event_type, "MessageBody": inner});
        prop_assert_eq!(id(&speller.spell(&envelope)), expect);
    }

    #[test]
    fn another_value_is_another_event(event in any_event(), which in any::<Index>()) {
        let before = id(&event.to_string());
        let mut changed = event.clone();
        let members = changed.as_object_mut().unwrap();
        let name = which.get(&members.keys().cloned().collect::<Vec<_>>()).clone();
        if name == "EventType" {
            members.insert(name, "FileUploadComplete".into());
        } else {
            let value = members.get_mut(&name).unwrap();
            change(value);
        }
        prop_assert_ne!(id(&changed.to_string()), before, "{} {}", event, changed);
    }

    #[test]
    fn every_other_member_is_among_the_fields(event in any_event()) {
        let body = event.to_string();
        let read = read(body.as_bytes()).unwrap().into_event();
        for (name, value) in event.as_object().unwrap() {
            let has_place = matches!(name.as_str(), "EventType" | "VideoId" | "DynamicImageJobInfo");
            let found = read.fields.get(name).map(|raw| serde_json::from_str::<Value>(raw.get()).unwrap());
            prop_assert!(has_place || found.as_ref() == Some(value), "{} is lost", name);
        }
    }
}

/// Makes a value say something else, as little as possible.
fn change(value: &mut Value) {
    *value = match &*value {
        Value::Null => Value::Bool(false),
        Value::Bool(flag) => Value::Bool(!flag),
        Value::Number(number) => Value::String(number.to_string()),
        Value::String(text) => Value::String(format!("{text} ")),
        Value::Array(elements) => elements.iter().cloned().chain([Value::Null]).collect(),
        Value::Object(members) => {
            let mut members = members.clone();
            members.insert("zz".to_owned(), Value::Null);
            Value::Object(members)
        }
    };
}

#[test]
fn bodies_that_differ_only_in_what_cannot_be_written_are_two() {
    let ids: Vec<_> = [
        r#"{"EventType":"X","A":"\ud800"}"#,
        r#"{"EventType":"X","A":"\ud801"}"#,
        "{\"EventType\":\"X\",\"A\":\"\u{fffd}\"}",
        r#"{"EventType":"X","DynamicImageJobInfo":"{\"A\":\"\\ud800\"}"}"#,
        r#"{"EventType":"X","DynamicImageJobInfo":"{\"A\":\"\\ud801\"}"}"#,
        r#"{"EventType":"X","DynamicImageJobInfo":"\"{\\\"A\\\":\\\"\\ud801\\\"}\""}"#,
        r#"{"EventType":"X","DynamicImageJobInfo":"\"{\\\"A\\\":\\\"\\ud802\\\"}\""}"#,
        r#"{"EventType":"X","MessageBody":"{\"A\":\"\\ud800\"}"}"#,
        r#"{"EventType":"X","MessageBody":"{\"A\":\"\\ud801\"}"}"#,
    ]
    .into_iter()
    .map(id)
    .collect();
    for (index, id) in ids.iter().enumerate() {
        assert!(!ids[..index].contains(id), "{index}");
    }
}

#[test]
fn the_queue_brings_the_same_event() {
    use base64::Engine as _;
    for fixture in readable() {
        let message = base64::engine::general_purpose::STANDARD.encode(&fixture.body);
        let body = queue::decode_body(message.as_bytes());
        assert!(matches!(&body, Cow::Owned(body) if *body == fixture.body), "{}", fixture.name);
    }
}
