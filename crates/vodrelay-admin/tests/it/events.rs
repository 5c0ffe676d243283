//! Events in lists, whole, and as bytes.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;
use vodrelay_admin::router;
use vodrelay_core::ledger::{EventFilter, Page, Standing};
use vodrelay_core::testing::{MemoryJournal, MockJudge, MockLedger, envelope_of, event_body};
use vodrelay_core::{Envelope, Journal, SinkName, SystemClock};

use crate::state;

fn event(number: usize) -> Envelope {
    envelope_of(event_body(number), "2026-11-01T10:00:00Z".parse().unwrap())
}

/// A relay that has accepted three events, the second of them for nobody.
async fn paths() -> Router {
    let journal = Arc::new(MemoryJournal::new(Arc::new(SystemClock)));
    for number in 0..3 {
        let sinks = if number == 1 { vec![] } else { vec![SinkName::new("cms").unwrap()] };
        journal.append(&event(number), &sinks).await.unwrap();
    }
    router(state(journal, MockJudge::new()))
}

async fn raw(router: &Router, path: &str) -> (u16, HeaderMap, Vec<u8>) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    (status, headers, response.into_body().collect().await.unwrap().to_bytes().to_vec())
}

async fn get(router: &Router, path: &str) -> (u16, Value) {
    let (status, _, body) = raw(router, path).await;
    (status, serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn a_page_and_the_next_one() {
    let paths = paths().await;
    let (status, page) = get(&paths, "/api/v1/events?limit=2").await;
    assert_eq!(status, 200, "{page}");
    let event = event(2);
    let read = event.event().unwrap();
    let expected = json!({
        "id": event.id, "seq": 3, "received_at": "2026-11-01T10:00:00Z", "event_type": "DynamicImageComplete",
        "status": "success", "event_time": read.event_time, "video_id": read.video_id, "media_id": null,
        "job_id": read.job_id, "sources": [event.source], "labels": *event.labels, "state": "pending",
        "deliveries": [{"sink": "cms", "state": "waiting"}], "doubts": 0, "unreadable": null,
    });
    assert_eq!(page["events"][0], expected);
    assert_eq!((&page["events"][1]["state"], &page["next"]), (&json!("unrouted"), &json!(2)));
    let (_, page) = get(&paths, "/api/v1/events?limit=2&after=2").await;
    assert_eq!((&page["events"][0]["seq"], &page["next"]), (&json!(1), &Value::Null));
}

#[tokio::test]
async fn a_question_becomes_a_filter() {
    let expected = EventFilter {
        event_type: Some("SnapshotComplete".to_owned()),
        status: Some("success".to_owned()),
        video_id: Some("<b>&".to_owned()),
        job_id: Some("j".to_owned()),
        source: Some("queues.main".parse().unwrap()),
        labels: [("region".to_owned(), "a=b".to_owned()), ("team".to_owned(), String::new())].into(),
        since: Some("2024-03-05T09:12:58Z".parse().unwrap()),
        until: Some("2024-03-06T09:12:58Z".parse().unwrap()),
        standing: Some(Standing::Dead),
    };
    let mut ledger = MockLedger::new();
    ledger
        .expect_events()
        .withf(move |filter, after, limit| (filter, *after, *limit) == (&expected, Some(7), 1_000))
        .returning(|_, _, _| Ok(Page::default()));
    let paths = router(state(Arc::new(ledger), MockJudge::new()));
    let path = "/api/v1/events?type=SnapshotComplete&status=Succeed&video=%3Cb%3E%26&job=j&source=queues.main\
        &label.region=a%3Db&label.team=&since=2024-03-05T09:12:58Z&until=2024-03-06T09:12:58Z&state=dead&after=7\
        &limit=5000";
    assert_eq!(get(&paths, path).await, (200, json!({"events": [], "next": null})));
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_by_name() {
    let paths = paths().await;
    let check = async |path: &str, says: &str| {
        let (status, body) = get(&paths, &format!("/api/v1/events{path}")).await;
        let error = body["error"].as_str().unwrap_or_default();
        assert!(status == 400 && error.starts_with(says), "{path}: {status} {body}");
    };
    check("?limit=0", "limit: ").await;
    check("?limit=-1", "limit: ").await;
    check("?limit=99999999999999999999999", "limit: ").await;
    check("?after=18446744073709551615", "after: ").await;
    check("?after=x", "after: ").await;
    check("?since=yesterday", "since: ").await;
    check("?until=", "until: ").await;
    check("?state=lost", "state: ").await;
    check("?source=nowhere", "source: ").await;
    check("?vidoe=1", "vidoe: ").await;
    check("?label.=1", "label.: ").await;
    check("?type=a&type=b", "type: ").await;
    let many: String = (0..20).map(|number| format!("label.l{number}=1&")).collect();
    check(&format!("?{many}"), "label.l16: ").await;
    check("/nothing", "id: ").await;
    check("/evt_2", "id: ").await;
    check("/%3Cscript%3E/body", "id: ").await;
    let id = event(9).id;
    assert_eq!(get(&paths, &format!("/api/v1/events/{id}")).await.0, 404);
    assert_eq!(get(&paths, &format!("/api/v1/events/{id}/body")).await.0, 404);
    assert_eq!(get(&paths, "/api/v1/events?video=%00%FF").await.0, 200);
}

#[tokio::test]
async fn an_event_whole_and_why_each_sink_gets_it() {
    let (paths, event) = (paths().await, event(0));
    let (status, whole) = get(&paths, &format!("/api/v1/events/{}", event.id)).await;
    assert_eq!(status, 200, "{whole}");
    assert_eq!(whole["event"], serde_json::to_value(event.event().unwrap().identified(event.id)).unwrap());
    assert_eq!((&whole["state"], &whole["is_intact"]), (&json!("pending"), &json!(true)));
    assert_eq!(whole["deliveries"][0]["sink"], "cms");
    assert_eq!(
        (&whole["deliveries"][0]["state"], &whole["deliveries"][0]["attempts"]),
        (&json!("waiting"), &json!(0))
    );
    let verdict = |sink| json!({"sink": sink, "takes": true, "why": "every filter matches"});
    assert_eq!(whole["routing"], json!([verdict("cms"), verdict("new")]));
    assert_eq!(whole["sha256"].as_str().unwrap().len(), 64);
}

#[tokio::test]
async fn the_bytes_are_nothing_that_a_browser_shows() {
    let (paths, event) = (paths().await, event(0));
    let (status, headers, body) = raw(&paths, &format!("/api/v1/events/{}/body", event.id)).await;
    assert_eq!((status, body), (200, event.body.to_vec()));
    assert_eq!(headers["content-type"], "application/octet-stream");
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert_eq!(headers["content-disposition"], format!("attachment; filename=\"{}.json\"", event.id));
}
