//! A receiver on a port of its own, over a journal in memory, at a quarter past ten in the evening of 2023-11-14.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use vodrelay_core::config::Surroundings;
use vodrelay_core::testing::{ManualClock, MemoryJournal};
use vodrelay_core::{
    Appended, Claimed, Clock, Envelope, Intake, Journal, JournalError, Ledger, Pauses, Probes, Refusal,
    Routes, Seq, SettleResult, Settled, SinkName, TroubleKind,
};
use vodrelay_http::{Config, Receiver, serve};

/// The three callbacks share the URL that the vectors of the provider's documentation were made for.
pub(crate) const CONFIG: &str = r#"
    body_limit = "1KiB"
    trusted_proxies = ["127.0.0.0/8"]
    refused = { keep = "1MiB" }
    [callbacks.main]
    public_url = "https://hooks.example.com/vod"
    keys = ["Abcdef0123456789", { name = "old", plain = "OldKey0123456789" }]
    max_skew = "2m"
    [callbacks.open]
    public_url = "https://hooks.example.com/open"
    allow_unsigned = true
    [callbacks.mixed]
    public_url = "https://hooks.example.com/vod"
    path = "/mixed"
    keys = ["Abcdef0123456789"]
    allow_unsigned = true
"#;

/// The moment that the vectors were signed at.
pub(crate) const NOW: i64 = 1_700_000_000;
pub(crate) const PROVEN: &str =
    "X-VOD-TIMESTAMP: 1700000000\r\nX-VOD-SIGNATURE: ad8020183abed515d47b1ae0f92e453f\r\n";
pub(crate) const EVENT: &str = r#"{"EventType":"FileUploadComplete","VideoId":"6a45","Status":"success"}"#;

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) journal: Arc<MemoryJournal>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) probes: Probes,
    pub(crate) shutdown: CancellationToken,
    pub(crate) serving: JoinHandle<std::io::Result<()>>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let clock: Arc<ManualClock> = Arc::default();
        clock.set(jiff::Timestamp::from_second(NOW).unwrap());
        let journal = Arc::new(MemoryJournal::new(Arc::clone(&clock) as Arc<dyn Clock>));
        let gate = Arc::new(Gate { inner: Arc::clone(&journal), shut: AtomicBool::new(false) });
        let (intake, keeper) =
            Intake::new(Arc::clone(&gate) as Arc<dyn Journal>, Arc::new(Routes::default()));
        tokio::spawn(keeper.run(Arc::clone(&journal) as Arc<dyn Ledger>));
        let config: Config = toml::from_str(CONFIG).unwrap();
        let receiver = Receiver::new(config.resolve(&Surroundings::default()).unwrap(), intake, clock);
        let probes = receiver.probes().clone();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let serving = tokio::spawn(serve(listener, receiver, shutdown.clone()));
        Self { address, journal, gate, probes, shutdown, serving }
    }

    pub(crate) async fn connect(&self) -> Client {
        Client(TcpStream::connect(self.address).await.unwrap())
    }

    /// Sends the bytes and answers all that comes back until the server closes.
    pub(crate) async fn exchange(&self, request: impl AsRef<[u8]>) -> String {
        let mut client = self.connect().await;
        client.send(request).await;
        client.rest().await
    }

    pub(crate) fn bodies(&self) -> Vec<Vec<u8>> {
        self.journal.events().iter().map(|envelope| envelope.body.to_vec()).collect()
    }

    /// What was turned away by kind, as soon as it is as expected; it is written in the background.
    pub(crate) async fn troubles(&self, expected: &[(TroubleKind, u64)]) -> Vec<(TroubleKind, u64)> {
        let mut found = Vec::new();
        for _ in 0..1000 {
            let history = self.journal.history(jiff::Timestamp::UNIX_EPOCH).await.unwrap();
            let troubles = history.troubles.into_iter();
            found = troubles.map(|trouble| (trouble.kind, trouble.count)).collect();
            found.sort_by_key(|(kind, _)| expected.iter().position(|(expected, _)| expected == kind));
            if found == expected {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        found
    }

    /// The refusals, as soon as there are so many; they are written in the background.
    pub(crate) async fn refusals(&self, count: usize) -> Vec<Refusal> {
        for _ in 0..1000 {
            let refusals = self.journal.refusals();
            if refusals.len() >= count {
                return refusals;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        self.journal.refusals()
    }
}

pub(crate) struct Client(TcpStream);

impl Client {
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        // The server may have answered and left before everything was sent.
        let _ = self.0.write_all(bytes.as_ref()).await;
    }

    /// Everything until the server closes.
    pub(crate) async fn rest(&mut self) -> String {
        let mut answer = Vec::new();
        let _ = timeout(Duration::from_secs(100), self.0.read_to_end(&mut answer))
            .await
            .expect("the server closes");
        String::from_utf8(answer).unwrap()
    }

    /// One answer without a body.
    pub(crate) async fn answer(&mut self) -> String {
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            match self.0.read_u8().await {
                Ok(byte) => answer.push(byte),
                Err(_) => break,
            }
        }
        String::from_utf8(answer).unwrap()
    }
}

/// A POST whose connection ends with its answer.
pub(crate) fn post(path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    )
}

/// The status of a whole answer; 0 if there was none.
pub(crate) fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).map_or(0, |status| status.parse().unwrap())
}

/// The journal, with a gate before it that never opens once it is shut.
#[derive(Debug)]
pub(crate) struct Gate {
    inner: Arc<MemoryJournal>,
    shut: AtomicBool,
}

impl Gate {
    pub(crate) fn shut(&self, shut: bool) {
        self.shut.store(shut, Ordering::SeqCst);
    }
}

#[async_trait]
impl Journal for Gate {
    async fn append(&self, envelope: &Envelope, sinks: &[SinkName]) -> Result<Appended, JournalError> {
        while self.shut.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.inner.append(envelope, sinks).await
    }

    async fn claim(&self, sink: &SinkName, limit: usize, lease: Duration) -> Result<Claimed, JournalError> {
        self.inner.claim(sink, limit, lease).await
    }

    async fn settle(&self, outcomes: &[Settled]) -> Result<Vec<SettleResult>, JournalError> {
        self.inner.settle(outcomes).await
    }

    fn watch_work(&self) -> watch::Receiver<Seq> {
        self.inner.watch_work()
    }

    fn watch_pauses(&self) -> watch::Receiver<Pauses> {
        self.inner.watch_pauses()
    }
}
