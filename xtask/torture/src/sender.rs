//! A sender that keeps the provider's contract: three attempts, a second apart, five seconds each, and only 200 counts.
//!
//! It is harsher than the provider may be in one thing: an answer that does not come over a connection that was kept is
//! an attempt that failed, and is not tried again at once.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, sleep, timeout};
use vod_event::{CallbackProof, PrivateKey};

use crate::http::Message;

pub(crate) const PUBLIC_URL: &str = "https://relay.example.com/vod/callback";
pub(crate) const PATH: &str = "/vod/callback";
const ATTEMPTS: u32 = 3;
const BETWEEN: Duration = Duration::from_secs(1);
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// Who sends, and how.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    pub(crate) to: SocketAddr,
    pub(crate) key: String,
    /// Whether a connection is kept for the next request.
    pub(crate) keeps: bool,
    /// The address that it sends from.
    pub(crate) from: Option<IpAddr>,
    /// Whole lines that a proxy on the way puts into the head.
    pub(crate) headers: String,
    /// How many requests are under way, of all that share this.
    pub(crate) in_flight: Arc<AtomicUsize>,
}

/// A sender with the connection that it keeps.
#[derive(Debug)]
pub(crate) struct Line {
    sender: Sender,
    stream: Option<TcpStream>,
}

impl Line {
    pub(crate) fn new(sender: Sender) -> Self {
        Self { sender, stream: None }
    }

    /// Sends one event; the status of each attempt, or nothing where there was no answer, and how long that took.
    pub(crate) async fn send(&mut self, body: &[u8], mut seen: impl FnMut(Option<u16>, Duration)) -> bool {
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                sleep(BETWEEN).await;
            }
            let begun = Instant::now();
            let status = self.attempt(body).await;
            seen(status, begun.elapsed());
            if status == Some(200) {
                return true;
            }
        }
        false
    }

    /// Whether the connection was kept, and the relay has closed it since.
    pub(crate) fn was_closed(&self) -> bool {
        let read = self.stream.as_ref().map(|stream| stream.try_read(&mut [0]));
        read.is_some_and(|read| !matches!(read, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock))
    }

    /// One request; a proof of this moment stands on it.
    pub(crate) async fn attempt(&mut self, body: &[u8]) -> Option<u16> {
        let request = request(&self.sender.key, &self.sender.headers, body);
        self.sender.in_flight.fetch_add(1, Ordering::SeqCst);
        let answer = timeout(PATIENCE, self.exchange(&request)).await.ok().flatten();
        self.sender.in_flight.fetch_sub(1, Ordering::SeqCst);
        if !self.sender.keeps || answer.as_ref().is_none_or(Message::closes) {
            self.stream = None;
        }
        answer.and_then(|answer| answer.status())
    }

    /// Sends a request whose body is so long and lacks its last byte, and waits for what the relay does about it.
    pub(crate) async fn hold_back(self, length: usize) {
        let body = vec![b' '; length];
        let request = request(&self.sender.key, &self.sender.headers, &body);
        let Ok(mut stream) = connect(self.sender.from, self.sender.to).await else { return };
        let sent = stream.write_all(request.split_last().map_or(&[], |(_, all_but_one)| all_but_one)).await;
        if sent.is_ok() {
            Message::read(&mut stream, &mut Vec::new()).await;
        }
    }

    /// The connection is out of its place while it is used, so that one that is given up midway is not used again.
    async fn exchange(&mut self, request: &[u8]) -> Option<Message> {
        let mut stream = match self.stream.take() {
            Some(kept) => kept,
            None => connect(self.sender.from, self.sender.to).await.ok()?,
        };
        stream.write_all(request).await.ok()?;
        let answer = Message::read(&mut stream, &mut Vec::new()).await?;
        self.stream = Some(stream);
        Some(answer)
    }
}

pub(crate) async fn connect(from: Option<IpAddr>, to: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = match from {
        None => TcpStream::connect(to).await?,
        Some(from) => {
            let socket = TcpSocket::new_v4()?;
            socket.bind(SocketAddr::new(from, 0))?;
            socket.connect(to).await?
        }
    };
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A callback with a proof of this moment.
pub(crate) fn request(key: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    [&head(key, headers, body.len()), body].concat()
}

/// The head of one whose body is so long.
pub(crate) fn head(key: &str, headers: &str, length: usize) -> Vec<u8> {
    let proof = CallbackProof::make(PUBLIC_URL, &PrivateKey::new(key), jiff::Timestamp::now());
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nhost: relay.example.com\r\ncontent-type: application/json\r\n{}: {}\r\n{}: {}\r\n\
         {headers}content-length: {length}\r\n\r\n",
        CallbackProof::TIMESTAMP_HEADER,
        proof.timestamp(),
        CallbackProof::SIGNATURE_HEADER,
        proof.signature_hex(),
    );
    head.into_bytes()
}
