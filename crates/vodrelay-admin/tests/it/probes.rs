//! A nonce is issued, and how its probe came is told.

use std::sync::Arc;

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;
use vodrelay_admin::router;
use vodrelay_core::probe::Sighting;
use vodrelay_core::testing::{MemoryJournal, MockJudge};
use vodrelay_core::{Name, SourceName, SystemClock};

#[tokio::test]
async fn a_nonce_is_issued_told_of_and_noted() {
    let journal = Arc::new(MemoryJournal::new(Arc::new(SystemClock)));
    let told = crate::state(journal, MockJudge::new());
    let probes = told.probes.clone();
    let paths = router(told);
    let ask = async |method: &str, path: &str, body: &str| -> (u16, Value) {
        let request = Request::builder().method(method).uri(format!("/api/v1{path}"));
        let request = request.header("content-type", "application/json").body(Body::from(body.to_owned()));
        let answer = paths.clone().oneshot(request.unwrap()).await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap())
    };
    let (status, issued) = ask("POST", "/probes", "{}").await;
    assert_eq!((status, &issued["lasts_seconds"]), (200, &json!(60)));
    let nonce = issued["nonce"].as_str().unwrap();
    let path = format!("/probes/{nonce}");
    assert_eq!(ask("GET", &path, "").await, (200, json!({"seen": null})));
    let sighting = Sighting {
        at: "2026-11-24T10:00:00Z".parse().unwrap(),
        source: SourceName::callback(&Name::new("main").unwrap()),
        address: "192.0.2.1".to_owned(),
        outcome: "proven",
    };
    assert!(probes.take(nonce.as_bytes(), sighting));
    let seen = json!({
        "at": "2026-11-24T10:00:00Z", "source": "callbacks.main", "address": "192.0.2.1", "outcome": "proven",
    });
    assert_eq!(ask("GET", &path, "").await, (200, json!({"seen": seen})));
    assert_eq!(ask("GET", "/probes/nobody", "").await.0, 404);
    for _ in 0..31 {
        assert_eq!(ask("POST", "/probes", "{}").await.0, 200);
    }
    let (status, said) = ask("POST", "/probes", "{}").await;
    assert_eq!(status, 409, "{said}");
    let (_, audit) = ask("GET", "/audit?limit=2", "").await;
    assert_eq!(audit["audit"][0]["action"], "POST /api/v1/probes");
}
