//! Replays, in steps.

use axum::Json;
use axum::extract::State;
use vodrelay_core::replay::{Outcome, Request};

use super::Answer;
use super::ask::{Body, By, tell};
use crate::router::Shared;

pub(crate) async fn step(
    State(state): State<Shared>,
    by: By,
    Body(request): Body<Request>,
) -> Answer<Outcome> {
    let outcome = state.replayer.step(&request).await?;
    if !request.dry_run && !outcome.items.is_empty() {
        let done = outcome.done;
        tell!(
            &request.filter, %by, what = request.what.as_str(), replay.again = done.again,
            replay.added = done.added, replay.read = done.read, "deliveries were replayed"
        );
    }
    Ok(Json(outcome))
}
