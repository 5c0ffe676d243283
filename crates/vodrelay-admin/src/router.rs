//! The paths of the admin listener.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use tokio::net::TcpListener;
use tokio::time::{interval, sleep};
use tokio_util::sync::CancellationToken;
use vodrelay_core::config::Secret;
use vodrelay_core::{Clock, Ledger, Readmission, Replayer, SinkName, SourceName, Standings};

use crate::metrics::Metrics;
use crate::{api, health, token};

/// What the admin listener tells of.
#[derive(Clone, Debug)]
pub struct AdminState {
    /// The journal, as people ask it.
    pub ledger: Arc<dyn Ledger>,
    /// Set as soon as the relay begins to stop.
    pub draining: Arc<AtomicBool>,
    /// What the process counts into.
    pub metrics: Metrics,
    /// Tells how old what waits is.
    pub clock: Arc<dyn Clock>,
    /// What callers must know; nothing lets everybody in.
    pub token: Option<Secret>,
    /// The sinks that are configured; what waits for any other is orphaned.
    pub sinks: BTreeSet<SinkName>,
    /// Where events come from by the configuration: what an outage costs depends on it.
    pub sources: Vec<SourceName>,
    /// Judges refused requests again, by the configuration that the relay runs with.
    pub readmission: Arc<Readmission>,
    /// How the sinks stand that are driven.
    pub standings: Standings,
    /// Has deliveries begin anew.
    pub replayer: Replayer,
}

pub(crate) type Shared = Arc<AdminState>;

/// All paths. Those for machines that watch need no token.
pub fn router(state: AdminState) -> Router {
    let state = Arc::new(state);
    let guarded = Router::new()
        .route("/metrics", get(metrics))
        .nest(api::ROOT, api::router())
        .fallback(async || problem(StatusCode::NOT_FOUND, "there is nothing at this path"))
        .layer(from_fn_with_state(Arc::clone(&state), token::require));
    Router::new()
        .route("/livez", get(health::livez))
        .route("/readyz", get(health::readyz))
        .merge(guarded)
        .with_state(state)
}

/// Answers on the listener until `shutdown`, and then for a moment longer what is being asked.
///
/// # Errors
/// If the listener is beyond use.
pub async fn serve(listener: TcpListener, state: AdminState, shutdown: CancellationToken) -> io::Result<()> {
    let metrics = state.metrics.clone();
    let service = router(state).into_make_service_with_connect_info::<SocketAddr>();
    let serving = axum::serve(listener, service).with_graceful_shutdown(shutdown.clone().cancelled_owned());
    tokio::select! {
        served = async { serving.await } => served,
        () = keep_tidy(&metrics) => Ok(()),
        () = async { shutdown.cancelled().await; sleep(Duration::from_secs(5)).await } => Ok(()),
    }
}

async fn keep_tidy(metrics: &Metrics) {
    let mut tick = interval(Duration::from_secs(5));
    loop {
        tick.tick().await;
        metrics.tidy();
    }
}

async fn metrics(State(state): State<Shared>) -> impl IntoResponse {
    let text = state.metrics.scrape(state.ledger.as_ref(), &state.sinks, state.clock.now()).await;
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}

/// An error as every path answers it.
pub(crate) fn problem(status: StatusCode, message: &str) -> impl IntoResponse + use<> {
    (status, Json(serde_json::json!({ "error": message })))
}
