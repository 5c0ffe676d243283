//! Replays that go on by themselves: begin one, ask how far it is, end it.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use vodrelay_core::ledger::Limit;
use vodrelay_core::replay::{Job, Request};

use super::ask::{Asked, Body, By, Numbered, tell};
use super::{Answer, Problem};
use crate::replays::NotBegun;
use crate::router::Shared;

const PAGE: usize = 100;
const LARGEST_PAGE: usize = 1_000;

pub(crate) async fn begin(
    State(state): State<Shared>,
    by: By,
    Body(request): Body<Request>,
) -> Result<Response, Problem> {
    if request.after.is_some() || request.limit.is_some() {
        return Err(Problem::invalid("after and limit are for single steps; a job takes all that is meant"));
    }
    let begun = state.replays().begin(&state, request, by.token()).await;
    let job = begun.map_err(|error| match error {
        NotBegun::Busy => {
            Problem::new(StatusCode::CONFLICT, "four replays are at work; wait for one of them, or cancel it")
        }
        NotBegun::Refused(error) => error.into(),
    })?;
    tell!(
        &job.request.filter, %by, job = job.id, what = job.request.what.as_str(), "a replay has begun"
    );
    Ok((StatusCode::ACCEPTED, Json(job)).into_response())
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
pub(crate) struct Jobs {
    replays: Vec<Job>,
    next: Option<u64>,
}

pub(crate) async fn list(State(state): State<Shared>, Asked(question): Asked<Question>) -> Answer<Jobs> {
    let limit = Limit::within(question.limit, PAGE, LARGEST_PAGE);
    let known = state.ledger.jobs(question.after, limit).await?;
    let next = known.last().filter(|_| known.len() == limit).map(|last| last.id);
    // One that is at work is further than what was noted of it.
    let replays = known.into_iter().map(|job| state.replays().find(job.id).unwrap_or(job)).collect();
    Ok(Json(Jobs { replays, next }))
}

pub(crate) async fn one(State(state): State<Shared>, Numbered(id): Numbered) -> Answer<Job> {
    find(&state, id).await.map(Json)
}

/// Ends it after the step in hand. What was replayed stays so.
pub(crate) async fn cancel(State(state): State<Shared>, by: By, Numbered(id): Numbered) -> Answer<Job> {
    let job = find(&state, id).await?;
    if state.replays().cancel(id) {
        tracing::info!(%by, job = id, "a replay is cancelled");
        return Ok(Json(job));
    }
    Err(Problem::new(StatusCode::CONFLICT, format!("replay {id} is not at work")))
}

async fn find(state: &Shared, id: u64) -> Result<Job, Problem> {
    if let Some(job) = state.replays().find(id) {
        return Ok(job);
    }
    let gone = || Problem::not_found(format!("no replay {id} is known, or no longer"));
    state.ledger.job(id).await?.ok_or_else(gone)
}
