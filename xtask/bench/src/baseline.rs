//! What ingest is measured against: an axum handler that checks and reads the same callback, and keeps nothing.

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::routing::post;
use bytes::Bytes;
use tokio::net::TcpListener;
use vod_event::{CallbackProof, Endpoint, NamedKey, PrivateKey};

use crate::callback::{KEY, PATH, PUBLIC_URL};
use crate::clock;

/// Serves until its standard input ends; prints its port first.
#[tokio::main]
pub(crate) async fn run() -> Result<(), String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|error| error.to_string())?;
    announce(&listener)?;
    let key = NamedKey { name: "only".to_owned(), key: PrivateKey::new(KEY) };
    let endpoint = Arc::new(Endpoint { url: PUBLIC_URL.to_owned(), keys: vec![key] });
    let router = Router::new().route(PATH, post(receive)).with_state(endpoint);
    tokio::spawn(axum::serve(listener, router).into_future());
    until_input_ends().await
}

async fn receive(State(endpoint): State<Arc<Endpoint>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let values = |name| headers.get_all(name).iter().map(HeaderValue::as_bytes);
    let proof = CallbackProof::from_headers(
        values(CallbackProof::TIMESTAMP_HEADER),
        values(CallbackProof::SIGNATURE_HEADER),
    );
    let skew = Duration::from_secs(300);
    let proven = proof.is_ok_and(|proof| endpoint.verify(&proof, clock::now(), skew).is_ok());
    match vod_event::read(&body) {
        _ if !proven => StatusCode::UNAUTHORIZED,
        Ok(_) => StatusCode::OK,
        Err(_) => StatusCode::BAD_REQUEST,
    }
}

/// Prints the port, for the process that started this one.
pub(crate) fn announce(listener: &TcpListener) -> Result<(), String> {
    say_port(listener.local_addr().map_err(|error| error.to_string())?.port())
}

/// The same for who does not have the listener.
pub(crate) fn say_port(port: u16) -> Result<(), String> {
    let mut out = std::io::stdout();
    writeln!(out, "{port}").and_then(|()| out.flush()).map_err(|error| error.to_string())
}

/// The process that started this one holds the other end, so this one never outlives it.
pub(crate) async fn until_input_ends() -> Result<(), String> {
    let read = || std::io::stdin().read_to_end(&mut Vec::new());
    // However it ends, nobody is there any more.
    let _ = tokio::task::spawn_blocking(read).await;
    std::process::exit(0)
}
