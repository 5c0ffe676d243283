//! Sends spans when they have ended: some at a time, again where that may help, and never so that anybody waits.

use std::error::Error;
use std::time::Duration;

use metrics::counter;
use reqwest::StatusCode;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use vodrelay_core::trace::SpanRecord;

use crate::config::Settings;
use crate::otlp::{Resource, Sender, refused};

/// Spans in one request.
const BATCH: usize = 512;
/// How often a request is made before its spans are dropped.
const TRIES: u32 = 5;
/// How long what is left may take to leave at a stop.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// How long it gathers, and how long it waits before it tries again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) gather: Duration,
    pub(crate) first: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { gather: Duration::from_secs(1), first: Duration::from_secs(2) }
    }
}

/// Sends the spans of one tracer.
#[derive(Debug)]
pub struct Exporter {
    settings: Settings,
    sender: Sender,
    ended: mpsc::Receiver<SpanRecord>,
    pace: Pace,
    /// Whether the last batch came to nothing, so that it is said once.
    fails: bool,
}

/// What came of a request.
enum Sent {
    Taken,
    /// It may be taken later, after that long perhaps.
    Again(String, Option<Duration>),
    Refused(String),
}

impl Exporter {
    pub(crate) fn new(
        settings: Settings,
        resource: &Resource,
        ended: mpsc::Receiver<SpanRecord>,
        pace: Pace,
    ) -> Self {
        for reason in ["queue", "export", "rejected"] {
            dropped(reason, 0);
        }
        Self { settings, sender: Sender::new(resource), ended, pace, fails: false }
    }

    /// Runs until it is stopped or no tracer is left; then what is there has three seconds to leave.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut batch = Vec::with_capacity(BATCH);
        while self.gather(&mut batch, &stop).await {
            self.send(&mut batch, &stop).await;
        }
        self.ended.close();
        let last = async {
            while !batch.is_empty() || self.ended.recv_many(&mut batch, BATCH).await > 0 {
                let body = self.sender.body(&batch);
                let sent = self.post(body).await;
                self.note(sent, &mut batch);
            }
        };
        let _ = timeout(LAST_WORDS, last).await;
        let left = batch.len() + self.ended.len();
        if left > 0 {
            dropped("export", left as u64);
        }
    }

    /// Gathers for a while from the first span on, or until a batch is full; false when it is time to stop.
    async fn gather(&mut self, batch: &mut Vec<SpanRecord>, stop: &CancellationToken) -> bool {
        let mut until = None;
        while batch.len() < BATCH {
            let room = BATCH - batch.len();
            let more = async {
                match until {
                    None => Ok(self.ended.recv_many(batch, room).await),
                    Some(until) => timeout_at(until, self.ended.recv_many(batch, room)).await,
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => return false,
                more = more => match more {
                    Ok(0) => return false,
                    Ok(_) => until = until.or(Some(Instant::now() + self.pace.gather)),
                    Err(_elapsed) => return true,
                },
            }
        }
        true
    }

    /// Sends the batch, and leaves it empty, unless it is told to stop.
    async fn send(&mut self, batch: &mut Vec<SpanRecord>, stop: &CancellationToken) {
        let body = self.sender.body(batch);
        for number in 0.. {
            let sent = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                sent = self.post(body.clone()) => sent,
            };
            let Sent::Again(_, after) = &sent else { return self.note(sent, batch) };
            if number + 1 == TRIES {
                return self.note(sent, batch);
            }
            let wait = self.pace.first * 2_u32.pow(number);
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = sleep(after.map_or(wait, |after| after.min(Duration::from_secs(30)).max(wait))) => {}
            }
        }
    }

    async fn post(&self, body: Vec<u8>) -> Sent {
        let answer = match self.settings.client.post(self.settings.endpoint.clone()).body(body).send().await {
            Ok(answer) => answer,
            Err(error) => return Sent::Again(innermost(&error.without_url()), None),
        };
        let status = answer.status();
        let after = answer.headers().get("retry-after").and_then(|after| after.to_str().ok()?.parse().ok());
        let busy = [
            StatusCode::TOO_MANY_REQUESTS,
            StatusCode::BAD_GATEWAY,
            StatusCode::SERVICE_UNAVAILABLE,
            StatusCode::GATEWAY_TIMEOUT,
        ];
        if status.is_success() {
            let count = refused(&answer.bytes().await.unwrap_or_default());
            dropped("rejected", count);
            Sent::Taken
        } else if busy.contains(&status) {
            Sent::Again(format!("answered {}", status.as_u16()), after.map(Duration::from_secs))
        } else {
            Sent::Refused(format!("answered {}", status.as_u16()))
        }
    }

    fn note(&mut self, sent: Sent, batch: &mut Vec<SpanRecord>) {
        let failed = match sent {
            Sent::Taken => None,
            Sent::Again(error, _) | Sent::Refused(error) => Some(error),
        };
        let before = std::mem::replace(&mut self.fails, failed.is_some());
        match failed {
            None if before => tracing::info!("the collector takes spans again"),
            None => {}
            Some(error) => {
                dropped("export", batch.len() as u64);
                if !before {
                    let collector = self.settings.endpoint.origin().ascii_serialization();
                    tracing::warn!(
                        traces.collector = collector,
                        error,
                        "spans were dropped, since the collector does not take them; nothing else is held up"
                    );
                }
            }
        }
        batch.clear();
    }
}

