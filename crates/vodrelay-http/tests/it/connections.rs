//! Connections: kept alive, pipelined, many at once, and stopped.

use std::time::Duration;

use crate::server::{EVENT, PROVEN, Server, post, status};

fn kept_alive(body: &str) -> String {
    post("/vod", PROVEN, body).replace("Connection: close\r\n", "Connection: Keep-Alive\r\n")
}

#[tokio::test]
async fn one_connection_serves_many_requests() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    for number in 0..20 {
        client.send(kept_alive(&format!("one by one {number}"))).await;
        assert_eq!(status(&client.answer().await), 200);
    }
    client.send((0..20).map(|number| kept_alive(&format!("pipelined {number}"))).collect::<String>()).await;
    for _ in 0..20 {
        assert_eq!(status(&client.answer().await), 200);
    }
    assert_eq!(server.bodies().len(), 40);
}

#[tokio::test]
async fn a_refused_request_whose_body_was_read_keeps_the_connection() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    client.send(kept_alive(EVENT).replace(PROVEN, "")).await;
    assert_eq!(status(&client.answer().await), 401);
    client.send(kept_alive(EVENT)).await;
    assert_eq!(status(&client.answer().await), 200);
}

#[tokio::test]
async fn a_client_that_asks_first_is_told_to_go_on_or_not() {
    let server = Server::start().await;
    let ask = |headers: &str, length: usize| {
        format!(
            "POST /vod HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n{headers}\r\n"
        )
    };
    let mut client = server.connect().await;
    client.send(ask(PROVEN, EVENT.len())).await;
    assert_eq!(status(&client.answer().await), 100);
    client.send(EVENT).await;
    assert_eq!(status(&client.answer().await), 200);
    let mut client = server.connect().await;
    client.send(ask(PROVEN, 2000)).await;
    assert_eq!(status(&client.answer().await), 413);
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn a_413_arrives_though_the_client_goes_on_sending() {
    let server = Server::start().await;
    let answer = server.exchange(post("/vod", PROVEN, &"x".repeat(1 << 20))).await;
    assert_eq!(status(&answer), 413);
}

#[tokio::test]
async fn a_crowd_is_served() {
    let server = Server::start().await;
    let mut idle = Vec::new();
    for _ in 0..200 {
        idle.push(server.connect().await);
    }
    let requests = (0..200)
        .map(|number| server.exchange(post("/vod", PROVEN, &format!("body {number}"))).await_status());
    for expect in futures_util::future::join_all(requests).await {
        assert_eq!(expect, 200);
    }
    assert_eq!(server.bodies().len(), 200);
}

#[tokio::test]
async fn a_stop_finishes_what_is_in_hand_and_leaves() {
    let server = Server::start().await;
    server.gate.shut(true);
    let mut idle = server.connect().await;
    idle.send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(status(&idle.answer().await), 200);
    let mut in_hand = server.connect().await;
    in_hand.send(kept_alive(EVENT)).await;
    let mut fresh = server.connect().await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    server.shutdown.cancel();
    assert!(idle.rest().await.len() <= 2, "only the rest of the body");
    fresh.send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let answer = fresh.rest().await;
    assert_eq!(status(&answer), 503, "still answered, and told to look elsewhere");
    server.gate.shut(false);
    let answer = in_hand.rest().await;
    assert_eq!(status(&answer), 200);
    assert!(answer.to_lowercase().contains("\r\nconnection: close\r\n"), "{answer}");
    let stopped = tokio::time::timeout(Duration::from_secs(2), server.serving).await;
    stopped.unwrap().unwrap().unwrap();
    assert_eq!(server.journal.events().len(), 1);
}

trait AwaitStatus: Future<Output = String> + Sized {
    async fn await_status(self) -> u16 {
        status(&self.await)
    }
}

impl<T: Future<Output = String>> AwaitStatus for T {}
