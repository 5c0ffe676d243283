//! Clients and journals that are slow, on a clock that only moves when everybody waits.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::server::{EVENT, PROVEN, Server, post, status};

fn about(took: Duration, seconds: f64) -> bool {
    (took.as_secs_f64() - seconds).abs() < 0.6
}

#[tokio::test(start_paused = true)]
async fn a_slow_head_is_closed_unanswered() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    sleep(Duration::from_secs(10)).await;
    let start = Instant::now();
    client.send("POST /vod HT").await;
    sleep(Duration::from_secs(2)).await;
    client.send("TP/1.1\r\nHost: x\r\n").await;
    assert_eq!(client.rest().await, "");
    assert!(about(start.elapsed(), 3.0), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_slow_body_is_408_three_seconds_after_the_first_byte() {
    let server = Server::start().await;
    let request = post("/vod", PROVEN, EVENT);
    let mut client = server.connect().await;
    let start = Instant::now();
    client.send(&request[..10]).await;
    sleep(Duration::from_secs(2)).await;
    client.send(&request[10..request.len() - 1]).await;
    let answer = client.rest().await;
    assert_eq!(status(&answer), 408);
    assert!(answer.to_lowercase().contains("\r\nconnection: close\r\n"), "{answer}");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert!(server.bodies().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_slow_body_without_proof_is_kept_as_cut_short() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    let request = post("/vod", "", EVENT);
    client.send(&request[..request.len() - 1]).await;
    assert_eq!(status(&client.rest().await), 401);
    let refusals = server.refusals(1).await;
    assert!(refusals[0].cut_short);
    assert_eq!(&refusals[0].body[..], &EVENT.as_bytes()[..EVENT.len() - 1]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_journal_is_503_within_the_budget() {
    let server = Server::start().await;
    server.gate.shut(true);
    let start = Instant::now();
    assert_eq!(status(&server.exchange(post("/vod", PROVEN, EVENT)).await), 503);
    assert!(about(start.elapsed(), 3.0), "{:?}", start.elapsed());
    server.gate.shut(false);
    assert_eq!(status(&server.exchange(post("/vod", PROVEN, EVENT)).await), 200);
    assert_eq!(server.bodies().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_after_75_seconds() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    client.send(post("/vod", PROVEN, EVENT).replace("Connection: close\r\n", "")).await;
    assert_eq!(status(&client.answer().await), 200);
    let start = Instant::now();
    assert_eq!(client.rest().await, "");
    assert!(about(start.elapsed(), 75.0), "{:?}", start.elapsed());
}
