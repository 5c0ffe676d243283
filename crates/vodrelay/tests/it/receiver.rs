//! A service that receives webhooks, remembers every body that it takes, and can be told to take none.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::routing::post;
use tokio::net::TcpListener;

/// What a service saw: each body, and how often.
#[derive(Clone, Debug)]
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<HashMap<Bytes, usize>>>,
    answers: Arc<AtomicU16>,
    replays: Arc<Mutex<Vec<String>>>,
    traceparents: Arc<Mutex<Vec<String>>>,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, seen) =
            (listener.local_addr().unwrap(), Arc::<Mutex<HashMap<Bytes, usize>>>::default());
        let (answers, replays) = (Arc::new(AtomicU16::new(200)), Arc::default());
        let receiver = Self { address, seen, answers, replays, traceparents: Arc::default() };
        let router = Router::new().route("/hook", post(receive)).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        receiver
    }

    /// From now on every answer has that status; what is not answered with 200 is not remembered.
    pub(crate) fn answer_with(&self, status: u16) {
        self.answers.store(status, Ordering::SeqCst);
    }

    /// What stood in `vodrelay-replay` of each delivery that was a replay.
    pub(crate) fn replays(&self) -> Vec<String> {
        self.replays.lock().unwrap().clone()
    }

    /// What stood in `traceparent` of each delivery that had one.
    pub(crate) fn traceparents(&self) -> Vec<String> {
        self.traceparents.lock().unwrap().clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    pub(crate) fn has(&self, body: &Bytes) -> bool {
        self.seen.lock().unwrap().contains_key(body)
    }

    pub(crate) fn bodies(&self) -> Vec<Bytes> {
        self.seen.lock().unwrap().keys().cloned().collect()
    }

    pub(crate) fn deliveries(&self) -> usize {
        self.seen.lock().unwrap().values().sum()
    }
}

async fn receive(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let status = StatusCode::from_u16(receiver.answers.load(Ordering::SeqCst)).unwrap();
    if status == StatusCode::OK {
        *receiver.seen.lock().unwrap().entry(body).or_insert(0) += 1;
        let text = |name| headers.get(name).map(|value: &HeaderValue| value.to_str().unwrap().to_owned());
        receiver.replays.lock().unwrap().extend(text("vodrelay-replay"));
        receiver.traceparents.lock().unwrap().extend(text("traceparent"));
    }
    status
}
