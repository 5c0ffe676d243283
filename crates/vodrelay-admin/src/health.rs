//! Whether the process lives, and whether it should be sent events.

use std::fmt::Write;
use std::sync::atomic::Ordering;

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;

use crate::router::Shared;

/// That it can answer is the answer.
pub(crate) async fn livez() -> &'static str {
    "ok\n"
}

/// Ready is who can make an event durable and is not leaving. Sinks do not count: their work waits in the journal.
pub(crate) async fn readyz(State(state): State<Shared>, RawQuery(query): RawQuery) -> (StatusCode, String) {
    let journal = state.ledger.writable().await.map_err(|error| error.to_string());
    let running = match (state.draining.load(Ordering::Relaxed), state.drain.is_on()) {
        (true, _) => Err("the relay is stopping".to_owned()),
        (_, true) => Err("the relay is drained, as somebody asked".to_owned()),
        _ => Ok(()),
    };
    let ready = journal.is_ok() && running.is_ok();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    if !query.is_some_and(|query| query.split('&').any(|key| key == "verbose" || key.starts_with("verbose=")))
    {
        return (status, if ready { "ok\n" } else { "not ready\n" }.to_owned());
    }
    let mut text = String::new();
    for (what, found) in [("journal", journal), ("running", running)] {
        let found = found.err().unwrap_or_else(|| "ok".to_owned());
        let _ = writeln!(text, "{what}: {found}");
    }
    (status, text)
}
