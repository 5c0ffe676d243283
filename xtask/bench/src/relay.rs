//! The relay under measurement: the release binary, configured as an operator would, in a process of its own.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use crate::Bench;
use crate::callback::{KEY, PUBLIC_URL};
use crate::clock::Instant;
use crate::load;
use crate::process::Process;

const START_LIMIT: Duration = Duration::from_secs(20);

/// The journal's folder within the relay's.
pub(crate) const DATA: &str = "data";
/// The one sink, where it is a webhook.
pub(crate) const SINK: &str = "hook";
/// Deliveries under way at the same time.
const CONCURRENCY: usize = 64;

/// A relay; killed with this value.
#[derive(Debug)]
pub(crate) struct Relay {
    pub(crate) process: Process,
    pub(crate) http: SocketAddr,
    pub(crate) folder: PathBuf,
    pub(crate) admin: SocketAddr,
}

/// An address where nobody listens: a sink that is down.
pub(crate) fn nobody() -> Result<SocketAddr, String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| error.to_string())?;
    listener.local_addr().map_err(|error| error.to_string())
}

impl Relay {
    /// A relay with a journal of its own that delivers to that address; ready when it accepts connections.
    pub(crate) fn start(bench: &Bench, name: &str, sink: SocketAddr) -> Result<Self, String> {
        Self::start_with(bench, name, sink, "")
    }

    /// The same with further tables in its configuration.
    pub(crate) fn start_with(
        bench: &Bench,
        name: &str,
        sink: SocketAddr,
        tables: &str,
    ) -> Result<Self, String> {
        let (command, folder) = (Command::new(&bench.vodrelay), bench.folder.join(name));
        let relay = Self::launch_with(command, &folder, &(webhook(sink) + tables))?;
        relay.until_ready()?;
        Ok(relay)
    }

    /// Starts a relay in that folder and does not wait for it.
    pub(crate) fn launch(command: Command, folder: &Path, sink: SocketAddr) -> Result<Self, String> {
        Self::launch_with(command, folder, &webhook(sink))
    }

    /// The same with these tables in its configuration, a sink among them.
    pub(crate) fn launch_with(mut command: Command, folder: &Path, tables: &str) -> Result<Self, String> {
        let (http, admin) = (nobody()?, nobody()?);
        let config = folder.join("vodrelay.toml");
        let prepare = || {
            fs::create_dir_all(folder)?;
            fs::write(&config, configuration(http, admin) + tables)?;
            fs::File::create(folder.join("log"))
        };
        let log = prepare().map_err(|error| format!("cannot write to {}: {error}", folder.display()))?;
        command.args(["serve", "--config"]).arg(&config);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        Ok(Self { process: Process::start(&mut command)?, http, admin, folder: folder.to_owned() })
    }

    pub(crate) fn until_ready(&self) -> Result<(), String> {
        self.connect().map(drop)
    }

    /// The first connection that is accepted.
    pub(crate) fn connect(&self) -> Result<TcpStream, String> {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            match load::connect(self.http) {
                Ok(stream) => return Ok(stream),
                Err(_) if Instant::now() < deadline && self.process.ended()?.is_none() => {
                    sleep(Duration::from_micros(500));
                }
                Err(error) => return Err(format!("the relay does not come up: {error}\n{}", self.log())),
            }
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// The sum of a metric over its labels; 0 where nothing was counted yet.
    pub(crate) fn metric(&self, name: &str) -> Result<f64, String> {
        let text = get(self.admin, "/metrics")?;
        let values = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let is_it = series.split('{').next() == Some(name);
            is_it.then(|| value.parse::<f64>().ok()).flatten()
        });
        Ok(values.sum())
    }

    /// Waits until that many deliveries were settled in this relay's life and none is pending.
    pub(crate) fn until_settled(&self, events: u64, limit: Duration) -> Result<(), String> {
        let deadline = Instant::now() + limit;
        loop {
            let settled = self.metric("vodrelay_journal_deliveries_settled_total")?;
            if settled >= events as f64 && self.metric("vodrelay_sink_pending")? == 0.0 {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!(
                    "{settled} of {events} deliveries were settled within {limit:?}\n{}",
                    self.log()
                ));
            }
            sleep(Duration::from_millis(5));
        }
    }
}

/// The body of the answer to a GET.
pub(crate) fn get(from: SocketAddr, path: &str) -> Result<String, String> {
    ask("GET", from, path)
}

/// The body of the answer to a request without one.
pub(crate) fn ask(method: &str, from: SocketAddr, path: &str) -> Result<String, String> {
    let ask = || {
        let mut stream = TcpStream::connect(from)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        write!(stream, "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = ask().map_err(|error: std::io::Error| format!("no answer to {method} {path}: {error}"))?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200 ") => Ok(body.to_owned()),
        _ => Err(format!("{method} {path} was answered: {answer}")),
    }
}

fn configuration(http: SocketAddr, admin: SocketAddr) -> String {
    format!(
        r#"data_dir = "{DATA}"
[http]
listen = "{http}"
[http.callbacks.main]
public_url = "{PUBLIC_URL}"
keys = ["{KEY}"]
[journal]
min_free = "256MiB"
[admin]
listen = "{admin}"
"#
    )
}

fn webhook(sink: SocketAddr) -> String {
    format!(
        r#"[sinks.{SINK}]
kind = "webhook"
concurrency = {CONCURRENCY}
[sinks.{SINK}.options]
url = "http://{sink}/hook"
"#
    )
}
