//! The windows in which events may be missing.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use vodrelay_core::SourceName;
use vodrelay_core::gaps::Gaps;

use super::{Answer, Problem, moment};
use crate::router::Shared;

/// Which time is meant.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Time {
    since: String,
    until: Option<String>,
}

/// The windows, and what they touch.
#[derive(Debug, Serialize)]
pub(crate) struct Found {
    since: Timestamp,
    until: Timestamp,
    #[serde(flatten)]
    gaps: Gaps,
    /// Where events come from by the configuration of the relay.
    sources: Vec<SourceName>,
}

pub(crate) async fn find(
    State(state): State<Shared>,
    time: Result<Query<Time>, QueryRejection>,
) -> Answer<Found> {
    let Query(time) = time.map_err(|error| Problem::invalid(error.body_text()))?;
    let since = moment::parse("since", Some(&time.since))?.unwrap_or_default();
    let until = moment::parse("until", time.until.as_deref())?.unwrap_or_else(|| state.clock.now());
    if until < since {
        return Err(Problem::invalid(format!("until: {until} is before since: {since}")));
    }
    let history = state.ledger.history(since).await?;
    let gaps = Gaps::find(&history, since, until);
    Ok(Json(Found { since, until, gaps, sources: state.sources.clone() }))
}
