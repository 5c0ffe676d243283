//! The windows in which events may be missing.

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use vodrelay_core::gaps::Gaps;
use vodrelay_core::{SourceName, moment};

use super::Answer;
use super::ask::{Asked, wrong};
use crate::router::Shared;

/// Which time is meant.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Time {
    /// It has to be there.
    #[serde(deserialize_with = "moment::read")]
    since: Option<Timestamp>,
    #[serde(deserialize_with = "moment::read", default)]
    until: Option<Timestamp>,
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
    Asked(Time { since, until }): Asked<Time>,
) -> Answer<Found> {
    let (since, until) = (since.unwrap_or_default(), until.unwrap_or_else(|| state.clock.now()));
    if until < since {
        // An empty answer would read as if no event were missing.
        return Err(wrong("until", &format!("{until} is before since, {since}; put the earlier one first")));
    }
    let history = state.ledger.history(since).await?;
    let gaps = Gaps::find(&history, since, until);
    Ok(Json(Found { since, until, gaps, sources: state.sources.clone() }))
}
