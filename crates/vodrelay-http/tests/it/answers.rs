//! Each row of the table of answers, and their order.

use vod_event::{CallbackProof, PrivateKey};
use vodrelay_core::{JournalError, RefusalCause, TroubleKind};

use crate::server::{EVENT, PROVEN, Server, post, status};

#[tokio::test]
async fn two_hundred_and_nothing_else() {
    let server = Server::start().await;
    let answer = server.exchange(post("/vod", PROVEN, EVENT)).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.to_lowercase().contains("content-length: 0\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    assert_eq!(status(&server.exchange(post("/vod", PROVEN, EVENT)).await), 200, "seen before");
    assert_eq!(server.bodies(), [EVENT.as_bytes()]);
    let received_at = server.journal.events()[0].received_at;
    assert!(received_at.as_second() >= crate::server::NOW - 1);
}

#[tokio::test]
async fn the_order_of_answers() {
    let server = Server::start().await;
    let check = async |request: String, expect: u16| {
        let answer = server.exchange(&request).await;
        assert_eq!(status(&answer), expect, "{request:.200}\n{answer}");
        assert!(answer.ends_with("\r\n\r\n"), "no cause in the body: {answer}");
    };
    let large = "x".repeat(1025);
    let long = format!("X-Long: {}\r\n", "x".repeat(17 << 10));
    let all_wrong = format!("{long}Content-Encoding: gzip\r\n");
    check(post("/nothing", &all_wrong, &large).replacen("POST", "PUT", 1), 404).await;
    check(post("/vod", &all_wrong, &large).replacen("POST", "PUT", 1), 405).await;
    check(post("/vod", &all_wrong, &large), 431).await;
    check(post("/vod", "Content-Encoding: gzip\r\n", &large), 415).await;
    check(post("/vod", "Content-Encoding: identity\r\n", &large), 401).await;
    check(post("/vod", PROVEN, &large), 413).await;
    assert!(server.bodies().is_empty());
}

#[tokio::test]
async fn other_methods_are_told_which_one() {
    let server = Server::start().await;
    for method in ["GET", "HEAD", "PUT", "OPTIONS"] {
        let answer = server.exchange(post("/vod", PROVEN, "").replacen("POST", method, 1)).await;
        assert_eq!(status(&answer), 405, "{method}");
        assert!(answer.to_lowercase().contains("\r\nallow: post\r\n"), "{answer}");
    }
    assert_eq!(status(&server.exchange(post("/healthz", "", "")).await), 405);
    let answer = server.exchange("GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(answer.ends_with("\r\n\r\nok"), "{answer}");
    let answer = server.exchange("HEAD /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(status(&answer) == 200 && answer.ends_with("\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn refusals_are_kept_whole_and_never_accepted() {
    let server = Server::start().await;
    let check = async |number: usize, headers: &str, cause: RefusalCause| {
        let headers = format!("{headers}X-Forwarded-For: 203.0.113.9, 198.51.100.{number}\r\n");
        assert_eq!(status(&server.exchange(post("/vod", &headers, EVENT)).await), 401, "{headers}");
        let refusals = server.refusals(number).await;
        let refusal = refusals.last().unwrap();
        assert_eq!((refusals.len(), refusal.cause), (number, cause), "{headers}");
        assert_eq!((&refusal.body[..], refusal.cut_short), (EVENT.as_bytes(), false));
        assert_eq!(
            (refusal.source.as_str(), refusal.address.as_str()),
            ("callbacks.main", &*format!("198.51.100.{number}"))
        );
    };
    check(1, "", RefusalCause::Missing).await;
    check(2, "X-VOD-TIMESTAMP: 1700000000\r\n", RefusalCause::Malformed).await;
    check(3, &format!("{PROVEN}{PROVEN}"), RefusalCause::Malformed).await;
    let other_url = "X-VOD-TIMESTAMP: 1700000000\r\nX-VOD-SIGNATURE: cf23f205382b45423fb3f96adf7f6791\r\n";
    check(4, other_url, RefusalCause::Mismatch).await;
    let too_far = "X-VOD-TIMESTAMP: 1700000300\r\nX-VOD-SIGNATURE: 34645a41e6e51b8fdd32abc93972fe75\r\n";
    check(5, too_far, RefusalCause::Stale).await;
    let refusals = server.journal.refusals();
    assert_eq!(refusals[4].timestamp.as_deref(), Some("1700000300"));
    assert_eq!(refusals[4].signature.as_deref(), Some("34645a41e6e51b8fdd32abc93972fe75"));
    assert!(server.bodies().is_empty());
}

/// VOD has another path than the configuration: what it signs is its own URL.
#[tokio::test]
async fn a_callback_at_a_path_that_nobody_has_is_kept_where_its_proof_is_right() {
    let server = Server::start().await;
    let check = async |path: &str, signed: &str, key: &str, kept: usize| {
        let now = jiff::Timestamp::from_second(crate::server::NOW).unwrap();
        let proof = CallbackProof::make(signed, &PrivateKey::new(key), now);
        let headers = format!(
            "X-VOD-TIMESTAMP: {}\r\nX-VOD-SIGNATURE: {}\r\n",
            proof.timestamp(),
            proof.signature_hex()
        );
        assert_eq!(status(&server.exchange(post(path, &headers, EVENT)).await), 404, "{path}");
        assert_eq!(server.refusals(kept).await.len(), kept, "{path} {signed}");
    };
    check("/elsewhere", "https://hooks.example.com/vod", "Abcdef0123456789", 0).await;
    check("/elsewhere", "https://hooks.example.com/elsewhere", "NoKeyOfOurs01234", 0).await;
    check("/elsewhere?a=b", "https://hooks.example.com/elsewhere?a=b", "OldKey0123456789", 1).await;
    let refusal = server.journal.refusals().remove(0);
    assert_eq!(
        (refusal.source.as_str(), refusal.cause, &refusal.body[..], refusal.cut_short),
        ("callbacks.main", RefusalCause::Mismatch, EVENT.as_bytes(), false)
    );
    let right_for = "its signature is right for https://hooks.example.com/elsewhere?a=b";
    assert!(refusal.detail.ends_with(right_for), "{}", refusal.detail);
}

#[tokio::test]
async fn a_proven_callback_that_is_too_large_is_a_gap() {
    let server = Server::start().await;
    assert_eq!(status(&server.exchange(post("/vod", PROVEN, &"x".repeat(1025))).await), 413);
    let noted = [(TroubleKind::TooLarge, 1)];
    assert_eq!(server.troubles(&noted).await, noted);
}

#[tokio::test]
async fn every_key_counts() {
    let server = Server::start().await;
    let old = "X-VOD-TIMESTAMP: 1700000000\r\nX-VOD-SIGNATURE: 2baa3e5a01446104cc9bb3721640478e\r\n";
    assert_eq!(status(&server.exchange(post("/vod", old, EVENT)).await), 200);
}

#[tokio::test]
async fn unsigned_by_configuration() {
    let server = Server::start().await;
    let check = async |path: &str, headers: &str, body: &str, expect: u16| {
        assert_eq!(
            status(&server.exchange(post(path, headers, body)).await),
            expect,
            "{path} {headers} {body}"
        );
    };
    let wrong = "X-VOD-TIMESTAMP: 1700000000\r\nX-VOD-SIGNATURE: ffffffffffffffffffffffffffffffff\r\n";
    check("/open", "", EVENT, 200).await;
    check("/open", wrong, EVENT, 200).await;
    check("/open", "", "nonsense", 400).await;
    check("/mixed", "", EVENT, 200).await;
    check("/mixed", PROVEN, "proven nonsense", 200).await;
    check("/mixed", "", "nonsense", 400).await;
    check("/mixed", wrong, EVENT, 401).await;
    let causes: Vec<_> = server.refusals(3).await.iter().map(|refusal| refusal.cause).collect();
    assert_eq!(causes, [RefusalCause::Unreadable, RefusalCause::Unreadable, RefusalCause::Mismatch]);
    assert_eq!(server.bodies(), [EVENT.as_bytes(), b"proven nonsense"]);
}

#[tokio::test]
async fn a_journal_that_cannot_is_503() {
    let server = Server::start().await;
    let errors = [
        JournalError::Poisoned("sync".to_owned()),
        JournalError::Full("disk".to_owned()),
        JournalError::Closed,
        JournalError::Failed("once".to_owned()),
    ];
    for error in errors {
        server.journal.fail_with(Some(error.clone()));
        assert_eq!(status(&server.exchange(post("/vod", PROVEN, EVENT)).await), 503, "{error}");
    }
    server.journal.fail_with(None);
    assert_eq!(status(&server.exchange(post("/vod", PROVEN, EVENT)).await), 200);
    assert_eq!(status(&server.exchange(post("/vod", "", EVENT)).await), 401);
    let noted = [(TroubleKind::Full, 1), (TroubleKind::Failing, 3), (MISSING, 1)];
    assert_eq!(server.troubles(&noted).await, noted);
}

const MISSING: TroubleKind = TroubleKind::Refused(RefusalCause::Missing);

#[tokio::test]
async fn an_address_that_fails_too_often_is_refused_unkept() {
    let server = Server::start().await;
    for _ in 0..80 {
        assert_eq!(status(&server.exchange(post("/vod", "", EVENT)).await), 401);
    }
    // A 32nd of the room, and a little that came back meanwhile.
    let kept = server.refusals(56).await.len();
    assert!((56..70).contains(&kept), "{kept}");
    assert_eq!(status(&server.exchange(post("/vod", PROVEN, EVENT)).await), 200, "a proven one passes");
}
