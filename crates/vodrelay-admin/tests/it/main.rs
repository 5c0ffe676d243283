//! The admin listener as its callers see it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod audit;
mod connections;
mod events;
mod gaps;
mod images;
mod openapi;
mod orders;
mod page;
mod probes;
mod refused;
mod replays;
mod stream;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use tower::ServiceExt;
use vodrelay_admin::{AdminState, Metrics, Role, Token, Tokens, router};
use vodrelay_core::config::Secret;
use vodrelay_core::routing::Filter;
use vodrelay_core::testing::{MemoryJournal, MockJudge, MockLedger};
use vodrelay_core::{
    Drain, JournalError, Judge, Ledger, Name, Probes, Readmission, Replayer, Routes, SinkBacklog, SinkName,
    SourceName, Standings, SystemClock, Totals,
};

struct Setup {
    journal: Result<(), JournalError>,
    draining: bool,
    token: Option<&'static str>,
}

const WELL: Setup = Setup { journal: Ok(()), draining: false, token: None };

impl Setup {
    fn router(self) -> Router {
        let mut ledger = MockLedger::new();
        ledger.expect_writable().returning(move || self.journal.clone());
        ledger.expect_totals().returning(|| Ok(Totals { events: 12, ..Totals::default() }));
        ledger.expect_backlogs().returning(|| {
            let oldest_pending_at = Some("2020-01-01T00:00:00Z".parse().unwrap());
            let backlog = |name: &str, pending| {
                let sink = SinkName::new(name).unwrap();
                SinkBacklog {
                    sink,
                    pending,
                    dead_letters: 1,
                    delivered: 8,
                    oldest_pending_at,
                    retry_due_at: None,
                    paused: None,
                }
            };
            Ok(vec![backlog("cms", 3), backlog("gone", 5)])
        });
        let draining = Arc::new(AtomicBool::new(self.draining));
        let tokens = self.token.map(operating).into_iter().collect();
        router(AdminState { draining, tokens, ..state(Arc::new(ledger), MockJudge::new()) })
    }
}

/// What is told of a relay with the sinks `cms` and `new`, over that ledger, and a journal that is in nobody's way.
fn state(ledger: Arc<dyn Ledger>, judge: impl Judge + 'static) -> AdminState {
    let journal = Arc::new(MemoryJournal::new(Arc::new(SystemClock)));
    let names = ["cms", "new"].map(|name| SinkName::new(name).unwrap());
    let routes = Arc::new(Routes::new(names.iter().map(|name| (name.clone(), Filter::default())).collect()));
    let readmission = Readmission::new(journal, Arc::clone(&routes), Arc::clone(&ledger), Arc::new(judge));
    AdminState {
        readmission: Arc::new(readmission),
        replayer: Replayer::new(Arc::clone(&ledger), Arc::clone(&routes)),
        routes: routes.into(),
        ledger,
        draining: Arc::default(),
        metrics: Metrics::detached().unwrap(),
        clock: Arc::new(SystemClock),
        tokens: Tokens::default(),
        sinks: names.into(),
        sources: vec![SourceName::callback(&Name::new("main").unwrap())],
        standings: Standings::default(),
        images: BTreeMap::new(),
        probes: Probes::default(),
        drain: Drain::default(),
    }
}

/// A token that has no name, and may do everything.
fn operating(secret: &str) -> Token {
    Token { name: None, role: Role::Operate, secret: Secret::new(secret) }
}

