//! Connections that want too much: too many of them, or too long for one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use vodrelay_admin::serve;
use vodrelay_core::SystemClock;
use vodrelay_core::testing::{MemoryJournal, MockJudge};

use crate::state;

async fn start() -> (SocketAddr, CancellationToken) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, shutdown) = (listener.local_addr().unwrap(), CancellationToken::new());
    let ledger = Arc::new(MemoryJournal::new(Arc::new(SystemClock)));
    tokio::spawn(serve(listener, state(ledger, MockJudge::new()), shutdown.clone()));
    (address, shutdown)
}

/// Sends that, and answers all that comes until the other side closes.
async fn exchange(to: SocketAddr, bytes: &str) -> String {
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

const PROBE: &str = "GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn many_that_ask_nothing_are_closed_for_one_that_asks() {
    let (address, shutdown) = start().await;
    let mut idle = Vec::new();
    for _ in 0..300 {
        idle.push(TcpStream::connect(address).await.unwrap());
    }
    let asked = timeout(Duration::from_secs(30), exchange(address, PROBE)).await.unwrap();
    assert!(asked.starts_with("HTTP/1.1 200"), "{asked}");
    let is_open = |stream: &TcpStream| {
        let read = stream.try_read(&mut [0]);
        read.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    };
    assert!(!is_open(&idle[0]), "the first was idle longest");
    assert!(is_open(&idle[299]), "the last is open");
    let open = idle.iter().filter(|stream| is_open(stream)).count();
    assert!(open <= 64, "{open} are open");
    shutdown.cancel();
}

#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_come_is_not_waited_for() {
    let (address, _shutdown) = start().await;
    let start = Instant::now();
    for begun in ["", "GET /livez HTTP/1.1\r\nhost:"] {
        exchange(address, begun).await;
    }
    assert!(start.elapsed() <= Duration::from_secs(61), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_body_has_bounds_of_room_and_time() {
    let (address, _shutdown) = start().await;
    let post = |length: usize, body: &str| {
        format!(
            "POST /api/v1/replay HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\n\r\n{body}"
        )
    };
    let check = async |request: String, status: &str| {
        let answer = exchange(address, &request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    };
    let start = Instant::now();
    check(post(1_000, "{"), "408").await;
    assert!(start.elapsed() <= Duration::from_secs(11), "{:?}", start.elapsed());
    let large = "x".repeat((64 << 10) + 1);
    check(post(large.len(), &large), "413").await;
    check(post(2, "{}"), "422").await;
}
