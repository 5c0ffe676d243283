//! The images of an event that archives keep: which there are, and the bytes of one.
//!
//! They came from wherever an event pointed, so they leave as nothing but a picture: GIF or WebP by their own first bytes,
//! in a sandbox, and never taken for anything else.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, Full};
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use vodrelay_core::ledger::EventDetail;
use vodrelay_core::{ArchivedImage, Envelope, ImageError, SinkName};

use super::ask::wrong;
use super::events::find;
use super::{Answer, Problem};
use crate::router::Shared;

/// The largest that is shown, and how many of them are in memory at once.
const LARGEST: u64 = 16 << 20;
pub(crate) const MOST_AT_ONCE: usize = 3;
/// So long an archive, or the way to a place, is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// What each archive has.
#[derive(Debug, Serialize)]
pub(crate) struct Archives {
    archives: Vec<Archive>,
}

#[derive(Debug, Serialize)]
struct Archive {
    sink: SinkName,
    /// By their place in the event.
    images: Vec<ArchivedImage>,
    /// Why nobody knows.
    error: Option<String>,
}

pub(crate) async fn list(
    State(state): State<Shared>,
    id: Result<Path<String>, PathRejection>,
) -> Answer<Archives> {
    let EventDetail { envelope, .. } = find(&state, id).await?;
    let mut archives = Vec::new();
    for (sink, store) in &state.images {
        let found = in_time(store.images(&envelope)).await;
        let (images, error) = match found {
            Ok(images) => (images, None),
            Err(error) => (Vec::new(), Some(error.to_string())),
        };
        archives.push(Archive { sink: sink.clone(), images, error });
    }
    Ok(Json(Archives { archives }))
}

pub(crate) async fn one(
    State(state): State<Shared>,
    named: Result<Path<(String, usize)>, PathRejection>,
) -> Result<Response, Problem> {
    let Path((id, place)) = named.map_err(|error| wrong("n", &error.body_text()))?;
    let EventDetail { envelope, .. } = find(&state, Ok(Path(id))).await?;
    let permit = timeout(PATIENCE, Arc::clone(state.image_places()).acquire_owned()).await;
    let busy = || Problem::new(StatusCode::SERVICE_UNAVAILABLE, "other images are on their way; try again");
    let permit = permit.ok().and_then(Result::ok).ok_or_else(busy)?;
    let bytes = first_kept(&state, &envelope, place).await?;
    let media_type = media_type(&bytes)
        .ok_or_else(|| Problem::not_found("what the archive has there begins like no GIF and no WebP"))?;
    let headers = [
        (CONTENT_TYPE, media_type),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CONTENT_SECURITY_POLICY, "sandbox; default-src 'none'"),
        (CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, holding(bytes, permit)).into_response())
}

/// From the first archive that has it, or why none has.
async fn first_kept(state: &Shared, envelope: &Envelope, place: usize) -> Result<Bytes, Problem> {
    let mut not_kept = None;
    let mut failed = None;
    for (sink, store) in &state.images {
        match in_time(store.image(envelope, place, LARGEST)).await {
            Ok(bytes) => return Ok(bytes),
            Err(ImageError::Failed(why)) => drop(failed.get_or_insert(format!("{sink}: {why}"))),
            Err(error) => drop(not_kept.get_or_insert(format!("{sink}: {error}"))),
        }
    }
    // One that does not answer may have it.
    Err(match (failed, not_kept) {
        (Some(why), _) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, why),
        (None, Some(why)) => Problem::not_found(why),
        (None, None) => Problem::not_found("no sink of the configuration keeps images"),
    })
}

async fn in_time<T>(asking: impl Future<Output = Result<T, ImageError>>) -> Result<T, ImageError> {
    let late = |_| Err(ImageError::Failed(format!("the archive does not answer within {PATIENCE:?}")));
    timeout(PATIENCE, asking).await.unwrap_or_else(late)
}

/// By what the file itself says, not by the name that somebody gave it.
fn media_type(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some("image/gif"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("image/webp"),
        _ => None,
    }
}

/// The place goes with the last of the bytes.
fn holding(bytes: Bytes, permit: OwnedSemaphorePermit) -> Body {
    Body::new(Full::new(bytes).map_frame(move |frame| {
        let _ = &permit;
        frame
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pictures_are_pictures() {
        assert_eq!(media_type(b"GIF89a\x01"), Some("image/gif"));
        assert_eq!(media_type(b"GIF87a"), Some("image/gif"));
        assert_eq!(media_type(b"RIFF\x00\x01\x02\x03WEBPVP8X"), Some("image/webp"));
        for other in
            [&b""[..], b"GIF", b"GIF88a", b"<svg", b"<!doctype html>", b"RIFF\0\0\0\0WAVE", b"\x89PNG"]
        {
            assert_eq!(media_type(other), None, "{other:?}");
        }
    }
}
