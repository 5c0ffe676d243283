//! The schema that `config schema` prints, the structs, and the document list the same keys.

use std::collections::{BTreeSet, HashMap};
use std::slice::from_ref;

use serde_json::{Map, Value, json};
use vodrelay::config::from_text;

fn schema() -> Value {
    serde_json::from_str(include_str!("../../schema/config.schema.json")).unwrap()
}

/// Sees a table of the schema: its path, and its keys.
type Visit<'v> = dyn FnMut(&[String], &Map<String, Value>) + 'v;

/// Visits every table of the schema with its path; named tables get `main` as a name.
fn tables(schema: &Value, path: Vec<String>, visit: &mut Visit<'_>) {
    if let Some(properties) = schema["properties"].as_object() {
        visit(&path, properties);
        for (key, inner) in properties {
            tables(inner, [path.clone(), vec![key.clone()]].concat(), visit);
        }
    } else if schema.get("propertyNames").is_some() {
        tables(&schema["additionalProperties"], [path, vec!["main".to_owned()]].concat(), visit);
    }
}

fn put(into: &mut Value, path: &[String], value: Value) {
    match path.split_first() {
        None => *into = value,
        Some((key, rest)) => {
            if into.is_null() {
                *into = json!({});
            }
            put(&mut into[key.as_str()], rest, value);
        }
    }
}

fn example_of(schema: &Value) -> Option<Value> {
    schema.get("default").or_else(|| schema["examples"].get(0)).cloned()
}

/// A configuration in which every key of the schema stands.
fn full() -> Value {
    let mut full = json!({});
    tables(&schema(), Vec::new(), &mut |path, properties| {
        for (key, inner) in properties {
            if let Some(example) = example_of(inner) {
                put(&mut full, &[path, from_ref(key)].concat(), example);
            }
        }
    });
    full
}

fn load(value: &Value) -> Result<(), String> {
    let text = toml::to_string(value).unwrap();
    from_text(&text, Some("vodrelay.toml".into()), HashMap::new()).map(drop).map_err(|error| error.message)
}

#[test]
fn every_key_of_the_schema_is_one_of_the_structs() {
    load(&full()).unwrap();
}

#[test]
fn every_key_of_the_structs_is_in_the_schema() {
    tables(&schema(), Vec::new(), &mut |path, properties| {
        let mut odd = full();
        put(&mut odd, &[path, &["no_such_key".to_owned()]].concat(), json!("x"));
        let message = load(&odd).unwrap_err();
        let expected: BTreeSet<&str> = message.split('`').skip(3).step_by(2).collect();
        let listed: BTreeSet<&str> = properties.keys().map(String::as_str).collect();
        assert_eq!(expected, listed, "of [{}]: {message}", path.join("."));
    });
}

#[test]
fn every_key_is_in_the_document() {
    let document = include_str!("../../../../docs/CONFIGURATION.md");
    tables(&schema(), Vec::new(), &mut |path, properties| {
        for key in properties.keys().filter(|key| {
            !["options", "callbacks", "queues", "sinks", "tokens", "alerts"].contains(&key.as_str())
        }) {
            let is_table = properties[key]["properties"].is_object();
            let name = [path, from_ref(key)].concat().join(".").replace(".main", ".NAME");
            assert!(
                is_table || document.contains(&format!("`{name}`")),
                "docs/CONFIGURATION.md lacks `{name}`"
            );
        }
    });
}
