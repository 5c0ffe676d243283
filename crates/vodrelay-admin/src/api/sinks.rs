//! The sinks: what waits for each, and how it stands.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use vodrelay_core::standing::BreakerState;
use vodrelay_core::{JournalError, Pause, SinkBacklog, SinkName};

use super::Answer;
use crate::router::Shared;

/// All sinks that are configured, or have something left in the journal.
#[derive(Debug, Serialize)]
pub(crate) struct Sinks {
    sinks: Vec<Sink>,
}

#[derive(Debug, Serialize)]
pub(super) struct Sink {
    #[serde(flatten)]
    backlog: SinkBacklog,
    /// Deliveries to a sink that is not configured wait until it is.
    configured: bool,
    /// What its breaker lets through; nothing of a sink that is not driven.
    breaker: Option<BreakerState>,
}

impl Sink {
    pub(super) fn name(&self) -> &SinkName {
        &self.backlog.sink
    }

    fn is_of_interest(&self) -> bool {
        let SinkBacklog { pending, dead_letters, paused, .. } = &self.backlog;
        self.configured || *pending > 0 || *dead_letters > 0 || paused.is_some()
    }

    /// What is more than figures.
    pub(super) fn stands(&self) -> (bool, Option<&Pause>, Option<BreakerState>) {
        (self.configured, self.backlog.paused.as_ref(), self.breaker)
    }
}

pub(crate) async fn list(State(state): State<Shared>) -> Answer<Sinks> {
    Ok(Json(Sinks { sinks: all(&state).await? }))
}

/// By name, with how each stands now. One that was taken out is gone with the last thing that it had, though the journal
/// remembers its name.
pub(super) async fn all(state: &Shared) -> Result<Vec<Sink>, JournalError> {
    let mut backlogs = state.ledger.backlogs().await?;
    let unused = state.sinks.iter().filter(|name| backlogs.iter().all(|backlog| backlog.sink != **name));
    let unused: Vec<SinkBacklog> = unused.cloned().map(SinkBacklog::empty).collect();
    backlogs.extend(unused);
    backlogs.sort_by(|one, other| one.sink.cmp(&other.sink));
    let sink = |backlog: SinkBacklog| Sink {
        configured: state.sinks.contains(&backlog.sink),
        breaker: state.standings.breaker(&backlog.sink),
        backlog,
    };
    Ok(backlogs.into_iter().map(sink).filter(Sink::is_of_interest).collect())
}
