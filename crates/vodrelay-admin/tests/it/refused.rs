//! The paths of refused requests.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;
use vodrelay_admin::router;
use vodrelay_core::judge::{Judgement, Match, Resemblance};
use vodrelay_core::testing::{MemoryJournal, MockJudge, event_body};
use vodrelay_core::{Labels, Ledger, Name, Refusal, RefusalCause, SourceName, SystemClock};

/// Everything but the second refusal is genuine.
fn judge() -> MockJudge {
    let mut judge = MockJudge::new();
    judge.expect_callbacks().returning(|| vec![Name::new("main").unwrap()]);
    judge.expect_judge().returning(|refusal| match refusal.cause {
        RefusalCause::Missing => Judgement::Unproven(RefusalCause::Missing, "no proof".to_owned()),
        _ => {
            let labels = Arc::new(Labels::new());
            Judgement::Proven(Match { key: "new".to_owned(), off_by_seconds: 0, labels })
        }
    });
    judge.expect_find_near_miss().returning(|_| Some(Resemblance::Callback(Name::new("other").unwrap())));
    judge
}

/// Three refusals, one minute apart, the second without a proof.
async fn paths() -> Router {
    let journal = Arc::new(MemoryJournal::new(Arc::new(SystemClock)));
    for (number, cause) in
        [RefusalCause::Mismatch, RefusalCause::Missing, RefusalCause::Mismatch].into_iter().enumerate()
    {
        let refusal = Refusal {
            source: SourceName::callback(&Name::new("main").unwrap()),
            cause,
            detail: "in words".to_owned(),
            received_at: format!("2026-11-01T10:0{number}:00Z").parse().unwrap(),
            address: format!("192.0.2.{number}"),
            timestamp: Some("1700000000".to_owned()),
            signature: Some("5ec2e7".to_owned()),
            body: event_body(number),
            cut_short: number == 2,
        };
        journal.refuse(vec![refusal]).await.unwrap();
    }
    router(crate::state(journal, judge()))
}

async fn ask(router: &Router, request: Request<Body>) -> (u16, Value) {
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8(body.to_vec()).unwrap();
    assert!(!text.contains("5ec2e7"), "no answer has a signature: {text}");
    (status, serde_json::from_str(&text).unwrap())
}

pub(crate) async fn get(router: &Router, path: &str) -> (u16, Value) {
    ask(router, Request::get(format!("/api/v1{path}")).body(Body::empty()).unwrap()).await
}

async fn post(router: &Router, path: &str, body: Value) -> (u16, Value) {
    let request = Request::post(format!("/api/v1{path}")).header("content-type", "application/json");
    ask(router, request.body(body.to_string().into()).unwrap()).await
}

