//! The page at `/`: a few files that stand in the binary. They have nothing to hide, so they need no token; what they show
//! is asked of the API, which does.

use std::sync::Arc;

use axum::Router;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use sha2::{Digest, Sha256};

use crate::router::Shared;

/// Nothing of another host, nothing that stands in markup, and no text that becomes markup: whatever an event says, the
/// browser shows it and does nothing else with it. Images come as blobs, since an image element sends no token.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; \
    connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

/// A file of the page.
#[derive(Clone, Copy)]
struct File {
    path: &'static str,
    media_type: &'static str,
    content: &'static [u8],
}

/// They are asked for under these names.
const FILES: [File; 4] = [
    File { path: "/", media_type: "text/html; charset=utf-8", content: include_bytes!("../page/index.html") },
    File {
        path: "/page.css",
        media_type: "text/css; charset=utf-8",
        content: include_bytes!("../page/page.css"),
    },
    File {
        path: "/page.js",
        media_type: "text/javascript; charset=utf-8",
        content: include_bytes!("../page/page.js"),
    },
    File { path: "/icon.svg", media_type: "image/svg+xml", content: include_bytes!("../page/icon.svg") },
];

/// The paths of the page.
pub(crate) fn router() -> Router<Shared> {
    FILES.into_iter().fold(Router::new(), |router, file| {
        let tag: Arc<str> = tag(file.content).into();
        let answer = move |headers: HeaderMap| async move { file.answer(&tag, &headers) };
        router.route(file.path, get(answer))
    })
}

/// Changes with the content.
fn tag(content: &[u8]) -> String {
    let digest: String = Sha256::digest(content).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{digest}\"")
}

impl File {
    fn answer(self, tag: &str, asked: &HeaderMap) -> Response {
        let headers: [(HeaderName, &str); 8] = [
            (CONTENT_TYPE, self.media_type),
            (ETAG, tag),
            // Asked for each time, so that the files of one version never meet those of another; mostly answered with 304.
            (CACHE_CONTROL, "no-cache"),
            (CONTENT_SECURITY_POLICY, POLICY),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (REFERRER_POLICY, "no-referrer"),
            (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
            (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        ];
        let known = asked.get_all(IF_NONE_MATCH).iter().filter_map(|tags| tags.to_str().ok());
        if known.flat_map(|tags| tags.split(',')).any(|known| known.trim().trim_start_matches("W/") == tag) {
            return (StatusCode::NOT_MODIFIED, headers).into_response();
        }
        (headers, self.content).into_response()
    }
}
