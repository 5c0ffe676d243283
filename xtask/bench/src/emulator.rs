//! The queue service that is drained: the emulator in a process of its own. A queue is filled while none of its
//! messages can be received yet, and then they all can at the same moment.

use std::net::SocketAddr;
use std::thread::sleep;
use std::time::Duration;

use aliyun_credentials::{CredentialProvider, Credentials};
use mns_client::{Client, Config, MAX_BATCH, Outgoing, Queue, QueueName};
use mns_emulator::{AccessKey, Attributes, Ledger, Settings};
use tokio::task::JoinSet;

use crate::baseline::until_input_ends;
use crate::clock::Instant;
use crate::process::Process;
use crate::relay::{ask, get};
use crate::{callback, load};

/// The one queue.
pub(crate) const QUEUE: &str = "vod-events";
pub(crate) const ACCESS_KEY_ID: &str = "AK";
pub(crate) const ACCESS_KEY_SECRET: &str = "SK";

/// How long messages are delayed; far longer than filling takes.
const DELAY_S: u32 = 3_600;
/// Who fills, at the same time.
const SENDERS: u64 = 8;

/// Serves until its standard input ends; prints its port first.
#[tokio::main]
pub(crate) async fn run() -> Result<(), String> {
    let settings = Settings {
        access_keys: vec![AccessKey::new(ACCESS_KEY_ID, ACCESS_KEY_SECRET)],
        // Its clock runs ahead of those of its clients, by the delay for each time that it was filled.
        max_skew: None,
        ..Settings::default()
    };
    let emulator = mns_emulator::Emulator::start(settings).await.map_err(|error| error.to_string())?;
    let attributes = Attributes { delay_seconds: DELAY_S, ..Attributes::default() };
    emulator.create_queue(QUEUE, attributes).map_err(|error| error.to_string())?;
    crate::baseline::say_port(emulator.address().port())?;
    until_input_ends().await
}

/// An emulator; killed with this value.
#[derive(Debug)]
pub(crate) struct Emulator {
    _process: Process,
    address: SocketAddr,
}

impl Emulator {
    pub(crate) fn start() -> Result<Self, String> {
        let (process, address) = Process::start_server("emulator", &[])?;
        Ok(Self { _process: process, address })
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What was asked since the start.
    pub(crate) fn ledger(&self) -> Result<Ledger, String> {
        let ledger = get(self.address, "/_emulator/ledger")?;
        serde_json::from_str(&ledger).map_err(|error| format!("the ledger cannot be read: {error}"))
    }

    /// Fills the queue with so many events that nobody has had yet. They can be received after [`Emulator::release`].
    pub(crate) fn fill(&self, messages: u64) -> Result<(), String> {
        fill(&self.endpoint(), messages)
    }

    /// Makes what was filled in visible, all at once.
    pub(crate) fn release(&self) -> Result<(), String> {
        let path = format!("/_emulator/clock?advance_ms={}", u64::from(DELAY_S) * 1_000);
        ask("POST", self.address, &path).map(drop)
    }

    /// Waits until that many messages were deleted since the start.
    pub(crate) fn until_deleted(&self, messages: u64, limit: Duration) -> Result<(), String> {
        let deadline = Instant::now() + limit;
        loop {
            let deleted = self.ledger()?.deleted();
            if deleted >= messages {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("{deleted} of {messages} messages were deleted within {limit:?}"));
            }
            sleep(Duration::from_millis(5));
        }
    }
}

/// The queue at that endpoint.
pub(crate) fn queue(endpoint: &str) -> Result<Queue, String> {
    let keys = CredentialProvider::fixed(Credentials::new(ACCESS_KEY_ID, ACCESS_KEY_SECRET));
    let endpoint = endpoint.parse().map_err(|error: mns_client::Error| error.to_string())?;
    let client = Client::new(Config::new(endpoint), keys).map_err(|error| error.to_string())?;
    Ok(client.queue(QueueName::new(QUEUE).map_err(|error| error.to_string())?))
}

#[tokio::main]
async fn fill(endpoint: &str, messages: u64) -> Result<(), String> {
    let queue = queue(endpoint)?;
    let mut senders = JoinSet::new();
    for sender in 0..SENDERS {
        let share = messages / SENDERS + u64::from(sender < messages % SENDERS);
        senders.spawn(send(queue.clone(), share));
    }
    while let Some(sender) = senders.join_next().await {
        sender.map_err(|error| error.to_string())??;
    }
    Ok(())
}

async fn send(queue: Queue, messages: u64) -> Result<(), String> {
    let mut body = callback::body();
    let mut left = messages;
    while left > 0 {
        let count = left.min(MAX_BATCH as u64);
        let mut next = || Outgoing::new(String::from_utf8_lossy(body.with(load::next_number())));
        let batch: Vec<Outgoing> = (0..count).map(|_| next()).collect();
        let results = queue.send_batch(&batch).await.map_err(|error| error.to_string())?;
        results.into_iter().try_for_each(|result| result.map(drop)).map_err(|error| error.to_string())?;
        left -= count;
    }
    Ok(())
}
