//! A service that takes webhooks, knows whether each body is one that was sent, and misbehaves as it is told.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use vodrelay_core::testing::event_body;

use crate::http::Message;

/// What a service does with what comes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Manner {
    /// Takes all.
    Well,
    /// Says 503 to one in ten.
    Flaky,
    /// Says 503 to all.
    Down,
    /// Nobody listens.
    Gone,
    /// Takes the request and never answers.
    Hanging,
    /// Answers after so long, within the relay's patience.
    Slow(Duration),
    /// Takes it, and answers when the relay has given up.
    Late(Duration),
    /// Says 429, and when to come back.
    Busy { seconds: u64 },
    /// Takes all, and keeps no connection.
    Closing,
}

/// A service; what it saw is there for as long as this is.
#[derive(Clone, Debug)]
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    manner: watch::Sender<Manner>,
}

#[derive(Debug)]
struct Seen {
    /// How often each event was taken, by its number.
    taken: HashMap<usize, usize>,
    /// Bodies that nobody sent.
    altered: usize,
    requests: usize,
    last_request: Instant,
    /// Requests that met something else than a service that takes all.
    turned_away: usize,
    /// Until when each event was asked to stay away, and how many did not.
    not_before: HashMap<usize, Instant>,
    too_soon: usize,
}

impl Seen {
    fn new() -> Self {
        let (taken, not_before) = (HashMap::new(), HashMap::new());
        let last_request = Instant::now();
        Self { taken, altered: 0, requests: 0, last_request, turned_away: 0, not_before, too_soon: 0 }
    }
}

impl Receiver {
    pub(crate) async fn start(manner: Manner) -> Result<Self, String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|error| error.to_string())?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let receiver =
            Self { address, seen: Arc::new(Mutex::new(Seen::new())), manner: watch::Sender::new(manner) };
        tokio::spawn(listen(receiver.clone(), listener));
        Ok(receiver)
    }

    /// From now on; answers how it behaved so far.
    pub(crate) fn behave(&self, manner: Manner) -> Manner {
        self.manner.send_replace(manner)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn has(&self, number: usize) -> bool {
        self.seen().taken.contains_key(&number)
    }

    /// How many deliveries it took, repeated ones too.
    pub(crate) fn deliveries(&self) -> usize {
        self.seen().taken.values().sum()
    }

    /// How many it took more than once.
    pub(crate) fn duplicates(&self) -> usize {
        let seen = self.seen();
        seen.taken.values().sum::<usize>() - seen.taken.len()
    }

    pub(crate) fn altered(&self) -> usize {
        self.seen().altered
    }

    pub(crate) fn turned_away(&self) -> usize {
        self.seen().turned_away
    }

    /// Whether nothing has come for so long.
    pub(crate) fn is_idle(&self, time: Duration) -> bool {
        self.seen().last_request.elapsed() > time
    }

    pub(crate) fn too_soon(&self) -> usize {
        self.seen().too_soon
    }
}

/// Takes connections, unless nobody is to listen: then all are closed, and later the same port is taken again.
async fn listen(receiver: Receiver, mut listener: TcpListener) {
    let mut manner = receiver.manner.subscribe();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    tokio::spawn(serve(receiver.clone(), stream));
                }
                continue;
            }
            _ = manner.wait_for(|manner| *manner == Manner::Gone) => drop(listener),
        }
        if manner.wait_for(|manner| *manner != Manner::Gone).await.is_err() {
            return;
        }
        listener = loop {
            match TcpListener::bind(receiver.address).await {
                Ok(listener) => break listener,
                Err(_) => sleep(Duration::from_millis(10)).await,
            }
        };
    }
}

async fn serve(receiver: Receiver, mut stream: TcpStream) {
    let mut manner = receiver.manner.subscribe();
    let mut buffer = Vec::new();
    loop {
        let message = tokio::select! {
            message = Message::read(&mut stream, &mut buffer) => message,
            _ = manner.wait_for(|manner| *manner == Manner::Gone) => return,
        };
        let Some(message) = message else { return };
        let manner = *receiver.manner.borrow();
        let Some(answer) = receiver.answer(manner, &message.body).await else { return };
        if stream.write_all(answer.as_bytes()).await.is_err() || manner == Manner::Closing {
            return;
        }
    }
}

impl Receiver {
    /// What to say, and when; nothing where the connection is to be dropped.
    async fn answer(&self, manner: Manner, body: &[u8]) -> Option<String> {
        const FOREVER: Duration = Duration::from_secs(60);
        let number = self.look_at(body)?;
        let turn_away = match manner {
            Manner::Well | Manner::Closing => None,
            Manner::Flaky => self.seen().requests.is_multiple_of(10).then_some(503),
            Manner::Down | Manner::Gone => Some(503),
            Manner::Hanging => {
                self.seen().turned_away += 1;
                sleep(FOREVER).await;
                return None;
            }
            Manner::Slow(time) => {
                sleep(time).await;
                None
            }
            Manner::Late(time) => {
                self.take(number);
                self.seen().turned_away += 1;
                sleep(time).await;
                return Some(answer(200, ""));
            }
            Manner::Busy { seconds } => {
                let again = Instant::now() + Duration::from_secs(seconds);
                self.seen().not_before.insert(number, again);
                self.seen().turned_away += 1;
                return Some(answer(429, &format!("retry-after: {seconds}\r\n")));
            }
        };
        if let Some(status) = turn_away {
            self.seen().turned_away += 1;
            return Some(answer(status, ""));
        }
        self.take(number);
        Some(answer(200, if manner == Manner::Closing { "connection: close\r\n" } else { "" }))
    }

    /// The number of the event; none where nobody sent such a body.
    fn look_at(&self, body: &[u8]) -> Option<usize> {
        let number = number_of(body);
        let mut seen = self.seen();
        seen.requests += 1;
        seen.last_request = Instant::now();
        seen.altered += usize::from(number.is_none());
        let number = number?;
        let is_too_soon = seen.not_before.get(&number).is_some_and(|moment| Instant::now() < *moment);
        seen.too_soon += usize::from(is_too_soon);
        Some(number)
    }

    fn take(&self, number: usize) {
        *self.seen().taken.entry(number).or_default() += 1;
    }
}

fn answer(status: u16, headers: &str) -> String {
    format!("HTTP/1.1 {status} As told\r\n{headers}content-length: 0\r\n\r\n")
}

/// The number of the event whose body that is, byte for byte.
fn number_of(body: &[u8]) -> Option<usize> {
    const BEFORE: &str = r#""VideoId":""#;
    let text = str::from_utf8(body).ok()?;
    let digits = text.split_once(BEFORE)?.1.get(..32)?;
    let number = usize::from_str_radix(digits, 16).ok()?;
    (event_body(number) == body).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_differs_by_a_byte_is_nobodys() {
        let mut body = event_body(4711).to_vec();
        assert_eq!(number_of(&body), Some(4711));
        *body.last_mut().unwrap() = b' ';
        assert_eq!(number_of(&body), None);
    }
}
