//! Which filters let which events through.

use serde_json::{Value, json};
use vodrelay_core::routing::Filter;
use vodrelay_core::{Labels, Name, Routes, SourceName};

fn filter(value: Value) -> Filter {
    serde_json::from_value(value).unwrap()
}

fn source() -> SourceName {
    SourceName::callback(&Name::new("main").unwrap())
}

/// Whether a sink with that filter gets the event, which comes from `callbacks.main` with the label region=cn-shanghai.
#[track_caller]
fn check(wanted: impl Into<Value>, event: &Value, takes: bool) {
    let wanted = wanted.into();
    let routes = Routes::new(vec![(Name::new("cms").unwrap(), filter(wanted.clone()))]);
    let body = event.to_string();
    let reading = vod_event::read(body.as_bytes()).unwrap();
    let labels = Labels::from([("region".to_owned(), "cn-shanghai".to_owned())]);
    let sinks = routes.sinks_for(&reading, &source(), &labels);
    assert_eq!(
        !sinks.is_empty(),
        takes,
        "{wanted} for {event}: {:?}",
        routes.explain(&reading, &source(), &labels)
    );
}

fn event() -> Value {
    json!({
        "EventType": "DynamicImageComplete", "Status": "success", "VideoId": "v1", "JobId": "j1",
        "EventTime": "2024-03-05T09:12:58Z", "Extend": "{\"env\":\"prod\",\"team\":{\"id\":7}}", "AppId": "app-1000000",
        "DynamicImageJobInfo": "{\"JobId\":\"j1\",\"Status\":\"success\",\"FileURL\":\"http://a/b.gif\",\"Width\":\"200\"}",
    })
}

#[test]
fn an_empty_filter_takes_everything() {
    check(json!({}), &event(), true);
}

#[test]
fn by_type_status_source_and_label() {
    check(json!({"events": ["DynamicImageComplete"]}), &event(), true);
    check(json!({"events": "DynamicImageComplete"}), &event(), true);
    check(json!({"events": ["TranscodeComplete"]}), &event(), false);
    check(json!({"status": ["success"]}), &event(), true);
    check(json!({"status": ["fail"]}), &event(), false);
    check(json!({"sources": ["callbacks.main"]}), &event(), true);
    check(json!({"sources": ["queues.main"]}), &event(), false);
    check(json!({"labels": {"region": ["cn-beijing", "cn-shanghai"]}}), &event(), true);
    check(json!({"labels": {"region": "cn-beijing"}}), &event(), false);
    check(json!({"labels": {"zone": "a"}}), &event(), false);
    check(json!({"events": ["DynamicImageComplete"], "status": ["fail"]}), &event(), false);
}

#[test]
fn a_status_of_its_own_or_none_passes_only_without_a_status_filter() {
    for status in [Value::Null, json!("Paused")] {
        let mut odd = event();
        odd["Status"] = status;
        check(json!({}), &odd, true);
        check(json!({"status": ["success", "fail"]}), &odd, false);
    }
}

#[test]
fn by_fields_also_inside_strings() {
    check(json!({"where": {"AppId": "app-1000000"}}), &event(), true);
    check(json!({"where": {"VideoId": ["v0", "v1"]}}), &event(), true);
    check(json!({"where": {"Extend.env": "prod"}}), &event(), true);
    check(json!({"where": {"Extend.env": "test"}}), &event(), false);
    check(json!({"where": {"Extend.team.id": 7}}), &event(), true);
    check(json!({"where": {"DynamicImageJobInfo.Width": 200}}), &event(), true);
    check(json!({"where": {"Extend.nothing": "x"}}), &event(), false);
    check(json!({"where": {"Extend.nothing": {"any_of": ["x"], "or_absent": true}}}), &event(), true);
    check(json!({"where": {"Extend.env": {"any_of": ["x"], "or_absent": true}}}), &event(), false);
}

#[test]
fn what_matches_no_sink_goes_to_those_that_take_the_unmatched() {
    let name = |text: &str| Name::new(text).unwrap();
    let routes = Routes::new(vec![
        (name("failures"), filter(json!({"status": ["fail"]}))),
        (name("rest"), filter(json!({"unmatched": true}))),
    ]);
    let labels = Labels::new();
    let sinks_of = |event: &Value| {
        let body = event.to_string();
        routes.sinks_for(&vod_event::read(body.as_bytes()).unwrap(), &source(), &labels)
    };
    let mut failed = event();
    failed["Status"] = json!("fail");
    assert_eq!(sinks_of(&failed), [name("failures")]);
    assert_eq!(sinks_of(&event()), [name("rest")]);
}

#[test]
fn a_wrong_filter_says_what_is_expected() {
    let error = |value: Value| serde_json::from_value::<Filter>(value).unwrap_err().to_string();
    assert!(error(json!({"event": ["x"]})).contains("unknown field `event`"));
    assert!(error(json!({"events": {"a": 1}})).contains("expected a string or a list of strings"));
    assert!(error(json!({"where": {"a": {"any": []}}})).contains("expected `any_of` or `or_absent`"));
}
