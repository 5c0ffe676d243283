//! `/api/v1/stream`: what happens, while it happens, as server-sent events.
//!
//! Accepted events are read from the journal, behind the last one that was sent, so whoever connects again with
//! `Last-Event-ID` misses none of them, and whoever is slow gets them later. All else is told as it happens and kept
//! nowhere. Nothing here stands on the path of an event: while nobody listens, nothing is done.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Extension, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use hyper::body::Frame;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{MissedTickBehavior, interval};
use vodrelay_core::feed::{Happening, Listener, Missed};
use vodrelay_core::ledger::EventFilter;
use vodrelay_core::{JournalError, RefusalFilter, SinkName};

use super::Problem;
use super::ask::{Asked, word, wrong};
use super::events::Item;
use super::sinks::{self, Sink};
use crate::router::Shared;
use crate::token::Caller;

/// How many listen at once. Each takes a connection, of which there are few.
pub(crate) const MOST_STREAMS: usize = 16;
/// Between two looks for accepted events; every fourth looks for refusals and at the sinks, too.
const LOOK: Duration = Duration::from_millis(250);
const LOOKS_TO_SLOW_LOOK: u32 = 4;
/// A line that says nothing, so that whatever stands in between keeps the connection.
const LOOKS_TO_HEARTBEAT: u32 = 60;
/// Accepted events read at once, and the pages of one look.
const PAGE: usize = 100;
const PAGES: usize = 50;
/// Refusals told at once: under a flood of forgeries the others are only counted elsewhere.
const REFUSALS: usize = 20;
/// What waits for the connection: pieces of at most a page each.
const WAITING: usize = 16;

const KINDS: [&str; 5] = ["accepted", "attempt", "settled", "refused", "sink"];

/// Where it begins, and what is told.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Question {
    after: Option<u64>,
    kinds: Option<String>,
}

pub(crate) async fn open(
    State(state): State<Shared>,
    Extension(caller): Extension<Caller>,
    Asked(Question { mut after, kinds }): Asked<Question>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let kinds = kinds.as_deref().map_or_else(|| Ok(KINDS.map(str::to_owned).to_vec()), kinds_of)?;
    if let Some(last) = headers.get("last-event-id") {
        after = Some(word("Last-Event-ID", last.to_str().unwrap_or_default())?);
    }
    let Ok(place) = Arc::clone(state.streams()).try_acquire_owned() else {
        let message = format!("{MOST_STREAMS} listen already; close one, or try again later");
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, message));
    };
    let newest = newest(&state).await?;
    let (sender, receiver) = mpsc::channel(WAITING);
    let teller = Teller {
        state,
        caller,
        sender,
        kinds,
        // Of another journal, or of one that was set back: what comes next is what it wants.
        after: after.unwrap_or(newest).min(newest),
        listener: None,
        last_refusal: None,
        sinks: BTreeMap::new(),
    };
    tokio::spawn(teller.run(place));
    let headers = [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-store")];
    Ok((headers, Body::new(Pieces(receiver))).into_response())
}

fn kinds_of(text: &str) -> Result<Vec<String>, Problem> {
    let kinds: Vec<String> = text.split(',').map(str::to_owned).collect();
    if kinds.iter().all(|kind| KINDS.contains(&kind.as_str())) {
        return Ok(kinds);
    }
    Err(wrong("kinds", &format!("there are {}, between commas", KINDS.join(", "))))
}

async fn newest(state: &Shared) -> Result<u64, JournalError> {
    let page = state.ledger.events(&EventFilter::default(), None, 1).await?;
    Ok(page.items.first().map_or(0, |event| event.seq))
}

/// Tells one client.
struct Teller {
    state: Shared,
    caller: Caller,
    sender: mpsc::Sender<Bytes>,
    kinds: Vec<String>,
    /// The last event that was sent, or was there before.
    after: u64,
    /// Begins when the client has all that it had missed.
    listener: Option<Listener>,
    last_refusal: Option<u64>,
    /// How each sink stood when that was told.
    sinks: BTreeMap<SinkName, String>,
}

/// Why a stream ends.
enum End {
    /// The client has gone.
    Gone,
    /// The client is told that, and why.
    Told(serde_json::Value),
}

impl From<JournalError> for End {
    fn from(error: JournalError) -> Self {
        Self::Told(json!({"reason": "failed", "detail": error.to_string()}))
    }
}

impl Teller {
    async fn run(mut self, place: OwnedSemaphorePermit) {
        if let Err(End::Told(why)) = self.tell_all().await {
            let _ = self.send("end", None, &why).await;
        }
        drop(place);
    }

