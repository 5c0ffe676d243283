//! A relay process, started and ended as an operator would, and a sender that keeps the provider's contract.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use reqwest::RequestBuilder;
use tokio::time::{Instant, sleep};
use vod_event::{CallbackProof, PrivateKey};
use vodrelay_core::testing::event_body;

use crate::receiver::Receiver;

pub(crate) const PUBLIC_URL: &str = "https://relay.example.com/vod/callback";
pub(crate) const KEY: &str = "Abcdef0123456789";

/// How long the provider waits for an answer.
const OF_VOD: Duration = Duration::from_secs(5);
/// Sooner than this no disk has stalled for long enough to excuse a callback that is not accepted.
const STALLED: Duration = Duration::from_secs(2);

/// A relay in a process of its own.
pub(crate) struct Process {
    child: Child,
    pub(crate) http: SocketAddr,
    pub(crate) admin: SocketAddr,
}

impl Process {
    /// Writes the configuration and starts the relay; ready when it answers.
    pub(crate) async fn start(folder: &Path, sink: SocketAddr) -> Self {
        let (http, admin) = (free_port(), free_port());
        Self::start_at(folder, sink, http, admin).await
    }

    /// A relay whose events match no sink.
    pub(crate) async fn start_without_sinks(folder: &Path) -> Self {
        let (http, admin) = (free_port(), free_port());
        Self::start_with(folder, &configuration(http, admin), http, admin).await
    }

    pub(crate) async fn start_at(
        folder: &Path,
        sink: SocketAddr,
        http: SocketAddr,
        admin: SocketAddr,
    ) -> Self {
        let config = configuration(http, admin) + &webhook(sink);
        Self::start_with(folder, &config, http, admin).await
    }

    /// A relay whose standard error is a pipe with nobody at the other end.
    pub(crate) async fn start_with_a_log_that_nobody_reads(folder: &Path, sink: SocketAddr) -> Self {
        let (http, admin) = (free_port(), free_port());
        let config = configuration(http, admin) + &webhook(sink);
        Self::start_logging_to(Stdio::piped(), folder, &config, http, admin).await
    }

    pub(crate) async fn start_with(folder: &Path, text: &str, http: SocketAddr, admin: SocketAddr) -> Self {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(folder.join("log")).unwrap();
        Self::start_logging_to(log.into(), folder, text, http, admin).await
    }

