//! The demo's CDN: serves two animated images to URLs that are signed as type A, and answers 403 to all others, as a
//! domain of VOD does with URL signing switched on.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use tokio::net::TcpListener;
use vod_event::{CdnAuth, CdnAuthType, PrivateKey};

use super::images;

/// The domain's primary key; the demo's configuration has the same.
const KEY: &str = "DemoCdnKey202600";
/// How long a signed URL lives, in seconds: the console's default.
const VALIDITY: i64 = 1800;

/// A CDN with a GIF and a WebP.
pub(super) struct Cdn {
    address: SocketAddr,
    domain: Arc<Domain>,
}

/// One of the images.
#[derive(Clone, Debug)]
pub(super) struct Image {
    /// As the event names it: plain http, not signed.
    pub(super) url: String,
    pub(super) bytes: Vec<u8>,
}

struct Domain {
    auth: CdnAuth,
    gif: Vec<u8>,
    webp: Vec<u8>,
    denied: AtomicUsize,
}

impl Cdn {
    pub(super) async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let domain = Arc::new(Domain {
            auth: CdnAuth::new(CdnAuthType::A, PrivateKey::new(KEY)),
            gif: images::gif(),
            webp: images::webp(),
            denied: AtomicUsize::new(0),
        });
        let address = listener.local_addr()?;
        let router = Router::new().fallback(serve).with_state(Arc::clone(&domain));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { address, domain })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn gif(&self) -> Image {
        Image {
            url: format!("http://{}/image/dynamic/bar.gif", self.address),
            bytes: self.domain.gif.clone(),
        }
    }

    pub(super) fn webp(&self) -> Image {
        let url = format!("http://{}/image/dynamic/colours.webp", self.address);
        Image { url, bytes: self.domain.webp.clone() }
    }

    /// How many requests were not signed.
    pub(super) fn denied(&self) -> usize {
        self.domain.denied.load(Ordering::Relaxed)
    }
}

impl Domain {
    /// Whether the domain itself would sign the path like this at the time that the signature names.
    fn takes(&self, uri: &Uri) -> bool {
        let time =
            uri.query().and_then(|query| query.strip_prefix("auth_key=")?.split('-').next()?.parse().ok());
        let Some(at) = time.and_then(|seconds| Timestamp::from_second(seconds).ok()) else { return false };
        let is_fresh = (Timestamp::now().as_second() - at.as_second()).abs() <= VALIDITY;
        let signed = self.auth.sign(&format!("http://cdn{}", uri.path()), at);
        is_fresh && signed.is_ok_and(|signed| signed == format!("http://cdn{uri}"))
    }
}

async fn serve(State(domain): State<Arc<Domain>>, uri: Uri) -> Response {
    if !domain.takes(&uri) {
        domain.denied.fetch_add(1, Ordering::Relaxed);
        let why = [("x-tengine-error", "denied by req auth: no auth_key")];
        return (StatusCode::FORBIDDEN, why).into_response();
    }
    match uri.path().rsplit('.').next() {
        Some("gif") => domain.gif.clone().into_response(),
        Some("webp") => domain.webp.clone().into_response(),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_signed_urls_are_taken() {
        let auth = |key: &str| CdnAuth::new(CdnAuthType::A, PrivateKey::new(key));
        let domain = Domain { auth: auth(KEY), gif: vec![], webp: vec![], denied: AtomicUsize::new(0) };
        let check = |url: &str, expect: bool| {
            let uri: Uri = url.strip_prefix("http://cdn").unwrap().parse().unwrap();
            assert_eq!(domain.takes(&uri), expect, "{url}");
        };
        let now = Timestamp::now();
        let plain = "http://cdn/image/a.gif";
        let signed = auth(KEY).sign(plain, now).unwrap();
        check(&signed, true);
        check(plain, false);
        check(&signed.replace("/a.gif", "/b.gif"), false);
        check(&auth("SomebodyElse2026").sign(plain, now).unwrap(), false);
        check(&auth(KEY).sign(plain, Timestamp::from_second(1_700_000_000).unwrap()).unwrap(), false);
    }
}
