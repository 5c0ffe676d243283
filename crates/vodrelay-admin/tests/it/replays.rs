//! Replays that go on by themselves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;
use vodrelay_admin::{AdminState, router};
use vodrelay_core::testing::{MemoryJournal, MockJudge, envelope_of, event_body};
use vodrelay_core::{Journal, SystemClock};

use crate::state;

/// A relay that holds so many events that no sink has, which both of its sinks want today.
async fn setup(events: usize) -> (Arc<MemoryJournal>, Arc<AtomicBool>, Router) {
    let journal = Arc::new(MemoryJournal::new(Arc::new(SystemClock)));
    for number in 0..events {
        let event = envelope_of(event_body(number), "2026-11-01T10:00:00Z".parse().unwrap());
        journal.append(&event, &[]).await.unwrap();
    }
    let draining = Arc::<AtomicBool>::default();
    let told =
        AdminState { draining: Arc::clone(&draining), ..state(Arc::clone(&journal) as _, MockJudge::new()) };
    (journal, draining, router(told))
}

async fn ask(router: &Router, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let request = Request::builder()
        .method(method)
        .uri(format!("/api/v1/replays{path}"))
        .header("content-type", "application/json")
        .body(Body::from(body.to_string()))
        .unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

/// How the job stands once it has ended.
async fn ended(router: &Router, id: &Value) -> Value {
    loop {
        let (status, job) = ask(router, "GET", &format!("/{id}"), &Value::Null).await;
        assert_eq!(status, 200, "{job}");
        if job.get("state") != Some(&json!("running")) {
            return job;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_takes_all_that_is_meant() {
    let (_, _, paths) = setup(1_201).await;
    let (status, job) = ask(&paths, "POST", "", &json!({"what": "unrouted"})).await;
    assert_eq!((status, &job["state"], &job["id"]), (202, &json!("running"), &json!(1)));
    let job = ended(&paths, &job["id"]).await;
    assert_eq!(
        (&job["state"], &job["added"], &job["looked_at"]),
        (&json!("done"), &json!(2_402), &json!(1_201))
    );
    assert_eq!(job["error"], Value::Null);
    assert!(job["ended_at"].is_string());
    let (_, page) = ask(&paths, "GET", "?limit=1", &Value::Null).await;
    assert_eq!((&page["replays"][0], &page["next"]), (&job, &json!(1)));
    assert_eq!(ask(&paths, "DELETE", "/1", &Value::Null).await.0, 409);
}

#[tokio::test(start_paused = true)]
async fn a_job_ends_where_somebody_says_so_or_the_relay_stops() {
    let (_, draining, paths) = setup(2_000).await;
    let begin = async || ask(&paths, "POST", "", &json!({"what": "unrouted", "dry_run": true})).await.1;
    let job = begin().await;
    assert_eq!(ask(&paths, "DELETE", &format!("/{}", job["id"]), &Value::Null).await.0, 200);
    let cancelled = ended(&paths, &job["id"]).await;
    assert_eq!(cancelled["state"], "cancelled");
    assert!(cancelled["looked_at"].as_u64().unwrap() < 2_000, "{cancelled}");
    let job = begin().await;
    draining.store(true, Ordering::Relaxed);
    assert_eq!(ended(&paths, &job["id"]).await["state"], "interrupted");
}

#[tokio::test(start_paused = true)]
async fn what_makes_no_sense_begins_nothing() {
    let (_, _, paths) = setup(1_000).await;
    let check = async |body: Value, status: u16| {
        let (found, answer) = ask(&paths, "POST", "", &body).await;
        assert_eq!(found, status, "{body}: {answer}");
    };
    check(json!({"what": "everything"}), 422).await;
    check(json!({"what": "events"}), 422).await;
    check(json!({"what": "sink", "filter": {"sink": "gone"}}), 409).await;
    check(json!({"what": "unrouted", "after": 7}), 422).await;
    check(json!({"what": "unrouted", "limit": 7}), 422).await;
    for _ in 0..4 {
        check(json!({"what": "unrouted", "dry_run": true}), 202).await;
    }
    check(json!({"what": "unrouted", "dry_run": true}), 409).await;
    assert_eq!(ask(&paths, "GET", "/99", &Value::Null).await.0, 404);
    assert_eq!(ask(&paths, "GET", "/x", &Value::Null).await.0, 400);
    assert_eq!(ask(&paths, "DELETE", "/99", &Value::Null).await.0, 404);
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_fails_ends_it_with_the_reason() {
    let (journal, _, paths) = setup(1_000).await;
    let (_, job) = ask(&paths, "POST", "", &json!({"what": "unrouted"})).await;
    journal.fail_with(Some(vodrelay_core::JournalError::Full("1 MiB left".to_owned())));
    tokio::time::sleep(Duration::from_secs(1)).await;
    journal.fail_with(None);
    // How it ended could not be noted either, and is told all the same.
    let job = ended(&paths, &job["id"]).await;
    assert_eq!(job["state"], "failed");
    assert!(job["error"].as_str().unwrap().contains("1 MiB left"), "{job}");
}
