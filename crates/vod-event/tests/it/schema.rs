//! The published schema and what is really written agree on every property.

use serde_json::Value;
use vod_event::{EVENT_SCHEMA, read};

use crate::fixtures::readable;

#[test]
fn events_have_exactly_the_properties_of_the_schema() {
    let schema: Value = serde_json::from_str(EVENT_SCHEMA).unwrap();
    assert_eq!(schema["$id"], "urn:vodrelay:event:1");
    for fixture in readable() {
        let reading = read(&fixture.body).unwrap();
        let (id, mut event) = (reading.id(), reading.into_event());
        // They are as they came, with numbers beyond what serde_json's own value can hold.
        event.fields.clear();
        let written = serde_json::to_value(event.identified(id)).unwrap();
        check(&written, &schema, &schema, &fixture.name);
    }
}

#[test]
fn the_id_comes_first() {
    let reading = read(br#"{"EventType":"Other","N":1.50}"#).unwrap();
    let written = serde_json::to_string(&reading.event().identified(reading.id())).unwrap();
    assert!(written.starts_with(r#"{"id":"evt_1"#), "{written}");
    assert!(written.contains(r#""fields":{"N":1.50}"#), "{written}");
}

/// As much of JSON Schema as ours uses: types, properties, items, references.
#[track_caller]
fn check(value: &Value, schema: &Value, root: &Value, place: &str) {
    if let Some(reference) = schema["$ref"].as_str() {
        return check(value, root.pointer(&reference[1..]).unwrap(), root, place);
    }
    let types = match &schema["type"] {
        Value::String(one) => vec![one.as_str()],
        several => several.as_array().unwrap().iter().filter_map(Value::as_str).collect(),
    };
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_u64() && types.contains(&"integer") => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    assert!(types.contains(&found), "{place}: {found} is none of {types:?}");
    if let (Value::Object(members), Value::Object(properties)) = (value, &schema["properties"]) {
        let mut names: Vec<_> = members.keys().collect();
        let mut wanted: Vec<_> = properties.keys().collect();
        let mut required: Vec<_> =
            schema["required"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        names.sort();
        wanted.sort();
        required.sort_unstable();
        assert_eq!(names, wanted, "{place}");
        assert_eq!(names, required, "{place}");
        for (name, member) in members {
            check(member, &properties[name], root, &format!("{place}: {name}"));
        }
    }
    if let (Value::Array(elements), Value::Object(_)) = (value, &schema["items"]) {
        elements.iter().for_each(|element| check(element, &schema["items"], root, place));
    }
}