fn ids(page: &Value) -> Vec<u64> {
    page["refused"].as_array().unwrap().iter().map(|refusal| refusal["id"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn they_are_listed_by_pages_and_filters() {
    let paths = paths().await;
    let check = async |query: &str, expect: &[u64], next: Value| {
        let (status, page) = get(&paths, &format!("/refused?{query}")).await;
        assert_eq!((status, ids(&page), &page["next"]), (200, expect.to_vec(), &next), "{query}");
    };
    check("", &[3, 2, 1], Value::Null).await;
    check("limit=2", &[3, 2], json!(2)).await;
    check("limit=2&after=2", &[1], Value::Null).await;
    check("cause=missing", &[2], Value::Null).await;
    check("callback=main&address=192.0.2.0", &[1], Value::Null).await;
    check("since=2026-11-01T10:01:00Z&until=2026-11-01T12:02:00%2B02:00", &[2], Value::Null).await;
    check("callback=other", &[], Value::Null).await;
    let (_, page) = get(&paths, "/refused?limit=1").await;
    let expected = json!({
        "id": 3, "received_at": "2026-11-01T10:02:00Z", "source": "callbacks.main", "cause": "mismatch",
        "address": "192.0.2.2", "bytes": event_body(2).len(), "cut_short": true,
    });
    assert_eq!(page["refused"][0], expected);
    for (query, says) in
        [("cause=odd", "there are: missing"), ("since=noon", "RFC 3339"), ("colour=red", "colour")]
    {
        let (status, problem) = get(&paths, &format!("/refused?{query}")).await;
        assert_eq!(status, 400, "{query}");
        assert!(problem["error"].as_str().unwrap().contains(says), "{query}: {problem}");
    }
}

#[tokio::test]
async fn one_is_explained() {
    let paths = paths().await;
    let (status, first) = get(&paths, "/refused/1").await;
    assert_eq!(
        (status, &first["taken"], &first["today"]["judgement"]),
        (200, &json!(true), &json!("proven"))
    );
    assert_eq!(first["event"]["event_type"], "DynamicImageComplete");
    let (_, third) = get(&paths, "/refused/3").await;
    assert_eq!((&third["taken"], &third["cut_short"]), (&json!(false), &json!(true)));
    assert_eq!(get(&paths, "/refused/9").await.0, 404);
    assert_eq!(get(&paths, "/refused/nine").await.0, 400);
}

#[tokio::test]
async fn they_are_accepted_and_purged() {
    let paths = paths().await;
    let left = json!({"cut_short": 1, "missing": 1});
    let summary = |accepted, dry_run| {
        json!({
            "accepted": accepted, "merged": 0, "left": left, "stale_off_by_seconds": null, "dry_run": dry_run,
        })
    };
    let (_, foretold) = post(&paths, "/refused/accept", json!({"callback": "main", "dry_run": true})).await;
    assert_eq!(foretold, summary(1, true));
    let nothing_of_then = json!({
        "callback": "main", "until": "2000-01-01T00:00:00Z", "address": "192.0.2.9", "cause": "stale",
        "stale": true, "off_by": [-7200, -7100], "dry_run": true,
    });
    let (_, none) = post(&paths, "/refused/accept", nothing_of_then).await;
    assert_eq!((&none["accepted"], &none["left"]), (&json!(0), &json!({})));
    for wrong in [json!({"off_by": [1, 2]}), json!({"stale": true, "off_by": [1]}), json!({"cause": "x"})] {
        let mut body = json!({"callback": "main"});
        body.as_object_mut().unwrap().extend(wrong.as_object().unwrap().clone());
        assert_eq!(post(&paths, "/refused/accept", body).await.0, 422, "{wrong}");
    }
    let (status, accepted) = post(&paths, "/refused/accept", json!({"callback": "main"})).await;
    assert_eq!((status, accepted), (200, summary(1, false)));
    let (status, problem) = post(&paths, "/refused/accept", json!({"callback": "other"})).await;
    assert_eq!(status, 409);
    assert!(problem["error"].as_str().unwrap().contains("it has: main"), "{problem}");
    assert_eq!(post(&paths, "/refused/accept", json!({})).await.0, 422);

    let missing = |dry_run| json!({"cause": "missing", "dry_run": dry_run});
    assert_eq!(post(&paths, "/refused/purge", missing(true)).await.1["purged"], 1);
    assert_eq!(post(&paths, "/refused/purge", missing(false)).await.1["purged"], 1);
    assert_eq!(post(&paths, "/refused/purge", json!({"limit": 1})).await.0, 422, "a purge has no pages");
    // serde takes a list for an object, and would purge all that is kept.
    for wrong in [json!([]), json!([null, null]), json!(null)] {
        let (status, problem) = post(&paths, "/refused/purge", wrong.clone()).await;
        assert_eq!(
            (status, &problem["error"]),
            (422, &json!("the body: it is not an object; write its members by name, between { and }")),
            "{wrong}"
        );
    }
    assert_eq!(ids(&get(&paths, "/refused").await.1), [3]);
}
