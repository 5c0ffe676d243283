//! A service that receives webhooks and remembers every body.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use tokio::net::TcpListener;

/// What a service saw: each body, and how often.
#[derive(Clone, Debug)]
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<HashMap<Bytes, usize>>>,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, seen) =
            (listener.local_addr().unwrap(), Arc::<Mutex<HashMap<Bytes, usize>>>::default());
        let router = Router::new().route("/hook", post(remember)).with_state(Arc::clone(&seen));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, seen }
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

async fn remember(State(seen): State<Arc<Mutex<HashMap<Bytes, usize>>>>, body: Bytes) {
    *seen.lock().unwrap().entry(body).or_insert(0) += 1;
}
