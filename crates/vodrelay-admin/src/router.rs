//! The paths of the admin listener.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http_body_util::LengthLimitError;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use vodrelay_core::{
    Clock, Drain, ImageStore, Ledger, Live, Probes, Readmission, Replayer, Routes, SinkName, SourceName,
    Standings,
};

use crate::metrics::Metrics;
use crate::replays::Replays;
use crate::token::{Caller, Tokens};
use crate::{api, health, page, token};

/// No request needs more: five hundred event ids are the most that one names.
const LARGEST_BODY: usize = 64 << 10;
/// So long a body may take to arrive.
const BODY: Duration = Duration::from_secs(10);

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
    /// What callers must know; none lets everybody in.
    pub tokens: Tokens,
    /// The sinks that are configured; what waits for any other is orphaned.
    pub sinks: BTreeSet<SinkName>,
    /// Where events come from by the configuration: what an outage costs depends on it.
    pub sources: Vec<SourceName>,
    /// Judges refused requests again, by the configuration that the relay runs with.
    pub readmission: Arc<Readmission>,
    /// Which sinks get an event by the configuration that the relay runs with.
    pub routes: Live<Routes>,
    /// How the sinks stand that are driven.
    pub standings: Standings,
    /// Has deliveries begin anew.
    pub replayer: Replayer,
    /// Where images are seen, by the sinks that keep them.
    pub images: BTreeMap<SinkName, Arc<dyn ImageStore>>,
    /// The probes that the receiver does not take for callbacks.
    pub probes: Probes,
    /// Set while somebody has the relay drained.
    pub drain: Drain,
}

pub(crate) type Shared = Arc<Inner>;

/// What is told, and what the listener itself keeps.
#[derive(Debug)]
pub(crate) struct Inner {
    told: AdminState,
    lasting: Lasting,
}

/// What stays when another state is told of.
#[derive(Clone, Debug)]
pub(crate) struct Lasting {
    /// Places for those who listen to the stream.
    pub(crate) streams: Arc<Semaphore>,
    /// Replays that go on by themselves.
    pub(crate) replays: Replays,
    /// Places for images that are on their way to somebody.
    pub(crate) images: Arc<Semaphore>,
    /// The tokens of now: who was let in by an earlier one does not stay for ever.
    tokens: Live<Tokens>,
}

impl Default for Lasting {
    fn default() -> Self {
        Self {
            streams: Arc::new(Semaphore::new(api::stream::MOST_STREAMS)),
            replays: Replays::default(),
            images: Arc::new(Semaphore::new(api::images::MOST_AT_ONCE)),
            tokens: Live::new(Tokens::default()),
        }
    }
}

impl Inner {
    pub(crate) fn streams(&self) -> &Arc<Semaphore> {
        &self.lasting.streams
    }

    pub(crate) fn replays(&self) -> &Replays {
        &self.lasting.replays
    }

    pub(crate) fn image_places(&self) -> &Arc<Semaphore> {
        &self.lasting.images
    }

    /// Whether the tokens of now let the caller in.
    pub(crate) fn still_admits(&self, caller: &Caller) -> bool {
        self.lasting.tokens.current().still_admit(caller)
    }
}

impl Deref for Inner {
    type Target = AdminState;

    fn deref(&self) -> &AdminState {
        &self.told
    }
}

/// All paths. Those for machines that watch, and the files of the page, need no token.
pub fn router(state: AdminState) -> Router {
    router_of(state, Lasting::default())
}

pub(crate) fn router_of(told: AdminState, lasting: Lasting) -> Router {
    lasting.tokens.replace(told.tokens.clone());
    let state = Arc::new(Inner { told, lasting });
    let guarded = Router::new()
        .route("/metrics", get(metrics))
        .nest(api::ROOT, api::router().layer(from_fn_with_state(Arc::clone(&state), api::audit::note)))
        .fallback(async || problem(StatusCode::NOT_FOUND, "there is nothing at this path"))
        .layer(from_fn(take_body))
        .layer(from_fn_with_state(Arc::clone(&state), token::require));
    Router::new()
        .route("/livez", get(health::livez))
        .route("/readyz", get(health::readyz))
        .merge(page::router())
        .merge(guarded)
        .with_state(state)
}

/// Takes in the whole body before anything is done with it, within bounds of room and time. Whoever sends it knows the
/// token already.
async fn take_body(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    match timeout(BODY, to_bytes(body, LARGEST_BODY)).await {
        Ok(Ok(body)) => next.run(Request::from_parts(parts, Body::from(body))).await,
        Ok(Err(error)) if error.source().is_some_and(|source| source.is::<LengthLimitError>()) => {
            problem(StatusCode::PAYLOAD_TOO_LARGE, "a request body has at most 64 KiB").into_response()
        }
        Ok(Err(_)) => problem(StatusCode::BAD_REQUEST, "the request body did not arrive").into_response(),
        Err(_) => {
            problem(StatusCode::REQUEST_TIMEOUT, "the request body did not arrive in time").into_response()
        }
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
