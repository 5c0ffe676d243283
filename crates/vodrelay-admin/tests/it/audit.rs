//! Tokens with roles, and what is remembered of who did what.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;
use vodrelay_admin::{AdminState, Role, Token, router};
use vodrelay_core::config::Secret;
use vodrelay_core::testing::{MemoryJournal, MockJudge};
use vodrelay_core::{Name, SystemClock};

/// A relay with the token `plain`, and `see` and `do` for the tokens `watcher` and `ops`.
fn paths() -> Router {
    let token = |name: &str, role, secret: &str| Token {
        name: Some(Name::new(name).unwrap()),
        role,
        secret: Secret::new(secret),
    };
    let tokens =
        [crate::operating("plain"), token("watcher", Role::Read, "see"), token("ops", Role::Operate, "do")];
    let journal = Arc::new(MemoryJournal::new(Arc::new(SystemClock)));
    router(AdminState { tokens: tokens.into_iter().collect(), ..crate::state(journal, MockJudge::new()) })
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