async fn ask(setup: Setup, path: &str, authorization: &str) -> (u16, String) {
    let request = Request::get(path).header("authorization", authorization).body(Body::empty()).unwrap();
    let response = setup.router().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn health() {
    let check = async |setup: Setup, path: &str, status: u16, body: &str| {
        assert_eq!(ask(setup, path, "").await, (status, body.to_owned()), "{path}");
    };
    let full = || Err(JournalError::Full("1 MiB left".to_owned()));
    check(WELL, "/livez", 200, "ok\n").await;
    check(Setup { journal: full(), draining: true, ..WELL }, "/livez", 200, "ok\n").await;
    check(WELL, "/readyz", 200, "ok\n").await;
    check(WELL, "/readyz?verbose", 200, "journal: ok\nrunning: ok\n").await;
    check(Setup { draining: true, ..WELL }, "/readyz", 503, "not ready\n").await;
    check(
        Setup { draining: true, ..WELL },
        "/readyz?verbose",
        503,
        "journal: ok\nrunning: the relay is stopping\n",
    )
    .await;
    let text = "journal: the journal has no room: 1 MiB left\nrunning: ok\n";
    check(Setup { journal: full(), ..WELL }, "/readyz?verbose=1", 503, text).await;
    check(Setup { token: Some("t"), ..WELL }, "/readyz", 200, "ok\n").await;
    check(Setup { token: Some("t"), ..WELL }, "/livez", 200, "ok\n").await;
}

#[tokio::test]
async fn the_token() {
    let check = async |token: Option<&'static str>, path: &str, authorization: &str, status: u16| {
        assert_eq!(
            ask(Setup { token, ..WELL }, path, authorization).await.0,
            status,
            "{path} {authorization:?}"
        );
    };
    check(None, "/metrics", "", 200).await;
    check(Some("secret"), "/metrics", "", 401).await;
    check(Some("secret"), "/metrics", "secret", 401).await;
    check(Some("secret"), "/metrics", "Bearer secre", 401).await;
    check(Some("secret"), "/metrics", "Bearer secrets", 401).await;
    check(Some("secret"), "/metrics", "Basic secret", 401).await;
    check(Some("secret"), "/metrics", "Bearer secret", 200).await;
    check(Some("secret"), "/metrics", "bearer secret", 200).await;
    check(Some("secret"), "/nothing", "", 401).await;
    check(Some("secret"), "/nothing", "Bearer secret", 404).await;
    let (_, body) = ask(WELL, "/nothing", "").await;
    assert_eq!(body, r#"{"error":"there is nothing at this path"}"#);
}

#[tokio::test]
async fn a_scrape_has_the_journals_figures() {
    let (_, text) = ask(WELL, "/metrics", "").await;
    for line in [
        r#"vodrelay_sink_pending{sink="cms"} 3"#,
        r#"vodrelay_sink_dead_letters{sink="cms"} 1"#,
        r#"vodrelay_orphaned_deliveries{sink="cms"} 0"#,
        r#"vodrelay_sink_paused{sink="cms"} 0"#,
        r#"vodrelay_sink_paused{sink="new"} 0"#,
        r#"vodrelay_orphaned_deliveries{sink="gone"} 5"#,
        r#"vodrelay_sink_oldest_pending_seconds{sink="cms"} "#,
        "vodrelay_journal_events 12",
        r#"vodrelay_build_info{version=""#,
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
}

#[tokio::test]
async fn the_sinks_are_those_of_the_configuration_and_of_the_journal() {
    let (status, body) = ask(WELL, "/api/v1/sinks", "").await;
    assert_eq!(status, 200, "{body}");
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    let sink = |name: &str, configured, pending, oldest: Option<&str>| {
        let is_new = name == "new";
        let (dead_letters, delivered) = if is_new { (0, 0) } else { (1, 8) };
        serde_json::json!({
            "sink": name, "configured": configured, "pending": pending, "dead_letters": dead_letters,
            "delivered": delivered, "oldest_pending_at": oldest, "paused": null, "breaker": null,
        })
    };
    let long_ago = Some("2020-01-01T00:00:00Z");
    let expected =
        [sink("cms", true, 3, long_ago), sink("gone", false, 5, long_ago), sink("new", true, 0, None)];
    assert_eq!(body["sinks"], serde_json::json!(expected));
    assert_eq!(ask(Setup { token: Some("secret"), ..WELL }, "/api/v1/sinks", "").await.0, 401);
}
