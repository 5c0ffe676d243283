//! Who had the relay change something: noted as it is done, and told in pages.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use axum::Json;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use tracing::Instrument;
use vodrelay_core::ledger::{Deed, DeedRecord, Limit};

use super::ask::Asked;
use super::{Answer, Problem, ROOT};
use crate::router::{Shared, problem};
use crate::token::Caller;

const PAGE: usize = 100;
const LARGEST_PAGE: usize = 1_000;

/// Stands before every path of the API. Whatever changes something is noted once it is done, and whatever was tried and
/// failed; what made no sense changed nothing. A change runs in a task of its own: whoever asked for it may go away, and
/// it would end in its middle, unlogged and unnoted.
pub(crate) async fn note(State(state): State<Shared>, request: Request, next: Next) -> Response {
    if [Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method()) {
        return next.run(request).await;
    }
    match tokio::spawn(carry_out(state, request, next).in_current_span()).await {
        Ok(answer) => answer,
        Err(error) => {
            tracing::error!(%error, "a request of the admin API came to no end; this is a mistake in vodrelay");
            problem(StatusCode::INTERNAL_SERVER_ERROR, "the request came to no end; the log says why")
                .into_response()
        }
    }
}

async fn carry_out(state: Shared, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    // It is all there already, within its bounds.
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let mut deed = Deed {
        at: state.clock.now(),
        token: parts
            .extensions
            .get::<Caller>()
            .and_then(|caller| caller.name.as_ref())
            .map(ToString::to_string),
        address: parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.to_string()),
        action: format!("{} {ROOT}{}", parts.method, parts.uri.path()),
        request: serde_json::from_slice(&body).ok(),
        status: 0,
        result: None,
    };
    let is_dry = serde_json::from_slice::<Dry>(&body).is_ok_and(|dry| dry.dry_run);
    let answer = next.run(Request::from_parts(parts, Body::from(body))).await;
    let is_refused = answer.status().is_client_error() && answer.status() != StatusCode::CONFLICT;
    if is_dry || is_refused {
        return answer;
    }
    let (parts, body) = answer.into_parts();
    // An answer to a change is made as a whole, however long it is; what is noted of it has a bound of its own.
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    deed.status = parts.status.as_u16();
    deed.result = without_items(&body);
    if let Err(error) = state.ledger.note_deed(deed).await {
        tracing::error!(%error, "a change was made and could not be noted in the audit log");
    }
    Response::from_parts(parts, Body::from(body))
}

#[derive(Deserialize)]
struct Dry {
    #[serde(default)]
    dry_run: bool,
}

/// The answer, but for lists of what was done, which the filter and the figures tell.
fn without_items(body: &Bytes) -> Option<Box<RawValue>> {
    let mut answer: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(body).ok()?;
    answer.remove("items");
    to_raw_value(&answer).ok()
}

/// Which page.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Question {
    after: Option<u64>,
    limit: Option<Limit>,
}

/// A page, the newest first.
#[derive(Debug, Serialize)]
pub(crate) struct Deeds {
    audit: Vec<DeedRecord>,
    next: Option<u64>,
}

pub(crate) async fn list(State(state): State<Shared>, Asked(question): Asked<Question>) -> Answer<Deeds> {
    let limit = Limit::within(question.limit, PAGE, LARGEST_PAGE);
    let audit = state.ledger.deeds(question.after, limit).await.map_err(Problem::from)?;
    let next = audit.last().filter(|_| audit.len() == limit).map(|last| last.id);
    Ok(Json(Deeds { audit, next }))
}
