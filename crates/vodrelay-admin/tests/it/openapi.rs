//! The OpenAPI document: what it says is what the API does.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;
use vodrelay_admin::router;
use vodrelay_core::testing::{MemoryJournal, MockJudge, envelope_of, event_body};
use vodrelay_core::{
    Clock, Envelope, Journal, Ledger, Name, Outcome, Refusal, RefusalCause, Settled, SinkName, SourceName,
    SystemClock,
};

use crate::state;

fn event(number: usize) -> Envelope {
    envelope_of(event_body(number), "2026-11-01T10:00:00Z".parse().unwrap())
}

/// A relay that has one of everything.
async fn paths() -> Router {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let journal = Arc::new(MemoryJournal::new(clock));
    let sink = SinkName::new("cms").unwrap();
    for number in 0..3 {
        let sinks = if number == 2 { vec![] } else { vec![sink.clone()] };
        journal.append(&event(number), &sinks).await.unwrap();
        journal.append(&event(number), &sinks).await.unwrap();
    }
    let claimed = journal.claim(&sink, 1, std::time::Duration::from_secs(60)).await.unwrap();
    let outcome = Outcome::DeadLetter("410 gone".to_owned());
    let attempt = vodrelay_core::Attempt {
        started_at: "2026-11-01T10:00:01Z".parse().unwrap(),
        took: std::time::Duration::from_millis(5),
        age: std::time::Duration::from_secs(1),
        status: Some(410),
        note: "gone".to_owned(),
    };
    let reached_at = attempt.started_at;
    let settled =
        Settled { token: claimed.claims.first().unwrap().token, outcome, attempt: Some(attempt), reached_at };
    journal.settle(&[settled]).await.unwrap();
    journal.pause(&sink, Some("a deployment".to_owned())).await.unwrap();
    let refusal = Refusal {
        source: SourceName::callback(&Name::new("main").unwrap()),
        cause: RefusalCause::Missing,
        detail: "in words".to_owned(),
        received_at: "2026-11-01T10:00:00Z".parse().unwrap(),
        address: "192.0.2.1".to_owned(),
        timestamp: None,
        signature: None,
        body: event_body(1),
        cut_short: false,
    };
    journal.refuse(vec![refusal]).await.unwrap();
    let mut judge = MockJudge::new();
    judge.expect_callbacks().returning(|| vec![Name::new("main").unwrap()]);
    judge.expect_judge().returning(|_| {
        vodrelay_core::judge::Judgement::Unproven(RefusalCause::Missing, "no proof".to_owned())
    });
    router(state(journal, judge))
}

async fn ask(paths: &Router, method: &str, path: &str, body: &Value) -> (u16, String, Vec<u8>) {
    let request = Request::builder()
        .method(method.to_uppercase().as_str())
        .uri(path)
        .header("content-type", "application/json")
        .body(Body::from(body.to_string()))
        .unwrap();
    let response = paths.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let kind = response.headers().get("content-type").map_or("", |kind| kind.to_str().unwrap()).to_owned();
    if kind == "text/event-stream" {
        return (status, kind, Vec::new());
    }
    (status, kind, response.into_body().collect().await.unwrap().to_bytes().to_vec())
}

async fn document(paths: &Router) -> Value {
    let (status, _, body) = ask(paths, "get", "/api/v1/openapi.json", &Value::Null).await;
    assert_eq!(status, 200);
    serde_json::from_slice(&body).unwrap()
}

/// Each operation: its method, its path, what the document says of it.
fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let paths = document["paths"].as_object().unwrap();
    let methods = paths.iter().flat_map(|(path, methods)| {
        let methods = methods.as_object().unwrap().iter();
        methods.map(move |(method, says)| (method.clone(), path.clone(), says.clone()))
    });
    methods.collect()
}

