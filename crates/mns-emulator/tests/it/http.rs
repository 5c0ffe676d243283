//! What HTTP clients do that not every server bears.

use mns_emulator::{AccessKey, Settings};

use crate::wire::{MESSAGES, Wire, emulator, message};

#[tokio::test]
async fn a_target_in_absolute_form_counts_by_path_and_query() {
    let emulator = emulator(Settings::default()).await;
    let mut wire = Wire::to(&emulator).await;
    let answer = wire.ask("GET", "http://1234567890.mns.cn-hangzhou.aliyuncs.com/queues/q?x=1", "").await;
    assert_eq!((answer.status, answer.text("QueueName")), (200, "q"));
}

/// A captured request of ali-mns: absolute form, signed, with a digest of RFC 1864 and without a namespace.
#[tokio::test]
async fn a_captured_request_is_let_in_byte_by_byte() {
    let access_keys = vec![AccessKey::new("TESTAK", "TESTSECRET")];
    let emulator =
        emulator(Settings { access_keys, max_skew: None, strict: true, ..Settings::default() }).await;
    let captured = include_str!("../../../../fixtures/mns/node-ali-mns-2.6.8/01_create_queue.request.http");
    let (head, body) = captured.trim_end().split_once("\n\n").unwrap();
    let bytes = format!("{}\r\n\r\n{body}", head.replace('\n', "\r\n"));
    let mut wire = Wire::to(&emulator).await;
    wire.say(&bytes).await;
    let created = wire.hear().await.unwrap();
    let location = "http://1234567890.mns.cn-hangzhou.aliyuncs.com/queues/demo-q";
    assert_eq!((created.status, created.header("location")), (201, Some(location)));
    wire.say(&bytes.replace("<VisibilityTimeout>30<", "<VisibilityTimeout>31<")).await;
    assert_eq!(wire.hear().await.unwrap().text("Code"), "InvalidDegist");
    assert_eq!(wire.ask("GET", MESSAGES, "").await.text("Code"), "MissingVersionHeader");
    assert_eq!(emulator.ledger().turned_away["MissingVersionHeader"], 1);
}

#[tokio::test]
async fn a_client_that_asks_before_it_sends_is_told_to_go_on() {
    let emulator = emulator(Settings::default()).await;
    let mut wire = Wire::to(&emulator).await;
    let body = message("a");
    let length = body.len();
    let head = format!(
        "POST {MESSAGES} HTTP/1.1\r\nhost: local\r\nexpect: 100-continue\r\ncontent-length: {length}\r\n\r\n"
    );
    wire.say(&head).await;
    assert_eq!(wire.hear().await.unwrap().status, 100);
    wire.say(&body).await;
    assert_eq!(wire.hear().await.unwrap().status, 201);
}

#[tokio::test]
async fn requests_may_follow_each_other_before_they_are_answered() {
    let emulator = emulator(Settings::default()).await;
    let mut wire = Wire::to(&emulator).await;
    wire.begin("POST", MESSAGES, &message("a")).await;
    wire.begin("GET", MESSAGES, "").await;
    wire.begin("DELETE", "/queues/q", "").await;
    let statuses =
        [wire.hear().await, wire.hear().await, wire.hear().await].map(|answer| answer.unwrap().status);
    assert_eq!(statuses, [201, 200, 204]);
}
