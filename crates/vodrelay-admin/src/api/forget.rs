//! Forgetting a video: all that the journal has of it goes, but for the ids of its events.

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use vodrelay_core::{Forgotten, Video, moment};

use super::Answer;
use super::ask::{Body, By};
use crate::router::Shared;

/// Which video, and whether it is only looked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Forget {
    video_id: String,
    /// Only what came before; all that is there where absent.
    #[serde(default, deserialize_with = "moment::read")]
    received_before: Option<Timestamp>,
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
    Body(Forget { video_id, received_before, dry_run }): Body<Forget>,
) -> Answer<Told> {
    // Those that come meanwhile would have it go on for ever.
    let received_before = received_before.unwrap_or_else(|| state.clock.now());
    let video = Video { id: video_id, received_before };
    let forgotten = vodrelay_core::forget(state.ledger.as_ref(), &video, dry_run).await?;
    let Forgotten { events, in_hand, refused } = forgotten;
    if !dry_run {
        tracing::info!(
            %by, forgotten.events = events, forgotten.in_hand = in_hand, forgotten.refused = refused,
            "a video was forgotten"
        );
    }
    Ok(Json(Told { forgotten, dry_run }))
}
