//! Refused requests: which are kept, what one is worth today, accepting and purging them. No answer has a signature.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use serde::{Deserialize, Serialize};
use vodrelay_core::readmission::{Explanation, Summary, Terms};
use vodrelay_core::{Name, RefusalFilter, RefusalRecord, SourceName};

use super::{Answer, Problem, moment};
use crate::router::Shared;

/// How many are listed at once, where nobody says, and at most.
const USUAL: usize = 100;
const MOST: usize = 1_000;

/// Which refusals are meant, as a query or a body says it.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Wanted {
    callback: Option<String>,
    cause: Option<String>,
    address: Option<String>,
    since: Option<String>,
    until: Option<String>,
    /// Only of a list: how many, and after which.
    limit: Option<usize>,
    after: Option<u64>,
    /// Only of a purge.
    dry_run: bool,
}

/// A page, the newest first.
#[derive(Debug, Serialize)]
pub(crate) struct Refusals {
    refused: Vec<RefusalRecord>,
    /// What to ask `after` for the next page; null where there is none.
    next: Option<u64>,
}

/// What is to be accepted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Accept {
    callback: Name,
    cause: Option<String>,
    address: Option<String>,
    since: Option<String>,
    until: Option<String>,
    #[serde(default)]
    stale: bool,
    /// In seconds, the least and the most.
    off_by: Option<(i64, i64)>,
    #[serde(default)]
    dry_run: bool,
}

/// How many were purged, or would be.
#[derive(Debug, Serialize)]
pub(crate) struct Purged {
    purged: u64,
    dry_run: bool,
}

pub(crate) async fn list(
    State(state): State<Shared>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Answer<Refusals> {
    let Query(wanted) = wanted.map_err(|error| Problem::invalid(error.body_text()))?;
    let limit = wanted.limit.unwrap_or(USUAL).clamp(1, MOST);
    let refused = state.ledger.list_refusals(wanted.filter()?, wanted.after, limit).await?;
    let next = refused.last().filter(|_| refused.len() == limit).map(|last| last.id);
    Ok(Json(Refusals { refused, next }))
}

pub(crate) async fn explain(
    State(state): State<Shared>,
    id: Result<Path<u64>, PathRejection>,
) -> Answer<Explanation> {
    let Path(id) = id.map_err(|error| Problem::invalid(error.body_text()))?;
    let explanation = state.readmission.explain(id).await?;
    let gone = || Problem::not_found(format!("no refusal {id} is kept, or no longer"));
    explanation.map(Json).ok_or_else(gone)
}

pub(crate) async fn accept(
    State(state): State<Shared>,
    accept: Result<Json<Accept>, JsonRejection>,
) -> Answer<Summary> {
    let Json(Accept { callback, cause, address, since, until, stale, off_by, dry_run }) =
        accept.map_err(|error| Problem::invalid(error.body_text()))?;
    let wanted = Wanted { cause, address, since, until, ..Wanted::default() }.filter()?;
    let off_by = off_by.map(|(least, most)| least..=most);
    if off_by.as_ref().is_some_and(|window| !stale || window.is_empty()) {
        return Err(Problem::invalid("off_by goes with stale, and has the least first"));
    }
    Ok(Json(state.readmission.accept(&Terms { callback, wanted, stale, off_by, dry_run }).await?))
}

pub(crate) async fn purge(
    State(state): State<Shared>,
    wanted: Result<Json<Wanted>, JsonRejection>,
) -> Answer<Purged> {
    let Json(wanted) = wanted.map_err(|error| Problem::invalid(error.body_text()))?;
    // A purge that were taken for a page of one would remove too much.
    if wanted.limit.is_some() || wanted.after.is_some() {
        return Err(Problem::invalid("limit and after are for lists; a purge takes all that is meant"));
    }
    let purged = state.readmission.purge(&wanted.filter()?, wanted.dry_run).await?;
    Ok(Json(Purged { purged, dry_run: wanted.dry_run }))
}

impl Wanted {
    fn filter(&self) -> Result<RefusalFilter, Problem> {
        let callback = self.callback.as_deref().map(Name::new).transpose();
        let callback = callback.map_err(|error| Problem::invalid(format!("callback: {error}")))?;
        let cause = self.cause.as_deref().map(str::parse).transpose();
        Ok(RefusalFilter {
            source: callback.map(|name| SourceName::callback(&name)),
            cause: cause.map_err(|error| Problem::invalid(format!("cause: {error}")))?,
            address: self.address.clone(),
            since: moment::parse("since", self.since.as_deref())?,
            until: moment::parse("until", self.until.as_deref())?,
        })
    }
}