/// The outer causes say no more than that a request failed.
fn innermost(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

fn dropped(reason: &'static str, count: u64) {
    counter!("vodrelay_spans_dropped_total", "reason" => reason).increment(count);
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::net::SocketAddr;
    use std::sync::{Arc, Mutex};

    use axum::Router;
    use axum::extract::State;
    use axum::http::{HeaderMap, StatusCode as Status};
    use serde_json::Value;
    use tokio::net::TcpListener;
    use vodrelay_core::config::Surroundings;
    use vodrelay_core::{SpanKind, SystemClock, Tracer};

    use super::*;
    use crate::Config;

    /// A collector: what it was sent, and what it answers first.
    #[derive(Clone, Default)]
    struct Collector {
        names: Arc<Mutex<Vec<Vec<String>>>>,
        answers: Arc<Mutex<VecDeque<u16>>>,
    }

    impl Collector {
        async fn start(answers: &[u16]) -> (Self, SocketAddr) {
            let answers: VecDeque<u16> = answers.iter().copied().collect();
            let collector = Self { answers: Arc::new(Mutex::new(answers)), ..Self::default() };
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let router = Router::new().fallback(take).with_state(collector.clone());
            tokio::spawn(async move { axum::serve(listener, router).await });
            (collector, address)
        }

        fn seen(&self) -> Vec<Vec<String>> {
            self.names.lock().unwrap().clone()
        }
    }

    async fn take(
        State(collector): State<Collector>,
        headers: HeaderMap,
        body: String,
    ) -> (Status, &'static str) {
        assert_eq!(
            (&headers["content-type"], &headers["authorization"]),
            (&"application/json".parse().unwrap(), &"Bearer t".parse().unwrap())
        );
        let body: Value = serde_json::from_str(&body).unwrap();
        let spans = body["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap();
        let names = spans.iter().map(|span| span["name"].as_str().unwrap().to_owned()).collect();
        collector.names.lock().unwrap().push(names);
        let status = collector.answers.lock().unwrap().pop_front().unwrap_or(200);
        (Status::from_u16(status).unwrap(), "{}")
    }

    fn start(address: SocketAddr) -> (Tracer, Exporter) {
        let table = format!(
            "endpoint = \"http://{address}/v1/traces\"\nheaders = {{ authorization = \"Bearer t\" }}"
        );
        let config: Config = toml::from_str(&table).unwrap();
        let settings = config.resolve(&Surroundings::default()).unwrap().unwrap();
        let (tracer, ended) = Tracer::new(Arc::new(SystemClock), 1.0);
        let pace = Pace { gather: Duration::from_millis(20), first: Duration::from_millis(1) };
        (tracer, Exporter::new(settings, &Resource::default(), ended, pace))
    }

    fn record(tracer: &Tracer, name: &str) {
        drop(tracer.root(SpanKind::Internal, || name.to_owned()));
    }

    #[tokio::test]
    async fn spans_are_sent_together_again_where_it_may_help_and_to_the_end() {
        let (collector, address) = Collector::start(&[503, 429, 200, 400]).await;
        let (tracer, exporter) = start(address);
        let stop = CancellationToken::new();
        let running = tokio::spawn(exporter.run(stop.clone()));
        record(&tracer, "a");
        record(&tracer, "b");
        while collector.seen().len() < 3 {
            sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(collector.seen(), [["a", "b"], ["a", "b"], ["a", "b"]]);
        record(&tracer, "refused");
        while collector.seen().len() < 4 {
            sleep(Duration::from_millis(5)).await;
        }
        record(&tracer, "next");
        while collector.seen().len() < 5 {
            sleep(Duration::from_millis(5)).await;
        }
        record(&tracer, "last");
        stop.cancel();
        running.await.unwrap();
        // The stop may come before the answer to the next one, which is sent once more then.
        let mut seen = collector.seen();
        if seen.len() == 7 {
            assert_eq!(seen.remove(5), ["next"]);
        }
        assert_eq!(seen[3..], [["refused"], ["next"], ["last"]]);
    }

    #[tokio::test]
    async fn a_collector_that_is_away_costs_nobody_anything() {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let (tracer, exporter) = start(free);
        let stop = CancellationToken::new();
        let running = tokio::spawn(exporter.run(stop.clone()));
        for _ in 0..20_000 {
            record(&tracer, "x");
        }
        stop.cancel();
        timeout(LAST_WORDS + Duration::from_secs(20), running).await.unwrap().unwrap();
    }
}
