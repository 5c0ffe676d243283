//! Probes are told apart from callbacks by a nonce that is open, and by nothing else.

use crate::server::{EVENT, PROVEN, Server, post, status};

#[tokio::test]
async fn a_probe_is_judged_as_a_callback_and_kept_nowhere() {
    let server = Server::start().await;
    let nonce = server.probes.issue().unwrap();
    let header = format!("vodrelay-probe: {nonce}\r\n");
    let send = async |path: &str, headers: &str, body: &str| {
        status(&server.exchange(post(path, &format!("{header}{headers}"), body)).await)
    };
    let outcome =
        || server.probes.report(&nonce).unwrap().map(|seen| (seen.source.to_string(), seen.outcome));

    assert_eq!(send("/nothing", PROVEN, "").await, 404);
    assert_eq!(outcome(), None);
    assert_eq!(send("/vod", "", "").await, 401);
    assert_eq!(outcome(), Some(("callbacks.main".to_owned(), "missing")));
    let wrong = "X-VOD-TIMESTAMP: 1700000000\r\nX-VOD-SIGNATURE: ffffffffffffffffffffffffffffffff\r\n";
    assert_eq!(send("/vod", wrong, "").await, 401);
    assert_eq!(outcome(), Some(("callbacks.main".to_owned(), "mismatch")));
    assert_eq!(send("/vod", PROVEN, "").await, 200);
    assert_eq!(outcome(), Some(("callbacks.main".to_owned(), "proven")));
    assert!(server.bodies().is_empty() && server.journal.refusals().is_empty());

    let open = server.probes.issue().unwrap();
    let unsigned = post("/open", &format!("vodrelay-probe: {open}\r\n"), "");
    assert_eq!(status(&server.exchange(unsigned).await), 200);
    assert_eq!(server.probes.report(&open).unwrap().unwrap().outcome, "unsigned");
    assert!(server.bodies().is_empty());
}

#[tokio::test]
async fn anything_else_is_an_ordinary_callback() {
    let server = Server::start().await;
    let nonce = server.probes.issue().unwrap();
    let header = |nonce: &str| format!("{PROVEN}vodrelay-probe: {nonce}\r\n");
    let check = async |headers: String, body: &str, bodies: &[&str]| {
        assert_eq!(status(&server.exchange(post("/vod", &headers, body)).await), 200);
        assert_eq!(server.bodies(), bodies.iter().map(|body| body.as_bytes()).collect::<Vec<_>>());
    };
    // With a body it is an event, whatever header it has.
    check(header(&nonce), EVENT, &[EVENT]).await;
    assert!(server.probes.is_open(nonce.as_bytes()));
    check(header(&nonce), "", &[EVENT]).await;
    // The nonce was used: an empty body cannot be read, and is kept.
    check(header(&nonce), "", &[EVENT, ""]).await;
    // One that was never issued, and a proof that is wrong, make a refusal.
    let wrong = "X-VOD-TIMESTAMP: 1700000000\r\nX-VOD-SIGNATURE: ffffffffffffffffffffffffffffffff\r\n";
    let guessed = format!("{wrong}vodrelay-probe: {}\r\n", "0".repeat(32));
    assert_eq!(status(&server.exchange(post("/vod", &guessed, "")).await), 401);
    assert_eq!(server.refusals(1).await.len(), 1);
}
