//! What is happening: the last hour minute by minute, what the journal holds, and who asks.

use axum::extract::State;
use axum::{Extension, Json};
use jiff::Timestamp;
use serde::Serialize;
use vodrelay_core::{Name, SinkName, Totals};

use super::Answer;
use crate::rates::Hour;
use crate::router::Shared;
use crate::token::{Caller, Role};

#[derive(Debug, Serialize)]
pub(crate) struct Now {
    now: Timestamp,
    version: &'static str,
    #[serde(flatten)]
    hour: Hour,
    totals: Totals,
    /// It takes nothing more in where that costs no event.
    drained: bool,
    /// The sinks that keep images.
    archives: Vec<SinkName>,
    you: You,
}

/// Whoever asks, by the token that came with the question.
#[derive(Debug, Serialize)]
struct You {
    token: Option<Name>,
    role: Role,
}

pub(crate) async fn tell(
    State(state): State<Shared>,
    Extension(Caller { name, role, .. }): Extension<Caller>,
) -> Answer<Now> {
    let now = state.clock.now();
    Ok(Json(Now {
        now,
        version: env!("CARGO_PKG_VERSION"),
        hour: state.metrics.hour(now),
        totals: state.ledger.totals().await?,
        drained: state.drain.is_on(),
        archives: state.images.keys().cloned().collect(),
        you: You { token: name, role },
    }))
}
