//! Forgetting a video: all that the journal has of it goes, but for the ids of its events.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use vodrelay_core::Forgotten;

use super::Answer;
use super::ask::{Body, By};
use crate::router::Shared;

/// Which video, and whether it is only looked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Forget {
    video_id: String,
    #[serde(default)]
    dry_run: bool,
}

/// What went, or would.
#[derive(Debug, Serialize)]
pub(crate) struct Told {
    #[serde(flatten)]
    forgotten: Forgotten,
    dry_run: bool,
}

pub(crate) async fn video(
    State(state): State<Shared>,
    by: By,
    Body(Forget { video_id, dry_run }): Body<Forget>,
) -> Answer<Told> {
    let forgotten = vodrelay_core::forget(state.ledger.as_ref(), &video_id, dry_run).await?;
    let Forgotten { events, in_hand, refused } = forgotten;
    tracing::info!(
        %by, forgotten.events = events, forgotten.in_hand = in_hand, forgotten.refused = refused, dry_run,
        "a video is to be forgotten"
    );
    Ok(Json(Told { forgotten, dry_run }))
}