    async fn start_logging_to(
        log: Stdio,
        folder: &Path,
        text: &str,
        http: SocketAddr,
        admin: SocketAddr,
    ) -> Self {
        let config = folder.join("vodrelay.toml");
        std::fs::write(&config, text).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_vodrelay"))
            .args(["serve", "--config"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let process = Self { child, http, admin };
        process.until_ready(folder).await;
        process
    }

    /// A relay that may open so many files and sockets.
    pub(crate) async fn start_with_descriptors(folder: &Path, sink: SocketAddr, descriptors: u32) -> Self {
        let (http, admin) = (free_port(), free_port());
        let config = folder.join("vodrelay.toml");
        std::fs::write(&config, configuration(http, admin) + &webhook(sink)).unwrap();
        let log = std::fs::File::create(folder.join("log")).unwrap();
        let child = Command::new("sh")
            .args(["-c", r#"ulimit -n "$2" && exec "$0" serve --config "$1""#])
            .arg(env!("CARGO_BIN_EXE_vodrelay"))
            .arg(&config)
            .arg(descriptors.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let process = Self { child, http, admin };
        process.until_ready(folder).await;
        process
    }

    /// A relay that is handed its callback socket, as systemd does. It is not waited for: the socket takes connections
    /// whether it is up or not.
    pub(crate) fn start_on(socket: &TcpListener, folder: &Path, admin: SocketAddr) -> Self {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(folder.join("log")).unwrap();
        // The shell has the socket as its input, and hands it on as number 3.
        let child = Command::new("sh")
            .args(["-c", r#"LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" serve --config "$1" 3<&0 0</dev/null"#])
            .arg(env!("CARGO_BIN_EXE_vodrelay"))
            .arg(folder.join("vodrelay.toml"))
            .stdin(OwnedFd::from(socket.try_clone().unwrap()))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { child, http: socket.local_addr().unwrap(), admin }
    }

    /// One whose addresses nobody asks for.
    pub(crate) fn of(child: Child) -> Self {
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        Self { child, http: nowhere, admin: nowhere }
    }

    async fn until_ready(&self, folder: &Path) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while tokio::net::TcpStream::connect(self.http).await.is_err() {
            let log = || std::fs::read_to_string(folder.join("log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "the relay does not come up:\n{}", log());
            sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn kill_9(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, then waits for the end; answers the exit code.
    pub(crate) fn terminate(&mut self) -> Option<i32> {
        self.ask_to_stop();
        self.wait()
    }

    pub(crate) fn ask_to_stop(&self) {
        let pid = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &pid]).status().unwrap();
    }

    /// Has it read its configuration again.
    pub(crate) fn hang_up(&self) {
        let pid = self.child.id().to_string();
        Command::new("kill").args(["-HUP", &pid]).status().unwrap();
    }

    /// Waits until it ends by itself; answers the exit code.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn configuration(http: SocketAddr, admin: SocketAddr) -> String {
    format!(
        r#"
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

pub(crate) fn webhook(sink: SocketAddr) -> String {
    format!(
        r#"
[sinks.hook]
kind = "webhook"
concurrency = 32
retry = {{ first = "200ms", cap = "1s" }}
[sinks.hook.options]
url = "http://{sink}/hook"
"#
    )
}

pub(crate) fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A client with keep-alive and without redirects, as the provider's. Its patience is for what is asked of the admin
/// listener, which waits at a start for a disk that stalls.
pub(crate) fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .timeout(Duration::from_secs(60))
        .build()
        .unwrap()
}

/// A callback as it is signed now.
pub(crate) fn callback(client: &reqwest::Client, origin: &str, body: Bytes, key: &str) -> RequestBuilder {
    callback_of(jiff::Timestamp::now(), client, origin, body, key)
}

pub(crate) fn callback_of(
    signed_at: jiff::Timestamp,
    client: &reqwest::Client,
    origin: &str,
    body: Bytes,
    key: &str,
) -> RequestBuilder {
    let proof = CallbackProof::make(PUBLIC_URL, &PrivateKey::new(key), signed_at);
    client
        .post(format!("{origin}/vod/callback"))
        .timeout(OF_VOD)
        .header("content-type", "application/json")
        .header(CallbackProof::TIMESTAMP_HEADER, proof.timestamp.to_string())
        .header(CallbackProof::SIGNATURE_HEADER, proof.signature_hex())
        .body(body)
}

/// The status of its answer, or nothing where there was none.
pub(crate) async fn status(request: RequestBuilder) -> Option<u16> {
    request.send().await.ok().map(|answer| answer.status().as_u16())
}

/// One attempt: the status, or nothing where there was no answer.
pub(crate) async fn attempt(client: &reqwest::Client, to: SocketAddr, body: Bytes, key: &str) -> Option<u16> {
    status(callback(client, &format!("http://{to}"), body, key)).await
}

/// An event that is to be accepted, at once or as soon as the disk of this machine no longer stalls: as the provider does,
/// whoever was not answered in time, or told so late to come again, comes again. Anything else fails the test.
pub(crate) async fn accepted(client: &reqwest::Client, to: SocketAddr, body: Bytes) {
    until_accepted(async || attempt(client, to, body.clone(), KEY).await).await;
}

pub(crate) async fn until_accepted(attempt: impl AsyncFn() -> Option<u16>) {
    let begun = Instant::now();
    loop {
        let answer = attempt().await;
        if answer == Some(200) {
            return;
        }
        let took = begun.elapsed();
        let may_come_again = matches!(answer, None | Some(503)) && took >= STALLED;
        assert!(may_come_again && took < Duration::from_secs(60), "not accepted: {answer:?} after {took:?}");
        sleep(Duration::from_millis(100)).await;
    }
}

/// The provider's contract: three attempts, a second apart, and only 200 counts.
pub(crate) async fn send_as_vod(client: &reqwest::Client, to: SocketAddr, body: Bytes) -> bool {
    for number in 0..3 {
        if number > 0 {
            sleep(Duration::from_secs(1)).await;
        }
        if attempt(client, to, body.clone(), KEY).await == Some(200) {
            return true;
        }
    }
    false
}

pub(crate) async fn until(what: &str, limit: Duration, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !done() {
        assert!(Instant::now() < deadline, "{what} did not happen within {limit:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_reaches_the_sink_byte_for_byte_and_a_stop_is_clean() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    let mut relay = Process::start(folder.path(), receiver.address).await;
    let client = client();
    let body = event_body(1);
    accepted(&client, relay.http, body.clone()).await;
    accepted(&client, relay.http, body.clone()).await; // a repeat
    assert_eq!(attempt(&client, relay.http, event_body(2), "AnotherKey2026").await, Some(401));
    until("the delivery", Duration::from_secs(10), || receiver.count() == 1).await;
    assert!(receiver.has(&body));

    let ready = client.get(format!("http://{}/readyz", relay.admin)).send().await.unwrap();
    assert_eq!(ready.status(), 200);
    let metrics =
        client.get(format!("http://{}/metrics", relay.admin)).send().await.unwrap().text().await.unwrap();
    for name in [
        "vodrelay_events_received_total",
        "vodrelay_duplicates_total",
        "vodrelay_auth_failures_total",
        "vodrelay_sink_attempts_total",
    ] {
        assert!(metrics.contains(name), "{name} is not among the metrics:\n{metrics}");
    }
    assert_eq!(relay.terminate(), Some(0));
    assert_eq!(receiver.deliveries(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn callbacks_are_received_until_the_deliveries_under_way_are_done() {
    let folder = tempfile::tempdir().unwrap();
    // A sink that takes the connection and says nothing for a while.
    let slow = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut relay = Process::start(folder.path(), slow.local_addr().unwrap()).await;
    let client = client();
    accepted(&client, relay.http, event_body(1)).await;
    let (mut delivery, _) = slow.accept().await.unwrap();

    relay.ask_to_stop();
    let health = format!("http://{}/healthz", relay.http);
    let status = async || client.get(&health).send().await.ok().map(|answer| answer.status().as_u16());
    let deadline = Instant::now() + Duration::from_secs(10);
    while status().await != Some(503) {
        assert!(Instant::now() < deadline, "the health path does not tell that the relay stops");
        sleep(Duration::from_millis(20)).await;
    }
    accepted(&client, relay.http, event_body(2)).await; // while it stops
    let mut request = [0; 4096];
    tokio::io::AsyncReadExt::read(&mut delivery, &mut request).await.unwrap();
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    tokio::io::AsyncWriteExt::write_all(&mut delivery, answer).await.unwrap();
    assert_eq!(relay.wait(), Some(0));

    drop(slow);
    let receiver = Receiver::start().await;
    let _relay = Process::start(folder.path(), receiver.address).await;
    until("the event that came during the stop", Duration::from_secs(30), || receiver.count() == 1).await;
    assert!(receiver.has(&event_body(2)), "and the first is not delivered again");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_while_the_sink_was_down_is_delivered_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let nobody = free_port();
    let mut relay = Process::start(folder.path(), nobody).await;
    let client = client();
    for number in 0..20 {
        accepted(&client, relay.http, event_body(number)).await;
    }
    assert_eq!(relay.terminate(), Some(0));

    let receiver = Receiver::start().await;
    let _relay = Process::start(folder.path(), receiver.address).await;
    until("all deliveries", Duration::from_secs(30), || receiver.count() == 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_nobody_reads_holds_up_no_callback_and_no_stop() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    let mut relay = Process::start_with_a_log_that_nobody_reads(folder.path(), receiver.address).await;
    let client = client();
    // Each refusal is a line of the log; a pipe holds 64 KiB.
    for number in 0..600 {
        let status = attempt(&client, relay.http, event_body(number), "AnotherKey2026").await;
        assert_eq!(status, Some(401), "refusal number {number}");
    }
    accepted(&client, relay.http, event_body(1)).await;
    until("the delivery", Duration::from_secs(10), || receiver.count() == 1).await;
    assert_eq!(relay.terminate(), Some(0));
}
