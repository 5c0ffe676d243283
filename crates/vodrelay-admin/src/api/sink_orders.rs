//! What people do with a sink: pause, resume, have it retried, rename, forget.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use vodrelay_core::standing::BreakerState;
use vodrelay_core::{Pause, SinkBacklog, SinkName, moment};

use super::ask::{Body, By, Named};
use super::{Answer, Problem};
use crate::router::Shared;

/// One step changes at most so many deliveries, in one commit.
const STEP: usize = 500;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Reason {
    reason: Option<String>,
}

pub(crate) async fn pause(
    State(state): State<Shared>,
    by: By,
    Named(sink): Named,
    Body(Reason { reason }): Body<Reason>,
) -> Answer<Pause> {
    check_known(&state, &sink).await?;
    let pause = state.ledger.pause(&sink, reason).await?;
    tracing::info!(%by, %sink, reason = pause.reason.as_deref(), "the sink was paused");
    Ok(Json(pause))
}

/// Nothing more is to be said.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

#[derive(Debug, Serialize)]
pub(crate) struct Resumed {
    was_paused: bool,
}

pub(crate) async fn resume(
    State(state): State<Shared>,
    by: By,
    Named(sink): Named,
    Body(Nothing {}): Body<Nothing>,
) -> Answer<Resumed> {
    check_known(&state, &sink).await?;
    let was_paused = state.ledger.resume(&sink).await?;
    tracing::info!(%by, %sink, was_paused, "the sink was resumed");
    Ok(Json(Resumed { was_paused }))
}

/// What a step came to; the same is asked again while there is more.
#[derive(Debug, Serialize)]
pub(crate) struct Stepped {
    changed: u64,
    more: bool,
}

/// When the first step was asked for: what was tried since then waits for its own time.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AskedAt {
    #[serde(deserialize_with = "moment::read")]
    asked_at: Option<Timestamp>,
}

pub(crate) async fn retry_now(
    State(state): State<Shared>,
    by: By,
    Named(sink): Named,
    Body(AskedAt { asked_at }): Body<AskedAt>,
) -> Answer<Due> {
    check_known(&state, &sink).await?;
    let asked_at = asked_at.unwrap_or_else(|| state.clock.now());
    let step = state.ledger.retry_now(&sink, asked_at, STEP).await?;
    let is_down = matches!(state.standings.breaker(&sink), Some(BreakerState::Open { .. }));
    let probed = state.standings.probe(&sink) && is_down;
    let is_paused = |backlog: &SinkBacklog| backlog.sink == sink && backlog.paused.is_some();
    let paused = state.ledger.backlogs().await?.iter().any(is_paused);
    tracing::info!(%by, %sink, due = step.changed, probed, paused, "retries of the sink are due now");
    Ok(Json(Due { changed: step.changed, more: step.more, probed, paused }))
}

/// What a step of having retries due came to.
#[derive(Debug, Serialize)]
pub(crate) struct Due {
    changed: u64,
    more: bool,
    /// The sink is down, and is tried at once.
    probed: bool,
    /// The sink is paused, so that they wait until it is resumed.
    paused: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct To {
    to: SinkName,
}

pub(crate) async fn rename(
    State(state): State<Shared>,
    by: By,
    Named(old): Named,
    Body(To { to: new }): Body<To>,
) -> Answer<Stepped> {
    check_not_driven(&state, &old)?;
    check_known(&state, &old).await?;
    if old == new {
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "both names are the same"));
    }
    if !state.sinks.contains(&new) {
        let message = format!(
            "sink {new} is not configured, so what waits would wait for ever; put [sinks.{new}] into the configuration, and reload it, first"
        );
        return Err(Problem::new(StatusCode::CONFLICT, message));
    }
    let step = state.ledger.rename(&old, &new, STEP).await?;
    tracing::info!(%by, sink = %old, sink.new = %new, changed = step.changed, "deliveries of a sink got its new name");
    Ok(Json(Stepped { changed: step.changed, more: step.more }))
}

pub(crate) async fn forget(
    State(state): State<Shared>,
    by: By,
    Named(sink): Named,
    Body(Nothing {}): Body<Nothing>,
) -> Answer<Stepped> {
    check_not_driven(&state, &sink)?;
    check_known(&state, &sink).await?;
    let step = state.ledger.forget(&sink, STEP).await?;
    tracing::info!(%by, %sink, changed = step.changed, "pending deliveries of a sink became dead letters");
    Ok(Json(Stepped { changed: step.changed, more: step.more }))
}

async fn check_known(state: &Shared, sink: &SinkName) -> Result<(), Problem> {
    if state.sinks.contains(sink)
        || state.ledger.backlogs().await?.iter().any(|backlog| backlog.sink == *sink)
    {
        return Ok(());
    }
    let message = format!("no sink {sink} is configured, and the journal knows none");
    Err(Problem::new(StatusCode::NOT_FOUND, message))
}

/// What a dispatcher has in hand must be settled under the name by which it was claimed.
fn check_not_driven(state: &Shared, sink: &SinkName) -> Result<(), Problem> {
    if !state.sinks.contains(sink) {
        return Ok(());
    }
    let message = format!(
        "sink {sink} is configured; take [sinks.{sink}] out of the configuration, or give it its new name there, and start the relay again first"
    );
    Err(Problem::new(StatusCode::CONFLICT, message))
}
