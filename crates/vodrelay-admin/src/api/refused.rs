//! Refused requests: which are kept, what one is worth today, accepting and purging them. No answer has a signature.

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use vodrelay_core::ledger::Limit;
use vodrelay_core::readmission::{Explanation, Summary, Terms};
use vodrelay_core::{Name, RefusalCause, RefusalFilter, RefusalRecord, SourceName, moment};

use super::ask::{Asked, Body, Numbered};
use super::{Answer, Problem};
use crate::router::Shared;

/// How many are listed at once, where nobody says, and at most.
const USUAL: usize = 100;
const MOST: usize = 1_000;

/// Which page of which refusals.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Question {
    callback: Option<Name>,
    cause: Option<RefusalCause>,
    address: Option<String>,
    #[serde(deserialize_with = "moment::read")]
    since: Option<Timestamp>,
    #[serde(deserialize_with = "moment::read")]
    until: Option<Timestamp>,
    after: Option<u64>,
    limit: Option<Limit>,
}

/// A page, the newest first.
#[derive(Debug, Serialize)]
pub(crate) struct Refusals {
    refused: Vec<RefusalRecord>,
    /// What to ask `after` for the next page; null where there is none.
    next: Option<u64>,
}

pub(crate) async fn list(State(state): State<Shared>, Asked(asked): Asked<Question>) -> Answer<Refusals> {
    let Question { callback, cause, address, since, until, after, limit } = asked;
    let wanted =
        RefusalFilter { source: callback.as_ref().map(SourceName::callback), cause, address, since, until };
    let limit = Limit::within(limit, USUAL, MOST);
    let refused = state.ledger.list_refusals(wanted, after, limit).await?;
    let next = refused.last().filter(|_| refused.len() == limit).map(|last| last.id);
    Ok(Json(Refusals { refused, next }))
}

pub(crate) async fn explain(State(state): State<Shared>, Numbered(id): Numbered) -> Answer<Explanation> {
    let explanation = state.readmission.explain(id).await?;
    let gone = || Problem::not_found(format!("no refusal {id} is kept, or no longer"));
    explanation.map(Json).ok_or_else(gone)
}

/// What is to be accepted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Accept {
    callback: Name,
    cause: Option<RefusalCause>,
    address: Option<String>,
    #[serde(deserialize_with = "moment::read", default)]
    since: Option<Timestamp>,
    #[serde(deserialize_with = "moment::read", default)]
    until: Option<Timestamp>,
    #[serde(default)]
    stale: bool,
    /// In seconds, the two ends of a window.
    off_by: Option<(i64, i64)>,
    #[serde(default)]
    dry_run: bool,
}

pub(crate) async fn accept(State(state): State<Shared>, Body(accept): Body<Accept>) -> Answer<Summary> {
    let Accept { callback, cause, address, since, until, stale, off_by, dry_run } = accept;
    if off_by.is_some() && !stale {
        return Err(Problem::invalid(
            "off_by: it is about those that are stale; set stale to true, or leave it out",
        ));
    }
    let wanted = RefusalFilter { source: None, cause, address, since, until };
    let off_by = off_by.map(|(one, other)| one.min(other)..=one.max(other));
    Ok(Json(state.readmission.accept(&Terms { callback, wanted, stale, off_by, dry_run }).await?))
}

/// What is to be purged: all that is meant, since there are no pages.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Purge {
    callback: Option<Name>,
    cause: Option<RefusalCause>,
    address: Option<String>,
    #[serde(deserialize_with = "moment::read")]
    since: Option<Timestamp>,
    #[serde(deserialize_with = "moment::read")]
    until: Option<Timestamp>,
    dry_run: bool,
}

/// How many were purged, or would be.
#[derive(Debug, Serialize)]
pub(crate) struct Purged {
    purged: u64,
    dry_run: bool,
}

pub(crate) async fn purge(State(state): State<Shared>, Body(purge): Body<Purge>) -> Answer<Purged> {
    let Purge { callback, cause, address, since, until, dry_run } = purge;
    let wanted =
        RefusalFilter { source: callback.as_ref().map(SourceName::callback), cause, address, since, until };
    let purged = state.readmission.purge(&wanted, dry_run).await?;
    Ok(Json(Purged { purged, dry_run }))
}
