//! A relay with one service behind it, and the account of what was acknowledged.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use super::books::Books;
use super::crowd::{Attempts, Crowd};
use super::memory::Peak;
use crate::load::until_within;
use crate::receiver::{Manner, Receiver};
use crate::relay::{Programs, Relay};
use crate::secrets::{self, Secrets};
use crate::sender::{PUBLIC_URL, Sender};

/// How long the backlog may take to be delivered.
const DELIVERY_LIMIT: Duration = Duration::from_secs(600);
/// When nothing has come for so long, nothing more will.
const IDLE: Duration = Duration::from_secs(20);

/// The relay is a process of its own with the preload library, as in every other row.
#[derive(Debug)]
pub(crate) struct Stage {
    relay: Relay,
    receiver: Receiver,
    books: Arc<Books>,
    secrets: Secrets,
    folder: TempDir,
}

/// What became of what was acknowledged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settlement {
    pub(crate) acknowledged: usize,
    pub(crate) missing: usize,
    pub(crate) altered: usize,
}

impl Stage {
    /// One whose relay believes proxies on this machine.
    pub(crate) async fn start(programs: &Programs) -> Result<Self, String> {
        let folder = TempDir::new().map_err(|error| error.to_string())?;
        let (receiver, secrets) = (Receiver::start(Manner::Well).await?, Secrets::new());
        let mut relay = Relay::supervised(programs, folder.path(), &secrets)?;
        relay.configure(&configuration(&receiver))?;
        relay.start()?;
        let stage = Self { relay, receiver, books: Arc::default(), secrets, folder };
        stage.until_it_accepts().await?;
        Ok(stage)
    }

    async fn until_it_accepts(&self) -> Result<(), String> {
        let first = self.crowd(Attempts::ByContract, false, "");
        let tally = first.open_loop(1.0, Duration::from_secs(2), 1).await;
        if tally.accepted() > 0 {
            return Ok(());
        }
        Err(format!("the relay accepts nothing: {}", self.relay.last_words()))
    }

    /// Senders, behind a proxy that puts such lines into the head.
    pub(crate) fn crowd(&self, attempts: Attempts, mixes: bool, headers: &str) -> Arc<Crowd> {
        Crowd::new(self.sender(headers), attempts, mixes, &self.books)
    }

    pub(crate) fn sender(&self, headers: &str) -> Sender {
        let key = self.secrets.value(secrets::CALLBACK_KEY).to_owned();
        let (headers, in_flight) = (headers.to_owned(), Arc::default());
        Sender { to: self.relay.http, key, keeps: true, from: None, headers, in_flight }
    }

    pub(crate) fn memory(&self) -> Result<Peak, String> {
        Peak::of(self.relay.id()?)
    }

    /// Waits until the backlog is delivered, and stops the relay.
    pub(crate) async fn settle(&mut self) -> Result<Settlement, String> {
        let mut left = self.books.acknowledged();
        let acknowledged = left.len();
        let delivered = until_within(DELIVERY_LIMIT, "for deliveries", || {
            left.retain(|number| !self.receiver.has(*number));
            Ok(left.is_empty() || self.receiver.is_idle(IDLE))
        });
        delivered.await?;
        self.relay.stop().await?;
        Ok(Settlement { acknowledged, missing: left.len(), altered: self.receiver.altered() })
    }

    /// Leaves the folder there, and answers where.
    pub(crate) fn keep(self) -> PathBuf {
        self.folder.keep()
    }
}

fn configuration(receiver: &Receiver) -> String {
    format!(
        r#"
[http]
trusted_proxies = ["127.0.0.1"]
[http.callbacks.main]
public_url = "{PUBLIC_URL}"
keys = [{{ env = "{}" }}]
[journal]
min_free = "256MiB"
[admin]
listen = "127.0.0.1:0"
[sinks.plain]
kind = "webhook"
concurrency = 64
retry = {{ first = "200ms", cap = "1s" }}
[sinks.plain.options]
url = "http://{}/hook"
"#,
        secrets::CALLBACK_KEY,
        receiver.address,
    )
}