/// What does not agree, as far as the document's schemas go.
fn objection(document: &Value, schema: &Value, value: &Value) -> Option<String> {
    let schema = schema.as_object()?;
    let wrong = |why: String| Some(format!("{why} in {value}"));
    if let Some(name) = schema.get("$ref") {
        let pointer = name.as_str().unwrap().trim_start_matches('#');
        let found = document.pointer(pointer).unwrap_or_else(|| panic!("{name} is nowhere"));
        return objection(document, found, value);
    }
    if let Some(any) = schema.get("anyOf") {
        let objections: Vec<Option<String>> =
            any.as_array().unwrap().iter().map(|schema| objection(document, schema, value)).collect();
        return match objections.iter().any(Option::is_none) {
            true => None,
            false => wrong(format!("none of {objections:?}")),
        };
    }
    let is = |kind: &str| match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "null" => value.is_null(),
        kind => panic!("no kind {kind}"),
    };
    let kinds =
        schema.get("type").map(|kinds| kinds.as_array().cloned().unwrap_or_else(|| vec![kinds.clone()]));
    if kinds.is_some_and(|kinds| !kinds.iter().any(|kind| is(kind.as_str().unwrap()))) {
        return wrong(format!("not {}", schema["type"]));
    }
    if schema.get("enum").is_some_and(|words| !words.as_array().unwrap().contains(value)) {
        return wrong(format!("none of {}", schema["enum"]));
    }
    if schema.get("const").is_some_and(|word| word != value) {
        return wrong(format!("not {}", schema["const"]));
    }
    if let Some(items) = value.as_array() {
        return items.iter().find_map(|item| objection(document, schema.get("items")?, item));
    }
    let members = value.as_object()?;
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    if let Some(missing) =
        required.map(|name| name.as_str().unwrap()).find(|name| !members.contains_key(*name))
    {
        return wrong(format!("no {missing}"));
    }
    members.iter().find_map(|(name, member)| {
        let known = schema.get("properties").and_then(|known| known.get(name));
        match known.or(schema.get("additionalProperties")) {
            Some(Value::Bool(false)) => wrong(format!("{name} is not foreseen")),
            Some(schema) => objection(document, schema, member).map(|why| format!("{name}: {why}")),
            None => None,
        }
    })
}

#[tokio::test]
async fn what_is_answered_is_what_it_says() {
    let paths = paths().await;
    let document = document(&paths).await;
    let operations = operations(&document);
    assert!(operations.len() > 20, "{}", operations.len());
    for (method, path, says) in operations {
        let query = if path.ends_with("/gaps") { "?since=2026-11-01T00:00:00Z" } else { "" };
        let body = &says["requestBody"]["content"]["application/json"]["example"];
        let path = path.replace("/events/{id}", &format!("/events/{}", event(0).id));
        let path = path.replace("{id}", "1").replace("{name}", "cms").replace("{n}", "0");
        // A dead letter is told whole only where that is asked for.
        for query in if path.ends_with("/dead-letters") { vec!["", "?whole=true"] } else { vec![query] } {
            let (status, kind, answer) = ask(&paths, &method, &format!("{path}{query}"), body).await;
            let response = &says["responses"][status.to_string()];
            assert!(response.is_object(), "{method} {path}: {status} is not foreseen");
            let response = match response.get("$ref") {
                Some(_) => &document["components"]["responses"]["Problem"],
                None => response,
            };
            let schema = &response["content"][&kind]["schema"];
            assert!(!schema.is_null(), "{method} {path}: {kind} is not foreseen");
            if kind == "application/json" {
                let answer = serde_json::from_slice(&answer).unwrap();
                assert_eq!(objection(&document, schema, &answer), None, "{method} {path}{query}");
            }
        }
    }
}

#[tokio::test]
async fn its_examples_are_what_it_says() {
    let document = document(&paths().await).await;
    for (method, path, says) in operations(&document) {
        let content = &says["requestBody"]["content"]["application/json"];
        assert_eq!(content.is_null(), method != "post", "{method} {path}");
        assert_eq!(objection(&document, &content["schema"], &content["example"]), None, "{method} {path}");
        for parameter in says["parameters"].as_array().unwrap() {
            let Some(example) = parameter.get("example") else { continue };
            assert_eq!(objection(&document, &parameter["schema"], example), None, "{path} {parameter}");
        }
        let named = path.matches('{').count();
        let in_path = says["parameters"].as_array().unwrap().iter().filter(|one| one["in"] == "path").count();
        assert_eq!(named, in_path, "{path}");
    }
}

#[test]
fn an_objection_is_found() {
    let document = json!({"name": {"type": "string", "enum": ["a"]}});
    let schema = json!({
        "type": "object", "required": ["a"], "additionalProperties": false,
        "properties": {"a": {"$ref": "#/name"}, "b": {"anyOf": [{"type": "integer"}, {"type": "null"}]}},
    });
    let check = |value: Value, agrees: bool| {
        assert_eq!(objection(&document, &schema, &value).is_none(), agrees, "{value}");
    };
    check(json!({"a": "a", "b": null}), true);
    check(json!({"a": "b"}), false);
    check(json!({"b": 1}), false);
    check(json!({"a": "a", "b": "1"}), false);
    check(json!({"a": "a", "c": 1}), false);
    check(json!([]), false);
}

#[tokio::test]
async fn what_it_does_not_have_is_not_served() {
    let paths = paths().await;
    let document = document(&paths).await;
    for (_, path, _) in operations(&document) {
        let known = document["paths"][&path].as_object().unwrap();
        let asked = path.replace("{id}", "1").replace("{name}", "cms");
        for method in ["get", "post", "put", "patch", "delete"] {
            if !known.contains_key(method) {
                let (status, kind, _) = ask(&paths, method, &asked, &json!({})).await;
                assert_eq!((status, kind.as_str()), (405, "application/json"), "{method} {path}");
            }
        }
    }
}
