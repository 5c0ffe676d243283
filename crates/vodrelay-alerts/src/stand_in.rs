//! A stand-in for whatever alerts are sent to: it remembers each request, and answers what it is told to.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};
use vodrelay_core::config::Surroundings;

use crate::{Channel, Config};

/// What it was sent: the path with its query, and the body.
pub(crate) type Request = (String, Value);

#[derive(Clone)]
pub(crate) struct StandIn {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Request>>>,
    answers: Arc<Mutex<VecDeque<(u16, String)>>>,
}

impl StandIn {
    /// Answers these one after the other, and the last one for ever.
    pub(crate) async fn start(answers: &[(u16, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let answers = answers.iter().map(|(status, body)| (*status, (*body).to_owned())).collect();
        let stand_in = Self {
            address: listener.local_addr().unwrap(),
            seen: Arc::default(),
            answers: Arc::new(Mutex::new(answers)),
        };
        let router = Router::new().fallback(take).with_state(stand_in.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        stand_in
    }

    /// A channel to it by such a table; `PORT` in it is its own.
    pub(crate) fn channel(&self, table: &str) -> Channel {
        let text = format!("[ops]\n{}", table.replace("PORT", &self.address.port().to_string()));
        let config: Config = toml::from_str(&text).unwrap();
        config.resolve(&Surroundings::default()).unwrap().channels.remove(0)
    }

    pub(crate) fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) async fn until_seen(&self, count: usize) -> Vec<Request> {
        let seen = async {
            while self.seen().len() < count {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(30), seen).await.expect("a request within half a minute");
        self.seen()
    }
}

async fn take(State(stand_in): State<StandIn>, uri: Uri, body: String) -> (StatusCode, String) {
    let body = serde_json::from_str(&body).unwrap();
    stand_in.seen.lock().unwrap().push((uri.to_string(), body));
    let mut answers = stand_in.answers.lock().unwrap();
    let (status, text) =
        if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() }.unwrap();
    (StatusCode::from_u16(status).unwrap(), text)
}
