//! `replay` while the relay is at it: how far it is, and what Ctrl-C does. The relay here is a stand-in that takes as long as
//! the test wants.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::cli::vodrelay;
use crate::events::Running;
use crate::relay::{configuration, free_port, until};

const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Default)]
struct Relay {
    looked_at: AtomicU64,
    cancelled: AtomicBool,
    ends_as: &'static str,
}

impl Relay {
    fn job(&self) -> Json<Value> {
        let looked_at = self.looked_at.load(Ordering::SeqCst);
        let is_cancelled = self.cancelled.load(Ordering::SeqCst);
        let left = json!({"pending": 2, "delivered": 0, "purged": 0, "not_configured": 0, "unmatched": 0, "unreadable": 0});
        Json(json!({
            "id": 7, "state": if is_cancelled { self.ends_as } else { "running" }, "request": {"what": "unrouted"},
            "asked_at": "2026-11-24T10:00:00Z", "token": null, "ended_at": null, "again": 0, "added": looked_at - looked_at.min(2),
            "read": 0, "left": left, "looked_at": looked_at, "error": null,
        }))
    }
}

/// A relay whose replay ends so once it is told to, and the configuration that leads to it.
async fn start(folder: &std::path::Path, ends_as: &'static str) -> Arc<Relay> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = configuration(free_port(), listener.local_addr().unwrap());
    std::fs::write(folder.join("vodrelay.toml"), config).unwrap();
    let relay = Arc::new(Relay { ends_as, ..Relay::default() });
    let (begun, looked, ended) = (Arc::clone(&relay), Arc::clone(&relay), Arc::clone(&relay));
    let look = async move || {
        looked.looked_at.fetch_add(500, Ordering::SeqCst);
        looked.job()
    };
    let end = async move || {
        ended.cancelled.store(true, Ordering::SeqCst);
        ended.job()
    };
    let router = Router::new()
        .route("/api/v1/replays", post(async move || begun.job()))
        .route("/api/v1/replays/{id}", get(look).delete(end));
    tokio::spawn(async move { axum::serve(listener, router).await });
    relay
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_has_the_relay_end_it_and_says_how_far_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let relay = start(folder.path(), "cancelled").await;
    let replaying = Running::start(folder.path(), &["replay", "--unrouted", "--json"], &[]);
    until("some steps", PATIENCE, || relay.looked_at.load(Ordering::SeqCst) > 1_000).await;
    let (code, out, told) = replaying.interrupt_and_read();
    assert_eq!(code, Some(130), "{told}");
    assert!(relay.cancelled.load(Ordering::SeqCst));
    let out: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(out["looked_at"], relay.looked_at.load(Ordering::SeqCst));
    assert!(told.contains("asking the relay to end replay 7"), "{told}");
    assert!(told.contains("replay 7 was ended; what it has replayed stays so"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_stops_under_it_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let relay = start(folder.path(), "interrupted").await;
    relay.cancelled.store(true, Ordering::SeqCst);
    let output = tokio::task::block_in_place(|| vodrelay(folder.path(), &["replay", "--unrouted"], ""));
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(69), "{told}");
    assert!(told.contains("the relay stopped under replay 7"), "{told}");
}
