//! Images of archives: which there are, and one as a picture that can be nothing else.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;
use vodrelay_admin::{AdminState, router};
use vodrelay_core::testing::{MemoryJournal, MockImageStore, MockJudge, envelope_of, event_body};
use vodrelay_core::{ArchivedImage, ImageError, ImageStore, Journal, SinkName, SystemClock};

use crate::state;

fn archived(state: &str, reason: Option<&str>, bytes: Option<u64>) -> ArchivedImage {
    let doubts = bytes.map(|_| ("FileSize".to_owned(), "differs".to_owned())).into_iter().collect();
    ArchivedImage { state: state.to_owned(), reason: reason.map(str::to_owned), bytes, doubts }
}

/// An archive that has this as its first image.
fn archive(bytes: Result<&'static [u8], ImageError>) -> Arc<dyn ImageStore> {
    let mut store = MockImageStore::new();
    store.expect_images().returning(|_| {
        Ok(vec![archived("kept", None, Some(6)), archived("failed", Some("403 denied"), None)])
    });
    store.expect_image().returning(move |_, place, most| {
        assert!(most <= 16 << 20, "{most}");
        match place {
            0 => bytes.clone().map(Into::into),
            _ => Err(ImageError::NotKept("the archive calls it failed: 403 denied".to_owned())),
        }
    });
    Arc::new(store)
}

/// A relay that has accepted one event, and its path.
async fn paths(archives: Vec<(&str, Arc<dyn ImageStore>)>) -> (Router, String) {
    let journal = Arc::new(MemoryJournal::new(Arc::new(SystemClock)));
    let event = envelope_of(event_body(1), "2026-11-01T10:00:00Z".parse().unwrap());
    journal.append(&event, &[]).await.unwrap();
    let images = archives.into_iter().map(|(name, store)| (SinkName::new(name).unwrap(), store)).collect();
    let state = AdminState { images, ..state(journal, MockJudge::new()) };
    (router(state), format!("/api/v1/events/{}/images", event.id))
}

async fn get(router: &Router, path: &str) -> (u16, HeaderMap, Vec<u8>) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    (status, headers, response.into_body().collect().await.unwrap().to_bytes().to_vec())
}

async fn check(archives: Vec<(&str, Arc<dyn ImageStore>)>, place: &str, status: u16, says: &str) {
    let (paths, path) = paths(archives).await;
    let (found, _, body) = get(&paths, &format!("{path}/{place}")).await;
    let body = String::from_utf8_lossy(&body);
    assert!(found == status && body.contains(says), "{place}: {found} {body}");
}

#[tokio::test]
async fn a_picture_is_shown_as_what_it_is_and_does_nothing() {
    for (bytes, kind) in [(&b"GIF89a-and-more"[..], "image/gif"), (b"RIFF\0\0\0\0WEBPVP8X", "image/webp")] {
        let (paths, path) = paths(vec![("archive", archive(Ok(bytes)))]).await;
        let (status, headers, body) = get(&paths, &format!("{path}/0")).await;
        assert_eq!((status, body.as_slice()), (200, bytes));
        assert_eq!(headers["content-type"], kind);
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert_eq!(headers["content-security-policy"], "sandbox; default-src 'none'");
        assert_eq!(headers["cache-control"], "no-store");
    }
}

#[tokio::test]
async fn what_is_none_is_not_shown_and_why_is_said() {
    let gif = || ("archive", archive(Ok(b"GIF89a")));
    let failed = || ("first", archive(Err(ImageError::Failed("the bucket does not answer".to_owned()))));
    let large = ("archive", archive(Err(ImageError::TooLarge(99_000_000))));
    check(
        vec![("archive", archive(Ok(b"<svg onload=alert(1)>")))],
        "0",
        404,
        "begins like no GIF and no WebP",
    )
    .await;
    check(vec![("archive", archive(Ok(b"")))], "0", 404, "begins like no GIF").await;
    check(vec![gif()], "1", 404, "archive: the archive calls it failed: 403 denied").await;
    check(vec![large], "0", 404, "99000000 bytes").await;
    check(vec![], "0", 404, "no sink of the configuration keeps images").await;
    check(vec![failed()], "0", 503, "first: the bucket does not answer").await;
    check(vec![failed(), gif()], "0", 200, "GIF89a").await;
    check(vec![failed(), gif()], "1", 404, "denied").await;
    check(vec![gif()], "-1", 400, "n: ").await;
    check(vec![gif()], "x", 400, "n: ").await;
    let (paths, _) = paths(vec![gif()]).await;
    assert_eq!(get(&paths, "/api/v1/events/evt_100000000000000000000000000000000/images/0").await.0, 404);
    assert_eq!(get(&paths, "/api/v1/events/nothing/images").await.0, 400);
}

#[tokio::test]
async fn each_archive_says_what_it_has() {
    let mut silent = MockImageStore::new();
    silent.expect_images().returning(|_| Err(ImageError::Failed("no route".to_owned())));
    let (paths, path) = paths(vec![("far", Arc::new(silent)), ("near", archive(Ok(b"GIF89a")))]).await;
    let (status, _, body) = get(&paths, &path).await;
    let body: Value = serde_json::from_slice(&body).unwrap();
    let kept = json!({"state": "kept", "reason": null, "bytes": 6, "doubts": [["FileSize", "differs"]]});
    let failed = json!({"state": "failed", "reason": "403 denied", "bytes": null, "doubts": []});
    let expected = json!({"archives": [
        {"sink": "far", "images": [], "error": "no route"},
        {"sink": "near", "images": [kept, failed], "error": null},
    ]});
    assert_eq!((status, body), (200, expected));
}
