//! What every row stands on: a folder, secrets, a service that is well and one that may not be, and how a relay is
//! configured there.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::Instant;

use crate::receiver::{Manner, Receiver};
use crate::relay::{Programs, Relay};
use crate::secrets::{self, Secrets};
use crate::sender::PUBLIC_URL;

/// How long a delivery may take before the relay gives the attempt up.
pub(crate) const SINK_TIMEOUT: Duration = Duration::from_secs(1);
/// What the journal's `min_free` is but where a row is about it.
pub(crate) const MIN_FREE: u64 = 256 << 20;

#[derive(Debug)]
pub(crate) struct Stage {
    /// A service that takes all: it must never wait for the other one.
    pub(crate) steady: Receiver,
    pub(crate) faulty: Receiver,
    pub(crate) secrets: Secrets,
    pub(crate) begun: Instant,
    pub(crate) folder: TempDir,
}

impl Stage {
    pub(crate) async fn set(manner: Manner) -> Result<Self, String> {
        let folder = TempDir::new().map_err(|error| error.to_string())?;
        let (steady, faulty) = (Receiver::start(Manner::Well).await?, Receiver::start(manner).await?);
        Ok(Self { steady, faulty, secrets: Secrets::new(), begun: Instant::now(), folder })
    }

    /// A relay whose callback socket is held for it, with these sinks and queues; not started yet.
    pub(crate) fn supervised(&self, programs: &Programs, min_free: u64, more: &str) -> Result<Relay, String> {
        let relay = Relay::supervised(programs, self.folder.path(), &self.secrets)?;
        relay.configure(&configuration(relay.http, min_free, more)?)?;
        Ok(relay)
    }

    /// A relay that listens by itself, in a folder of its own.
    pub(crate) fn listening(&self, programs: &Programs, name: &str) -> Result<Relay, String> {
        let relay = Relay::listening(programs, &self.folder.path().join(name), &self.secrets, free_port()?)?;
        relay.configure(&configuration(relay.http, MIN_FREE, &self.sinks())?)?;
        Ok(relay)
    }

    /// Leaves the folder there, and answers where.
    pub(crate) fn keep(self) -> PathBuf {
        self.folder.keep()
    }

    /// Both services.
    pub(crate) fn sinks(&self) -> String {
        let (steady, port) = (self.steady.address, self.faulty.address.port());
        let steady = sink("steady", &format!("http://{steady}/hook"));
        steady + &sink("faulty", &format!("http://faulty.test:{port}/hook?token={}", secrets::URL_TOKEN))
    }
}

fn configuration(http: SocketAddr, min_free: u64, more: &str) -> Result<String, String> {
    let (admin, key, token) = (free_port()?, secrets::CALLBACK_KEY, secrets::ADMIN_TOKEN);
    Ok(format!(
        r#"
[http]
listen = "{http}"
[http.callbacks.main]
public_url = "{PUBLIC_URL}"
keys = [{{ name = "torture", env = "{key}" }}]
[journal]
min_free = "{min_free}B"
[admin]
listen = "{admin}"
token = {{ env = "{token}" }}
{more}"#
    ))
}

fn sink(name: &str, url: &str) -> String {
    format!(
        r#"
[sinks.{name}]
kind = "webhook"
concurrency = 16
timeout = "{}s"
retry = {{ first = "200ms", cap = "1s" }}
[sinks.{name}.options]
url = "{url}"
vod_key = {{ env = "{}" }}
secret = {{ env = "{}" }}
"#,
        SINK_TIMEOUT.as_secs(),
        secrets::SINK_KEY,
        secrets::SINK_SECRET
    )
}

fn free_port() -> Result<SocketAddr, String> {
    let bound = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    bound.map_err(|error| format!("no free port: {error}"))
}