    async fn tell_all(&mut self) -> Result<(), End> {
        self.send("ready", Some(self.after), &json!({"seq": self.after})).await?;
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for look in 0_u32.. {
            self.tell_what_happens_until(looks.tick()).await?;
            if self.state.draining.load(Ordering::Relaxed) {
                return Err(End::Told(json!({"reason": "stopping"})));
            }
            if !self.state.still_admits(&self.caller) {
                return Err(End::Told(json!({"reason": "token_gone"})));
            }
            self.tell_accepted().await?;
            if look % LOOKS_TO_SLOW_LOOK == 0 {
                self.tell_refused().await?;
                self.tell_sinks().await?;
            }
            if look % LOOKS_TO_HEARTBEAT == LOOKS_TO_HEARTBEAT - 1 {
                self.send_piece(": nothing new\n\n".into()).await?;
            }
        }
        Ok(())
    }

    async fn tell_what_happens_until<T>(&mut self, until: impl Future<Output = T>) -> Result<(), End> {
        let mut until = std::pin::pin!(until);
        loop {
            let heard = async {
                match &mut self.listener {
                    Some(listener) => listener.next().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = until.as_mut() => return Ok(()),
                () = self.sender.closed() => return Err(End::Gone),
                heard = heard => match heard {
                    Ok(happening) => self.tell_happening(&happening).await?,
                    Err(Missed(missed)) => {
                        return Err(End::Told(json!({"reason": "too_slow", "missed": missed})));
                    }
                },
            }
        }
    }

    async fn tell_happening(&self, happening: &Happening) -> Result<(), End> {
        let kind = match happening {
            Happening::Attempt(_) => "attempt",
            Happening::Settled(_) => "settled",
            _ => return Ok(()),
        };
        self.send(kind, None, happening).await
    }

    async fn tell_accepted(&mut self) -> Result<(), End> {
        for _ in 0..PAGES {
            let page = match self.wants("accepted") {
                true => self.state.ledger.events_since(self.after, PAGE).await?,
                false => Vec::new(),
            };
            let (count, mut piece) = (page.len(), String::new());
            for event in page {
                self.after = event.seq;
                piece.push_str(&written("accepted", Some(event.seq), &Item::from(event)));
            }
            if !piece.is_empty() {
                self.send_piece(piece).await?;
            }
            if count < PAGE {
                let listens = self.wants("attempt") || self.wants("settled");
                if self.listener.is_none() && listens {
                    self.listener = Some(self.state.standings.feed().listen());
                }
                break;
            }
        }
        Ok(())
    }

    /// Those that are kept since the last look, the oldest first.
    async fn tell_refused(&mut self) -> Result<(), End> {
        if !self.wants("refused") {
            return Ok(());
        }
        let refused = self.state.ledger.list_refusals(RefusalFilter::default(), None, REFUSALS).await?;
        let known = self.last_refusal.or(refused.first().map(|refusal| refusal.id)).unwrap_or(0);
        for refusal in refused.iter().rev().filter(|refusal| refusal.id > known) {
            self.send("refused", None, refusal).await?;
        }
        self.last_refusal = Some(refused.first().map_or(known, |refusal| refusal.id.max(known)));
        Ok(())
    }

    /// Those that are paused, driven, probed otherwise than at the last look.
    async fn tell_sinks(&mut self) -> Result<(), End> {
        if !self.wants("sink") {
            return Ok(());
        }
        let is_first = self.sinks.is_empty();
        for sink in sinks::all(&self.state).await? {
            let stands = serde_json::to_string(&sink.stands()).unwrap_or_default();
            let known = self.sinks.insert(sink.name().clone(), stands.clone());
            if !is_first && known != Some(stands) {
                self.send("sink", None, &sink as &Sink).await?;
            }
        }
        Ok(())
    }

    fn wants(&self, kind: &str) -> bool {
        self.kinds.iter().any(|wanted| wanted == kind)
    }

    async fn send(&self, kind: &str, id: Option<u64>, data: &(impl Serialize + ?Sized)) -> Result<(), End> {
        if KINDS.contains(&kind) && !self.wants(kind) {
            return Ok(());
        }
        self.send_piece(written(kind, id, data)).await
    }

    async fn send_piece(&self, piece: String) -> Result<(), End> {
        self.sender.send(piece.into()).await.map_err(|_| End::Gone)
    }
}

/// JSON has no line break outside its strings, and none inside them, so an event is one line of data whatever it says.
fn written(kind: &str, id: Option<u64>, data: &(impl Serialize + ?Sized)) -> String {
    let data = serde_json::to_string(data).unwrap_or_else(|_| "null".to_owned());
    let id = id.map_or_else(String::new, |id| format!("id: {id}\n"));
    format!("{id}event: {kind}\ndata: {data}\n\n")
}

/// The body of the answer: pieces as they come.
struct Pieces(mpsc::Receiver<Bytes>);

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(cx).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}
