//! Tokens with roles, and what is remembered of who did what.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use tower::ServiceExt;
use vodrelay_admin::{AdminState, Role, Token, router};
use vodrelay_core::config::Secret;
use vodrelay_core::testing::{MemoryJournal, MockJudge, MockLedger};
use vodrelay_core::{Ledger, Name, Pause, SystemClock};

/// A relay with the token `plain`, and `see` and `do` for the tokens `watcher` and `ops`.
fn paths() -> Router {
    over(Arc::new(MemoryJournal::new(Arc::new(SystemClock))))
}

fn over(ledger: Arc<dyn Ledger>) -> Router {
    let token = |name: &str, role, secret: &str| Token {
        name: Some(Name::new(name).unwrap()),
        role,
        secret: Secret::new(secret),
    };
    let tokens =
        [crate::operating("plain"), token("watcher", Role::Read, "see"), token("ops", Role::Operate, "do")];
    router(AdminState { tokens: tokens.into_iter().collect(), ..crate::state(ledger, MockJudge::new()) })
}

async fn ask(router: &Router, token: &str, method: &str, path: &str, body: &str) -> (u16, Value) {
    let mut request = Request::builder()
        .method(method)
        .uri(format!("/api/v1{path}"))
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json")
        .body(Body::from(body.to_owned()))
        .unwrap();
    request.extensions_mut().insert(ConnectInfo::<SocketAddr>("192.0.2.7:4711".parse().unwrap()));
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

#[tokio::test]
async fn a_role_says_what_a_token_is_good_for() {
    let paths = paths();
    let check = async |token: &str, reads: u16, changes: u16| {
        assert_eq!(ask(&paths, token, "GET", "/sinks", "").await.0, reads, "{token}");
        let (status, body) = ask(&paths, token, "POST", "/sinks/cms/pause", "{}").await;
        assert_eq!(status, changes, "{token}: {body}");
    };
    check("plain", 200, 200).await;
    check("do", 200, 200).await;
    check("see", 200, 403).await;
    check("se", 401, 401).await;
    check("", 401, 401).await;
    check("see do", 401, 401).await;
    let (_, body) = ask(&paths, "see", "POST", "/replay", "{}").await;
    assert!(body["error"].as_str().unwrap().starts_with("watcher may read"), "{body}");
}

#[tokio::test]
async fn what_was_done_is_remembered_with_who_did_it() {
    let paths = paths();
    let reason = r#"{"reason": "<script>\n"}"#;
    assert_eq!(ask(&paths, "do", "POST", "/sinks/cms/pause", reason).await.0, 200);
    assert_eq!(ask(&paths, "plain", "POST", "/sinks/cms/forget", "{}").await.0, 409);
    // None of these changes anything.
    assert_eq!(ask(&paths, "see", "POST", "/sinks/cms/resume", "{}").await.0, 403);
    assert_eq!(ask(&paths, "do", "POST", "/sinks/cms/resume", "{").await.0, 400);
    assert_eq!(ask(&paths, "do", "POST", "/nothing", "{}").await.0, 404);
    let dry = r#"{"what": "unrouted", "dry_run": true}"#;
    assert_eq!(ask(&paths, "do", "POST", "/replay", dry).await.0, 200);
    let wet = r#"{"what": "unrouted"}"#;
    assert_eq!(ask(&paths, "do", "POST", "/replay", wet).await.0, 200);

    let (status, page) = ask(&paths, "see", "GET", "/audit?limit=2", "").await;
    assert_eq!(status, 200, "{page}");
    let replay = &page["audit"][0];
    assert_eq!((&replay["action"], &replay["token"]), (&json!("POST /api/v1/replay"), &json!("ops")));
    assert_eq!((&replay["result"]["again"], &replay["result"]["items"]), (&json!(0), &Value::Null));
    let forget = &page["audit"][1];
    assert_eq!((&forget["status"], &forget["token"]), (&json!(409), &Value::Null));
    let (_, page) = ask(&paths, "see", "GET", &format!("/audit?after={}", page["next"]), "").await;
    let pause = &page["audit"][0];
    assert_eq!(pause["address"], "192.0.2.7:4711");
    assert_eq!(pause["request"], json!({"reason": "<script>\n"}));
    assert_eq!(pause["result"]["reason"], "<script>\n");
    assert_eq!((page["audit"].as_array().unwrap().len(), &page["next"]), (1, &Value::Null));
    assert_eq!(ask(&paths, "see", "GET", "/audit?before=1", "").await.0, 400);
}

#[tokio::test]
async fn what_is_done_for_one_who_goes_away_is_done_to_its_end_and_noted() {
    let paths = paths();
    // Asked, and gone before the answer.
    let wet = r#"{"what": "unrouted"}"#;
    for (path, body) in [("/sinks/cms/pause", "{}"), ("/replays", wet)] {
        tokio::select! {
            biased;
            answer = ask(&paths, "do", "POST", path, body) => panic!("{path} was answered: {answer:?}"),
            () = std::future::ready(()) => {}
        }
    }
    let all_is_noted = async {
        loop {
            let (_, page) = ask(&paths, "see", "GET", "/audit", "").await;
            let (_, jobs) = ask(&paths, "see", "GET", "/replays", "").await;
            if page["audit"].as_array().unwrap().len() == 2 && jobs["replays"][0]["state"] == "done" {
                break;
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(20), all_is_noted).await.unwrap();
    let (_, sinks) = ask(&paths, "see", "GET", "/sinks", "").await;
    assert!(sinks["sinks"][0]["paused"].is_object(), "{sinks}");
}

#[tokio::test]
async fn a_long_answer_to_a_change_comes_whole() {
    let mut ledger = MockLedger::new();
    let reason = "long ".repeat(1 << 18);
    let pause = Pause { since: "2026-11-01T10:00:00Z".parse().unwrap(), reason: Some(reason.clone()) };
    ledger.expect_backlogs().returning(|| Ok(Vec::new()));
    ledger.expect_pause().returning(move |_, _| Ok(pause.clone()));
    ledger.expect_note_deed().once().returning(|_| Ok(()));
    let (status, body) = ask(&over(Arc::new(ledger)), "do", "POST", "/sinks/cms/pause", "{}").await;
    assert_eq!(status, 200);
    assert_eq!(body["reason"], json!(reason));
}
