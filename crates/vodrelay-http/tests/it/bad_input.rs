//! What a callback must not look like.

use crate::server::{EVENT, PROVEN, Server, post, status};

#[tokio::test]
async fn sizes() {
    let server = Server::start().await;
    let check = async |request: String, expect: u16| {
        assert_eq!(status(&server.exchange(&request).await), expect, "{request:.200}");
    };
    check(post("/vod", PROVEN, ""), 200).await;
    check(post("/vod", PROVEN, &"x".repeat(1024)), 200).await;
    check(post("/vod", PROVEN, &"x".repeat(1025)), 413).await;
    let promised = |headers: &str| {
        format!("POST /vod HTTP/1.1\r\nHost: x\r\nContent-Length: 1073741824\r\n{headers}\r\n")
    };
    check(promised(PROVEN), 413).await;
    let mut lengths: Vec<_> = server.bodies().iter().map(Vec::len).collect();
    lengths.sort_unstable();
    assert_eq!(lengths, [0, 1024]);
}

#[tokio::test]
async fn chunks() {
    let server = Server::start().await;
    let check = async |chunks: &str, expect: u16| {
        let head = format!(
            "POST /vod HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n{PROVEN}\r\n"
        );
        assert_eq!(status(&server.exchange(head + chunks).await), expect, "{chunks:.100}");
    };
    check("3\r\n{\"a\r\n4\r\n\":1}\r\n0\r\n\r\n", 200).await;
    let half = format!("200\r\n{}\r\n", "x".repeat(512));
    check(&format!("{half}{half}0\r\n\r\n"), 200).await;
    check(&format!("{half}{half}1\r\nx\r\n0\r\n\r\n"), 413).await;
    check("zz\r\nnonsense\r\n", 400).await;
    assert_eq!(server.bodies()[0], b"{\"a\":1}");
    assert_eq!(server.bodies().len(), 2);
}

#[tokio::test]
async fn proofs() {
    let server = Server::start().await;
    let signature = "X-VOD-SIGNATURE: ad8020183abed515d47b1ae0f92e453f\r\n";
    for timestamp in
        ["", "0", "-1", "253402300799", "99999999999999999999", "1e9", "17000000000000", "1700000000,1"]
    {
        let headers = format!("X-VOD-TIMESTAMP: {timestamp}\r\n{signature}");
        assert_eq!(status(&server.exchange(post("/vod", &headers, EVENT)).await), 401, "{timestamp}");
    }
    for wrong in ["", "ad80", "zz8020183abed515d47b1ae0f92e453f", &"a".repeat(8000)] {
        let headers = format!("X-VOD-TIMESTAMP: 1700000000\r\nX-VOD-SIGNATURE: {wrong}\r\n");
        assert_eq!(status(&server.exchange(post("/vod", &headers, EVENT)).await), 401, "{wrong:.40}");
    }
    let mut request = post("/vod", "", EVENT).into_bytes();
    let at = request.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 2;
    request.splice(at..at, *b"X-VOD-TIMESTAMP: \xff\xfe\r\nX-VOD-SIGNATURE: \xff\r\n");
    assert_eq!(status(&server.exchange(request).await), 401, "bytes that are no text");
    assert_eq!(server.refusals(13).await.len(), 13);
    assert!(server.bodies().is_empty());
}

#[tokio::test]
async fn heads_that_are_no_heads() {
    let server = Server::start().await;
    let endless = format!("POST /vod HTTP/1.1\r\nX: {}", "x".repeat(100 << 10));
    assert_eq!(status(&server.exchange(endless).await), 431);
    assert_eq!(status(&server.exchange("nonsense\r\n\r\n").await), 400);
    let many: String = (0..200).map(|number| format!("X-{number}: x\r\n")).collect();
    assert_eq!(status(&server.exchange(post("/vod", &many, "")).await), 431);
    let twice = post("/vod", &format!("Content-Length: 5\r\n{PROVEN}"), EVENT);
    assert_eq!(status(&server.exchange(twice).await), 400, "two lengths");
    assert!(server.bodies().is_empty());
}

#[tokio::test]
async fn a_body_cut_short_is_never_accepted() {
    let server = Server::start().await;
    let whole = post("/vod", PROVEN, EVENT);
    let mut client = server.connect().await;
    client.send(&whole[..whole.len() - 1]).await;
    drop(client);
    let unproven = post("/vod", "", EVENT);
    let mut client = server.connect().await;
    client.send(&unproven[..unproven.len() - 1]).await;
    drop(client);
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    assert!(server.bodies().is_empty());
}
