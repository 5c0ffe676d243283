//! The demo's receiving service: what users have today, an MD5 check against a hard-coded URL and key.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use tokio::net::TcpListener;
use vod_event::{CallbackProof, PrivateKey};

use super::{SERVICE_KEY, SERVICE_URL};

/// A handler that counts what it gets.
pub(super) struct Service {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    received: Vec<Vec<u8>>,
    refused: usize,
}

impl Service {
    pub(super) async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, seen) = (listener.local_addr()?, Arc::<Mutex<Seen>>::default());
        let router = Router::new().route("/vod/callback", post(receive)).with_state(Arc::clone(&seen));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { address, seen })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn received(&self) -> Vec<Vec<u8>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).received.clone()
    }

    pub(super) fn refused(&self) -> usize {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).refused
    }
}

async fn receive(State(seen): State<Arc<Mutex<Seen>>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let values =
        |name: &str| headers.get_all(name).into_iter().map(|value| value.as_bytes()).collect::<Vec<_>>();
    let (timestamp, signature) =
        (values(CallbackProof::TIMESTAMP_HEADER), values(CallbackProof::SIGNATURE_HEADER));
    let proof = CallbackProof::from_headers(timestamp.into_iter(), signature.into_iter());
    let proven = proof.is_ok_and(|proof| proof.matches(SERVICE_URL, &PrivateKey::new(SERVICE_KEY)));
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    if !proven {
        seen.refused += 1;
        return StatusCode::UNAUTHORIZED;
    }
    seen.received.push(body.to_vec());
    StatusCode::OK
}
