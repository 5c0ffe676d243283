//! Draining: load balancers are told to look elsewhere, queues are polled no more, and what is pending is finished.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use super::Answer;
use super::ask::{Body, By};
use crate::router::Shared;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    on: bool,
}

#[derive(Debug, Serialize)]
pub(crate) struct Drained {
    on: bool,
    was_on: bool,
}

pub(crate) async fn set(
    State(state): State<Shared>,
    by: By,
    Body(Wanted { on }): Body<Wanted>,
) -> Answer<Drained> {
    let is_new = state.drain.set(on);
    match (is_new, on) {
        (false, _) => {}
        (true, true) => {
            tracing::info!(%by, "the relay is drained: queues are polled no more, and it is not ready")
        }
        (true, false) => tracing::info!(%by, "the relay is drained no more"),
    }
    Ok(Json(Drained { on, was_on: on != is_new }))
}
