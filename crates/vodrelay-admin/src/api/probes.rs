//! Probes: a nonce for whoever wants to know whether VOD would reach this relay, and how the probe with it came.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use vodrelay_core::probe::{LIFE, Sighting, TooMany};

use super::ask::{Body, By};
use super::{Answer, Problem};
use crate::router::Shared;

/// Nothing is to be said.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

#[derive(Debug, Serialize)]
pub(crate) struct Issued {
    nonce: String,
    lasts_seconds: u64,
}

pub(crate) async fn issue(
    State(state): State<Shared>,
    by: By,
    Body(Nothing {}): Body<Nothing>,
) -> Answer<Issued> {
    let nonce = state.probes.issue().map_err(|TooMany| {
        Problem::new(StatusCode::CONFLICT, "too many probes are open; each is closed after a minute")
    })?;
    tracing::info!(%by, "a probe of the callbacks was asked for");
    Ok(Json(Issued { nonce, lasts_seconds: LIFE.as_secs() }))
}

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    seen: Option<Sighting>,
}

pub(crate) async fn report(
    State(state): State<Shared>,
    nonce: Result<Path<String>, PathRejection>,
) -> Answer<Report> {
    let Path(nonce) = nonce.map_err(|error| Problem::new(error.status(), error.body_text()))?;
    let seen = state.probes.report(&nonce);
    let seen = seen.ok_or_else(|| Problem::not_found("no probe with that nonce is open, or no longer"))?;
    Ok(Json(Report { seen }))
}
