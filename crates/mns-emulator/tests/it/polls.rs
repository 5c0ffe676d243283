//! Long polls: who is woken, when, and that nobody is given what a client that has gone would have got.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use mns_emulator::{Attributes, Emulator, Observer, Settings, Visibility, What};

use crate::wire::{MESSAGES, Wire, emulator, message};

const POLL: &str = "/queues/q/messages?waitseconds=30";

/// A connection whose long poll waits.
async fn poll(emulator: &Emulator, target: &str) -> Wire {
    let before = emulator.waiting();
    let mut wire = Wire::to(emulator).await;
    wire.begin("GET", target, "").await;
    emulator.wait_for_polls(before + 1).await;
    wire
}

#[tokio::test]
async fn a_message_wakes_the_poll_that_waits_longest() {
    let emulator = emulator(Settings::default()).await;
    let mut first = poll(&emulator, POLL).await;
    let mut second = poll(&emulator, POLL).await;
    for (body, wire) in [("a", &mut first), ("b", &mut second)] {
        emulator.send("q", body).unwrap();
        assert_eq!(wire.hear().await.unwrap().text("MessageBody"), body);
    }
    assert_eq!(emulator.waiting(), 0);
}

#[tokio::test]
async fn one_batch_feeds_several_polls() {
    let emulator = emulator(Settings::default()).await;
    let mut polls = [poll(&emulator, POLL).await, poll(&emulator, POLL).await];
    let mut sender = Wire::to(&emulator).await;
    let batch = format!("<Messages>{}{}</Messages>", message("a"), message("b"));
    sender.ask("POST", MESSAGES, &batch).await;
    for (wire, body) in polls.iter_mut().zip(["a", "b"]) {
        assert_eq!(wire.hear().await.unwrap().text("MessageBody"), body);
    }
}

#[tokio::test]
async fn a_poll_that_comes_late_does_not_jump_the_line() {
    let emulator = emulator(Settings::default()).await;
    let mut first = poll(&emulator, &format!("{POLL}&numOfMessages=16")).await;
    let mut wire = Wire::to(&emulator).await;
    // The send and the short poll arrive together, in that order.
    wire.begin("POST", MESSAGES, &message("a")).await;
    wire.begin("GET", MESSAGES, "").await;
    assert_eq!(wire.hear().await.unwrap().status, 201);
    assert_eq!(wire.hear().await.unwrap().text("Code"), "MessageNotExist");
    assert_eq!(first.hear().await.unwrap().text("MessageBody"), "a");
}

#[tokio::test]
async fn a_client_that_has_gone_is_given_nothing() {
    let emulator = emulator(Settings::default()).await;
    for round in 0..50 {
        let gone = poll(&emulator, POLL).await;
        let mut waits = poll(&emulator, POLL).await;
        drop(gone);
        // At once: the emulator may not have noticed yet.
        emulator.send("q", "a").unwrap();
        let answer = waits.hear().await.unwrap();
        assert_eq!((answer.status, answer.text("DequeueCount")), (200, "1"), "round {round}");
        let handle = answer.text("ReceiptHandle").to_owned();
        assert_eq!(waits.ask("DELETE", &format!("{MESSAGES}?ReceiptHandle={handle}"), "").await.status, 204);
    }
    emulator.wait_for_no_polls().await;
    assert_eq!(emulator.messages("q"), []);
}

#[tokio::test]
async fn a_message_stays_when_its_only_client_has_gone() {
    let emulator = emulator(Settings::default()).await;
    let gone = poll(&emulator, POLL).await;
    drop(gone);
    emulator.send("q", "a").unwrap();
    emulator.wait_for_no_polls().await;
    let state = emulator.messages("q").remove(0);
    assert_eq!((state.visibility, state.dequeue_count), (Visibility::Active, 0));
}

#[tokio::test]
async fn time_ends_polls_to_the_second() {
    let emulator = emulator(Settings::default()).await;
    let mut wire = poll(&emulator, POLL).await;
    emulator.advance(Duration::from_secs(29)).await;
    assert_eq!(emulator.waiting(), 1);
    emulator.advance(Duration::from_secs(1)).await;
    assert_eq!(emulator.waiting(), 0);
    assert_eq!(wire.hear().await.unwrap().text("Code"), "MessageNotExist");
    let ledger = emulator.ledger();
    assert_eq!((ledger.empty_polls(), ledger.requests()), (1, 1));
}

#[tokio::test]
async fn polls_wake_when_a_delay_or_a_visibility_timeout_ends() {
    let emulator = emulator(Settings::default()).await;
    let delayed = "<Message><MessageBody>a</MessageBody><DelaySeconds>5</DelaySeconds></Message>";
    Wire::to(&emulator).await.ask("POST", MESSAGES, delayed).await;
    let mut first = poll(&emulator, POLL).await;
    emulator.clock().advance(Duration::from_secs(5));
    let received = first.hear().await.unwrap();
    let handle = received.text("ReceiptHandle");
    // A poll that waits for the end of the 30 seconds hears that there will be one sooner.
    let mut second = poll(&emulator, POLL).await;
    let sooner = format!("{MESSAGES}?ReceiptHandle={handle}&VisibilityTimeout=2");
    assert_eq!(first.ask("PUT", &sooner, "").await.status, 200);
    emulator.clock().advance(Duration::from_secs(2));
    assert_eq!(second.hear().await.unwrap().text("DequeueCount"), "2");
}

#[tokio::test]
async fn a_poll_without_a_wait_of_its_own_waits_as_the_queue_says() {
    let emulator = emulator(Settings::default()).await;
    let attributes = Attributes { polling_wait_seconds: 10, ..Attributes::default() };
    emulator.create_queue("q", attributes).unwrap();
    let mut wire = poll(&emulator, MESSAGES).await;
    emulator.advance(Duration::from_secs(10)).await;
    assert_eq!(wire.hear().await.unwrap().status, 404);
    let own = wire.ask("GET", &format!("{MESSAGES}?waitseconds=0"), "").await;
    assert_eq!(own.status, 404, "at once");
}

#[tokio::test]
async fn polls_beyond_the_limit_are_answered_empty_at_once() {
    let emulator = emulator(Settings { poll_limit: 1, ..Settings::default() }).await;
    let _waits = poll(&emulator, POLL).await;
    let mut wire = Wire::to(&emulator).await;
    assert_eq!(wire.ask("GET", POLL, "").await.text("Code"), "MessageNotExist");
}

#[tokio::test]
async fn an_emulator_may_answer_early_as_the_service_does() {
    let emulator = emulator(Settings { answers_early: true, ..Settings::default() }).await;
    let mut wire = poll(&emulator, POLL).await;
    emulator.advance(Duration::from_secs(24)).await;
    assert_eq!(wire.hear().await.unwrap().status, 404);
}

#[tokio::test]
async fn the_end_of_a_queue_ends_its_polls() {
    let emulator = emulator(Settings::default()).await;
    let mut waits = poll(&emulator, POLL).await;
    Wire::to(&emulator).await.ask("DELETE", "/queues/q", "").await;
    assert_eq!(waits.hear().await.unwrap().text("Code"), "QueueNotExist");
}

#[tokio::test]
async fn stopping_cuts_polls_off_and_frees_the_port() {
    let emulator = emulator(Settings::default()).await;
    let address = emulator.address();
    let mut wire = poll(&emulator, POLL).await;
    emulator.stop().await;
    assert!(wire.hear().await.is_none());
    let again = Emulator::start(Settings { listen: address, ..Settings::default() }).await.unwrap();
    assert_eq!(again.address(), address);
}

#[tokio::test]
async fn an_observer_hears_what_happens_in_order_and_before_the_answer() {
    let heard = Arc::<Mutex<Vec<(String, What)>>>::default();
    let observer = Observer::new({
        let heard = Arc::clone(&heard);
        move |happening| heard.lock().unwrap().push((happening.body.clone(), happening.what))
    });
    let emulator = emulator(Settings { observer: Some(observer), ..Settings::default() }).await;
    let mut wire = Wire::to(&emulator).await;
    wire.ask("POST", MESSAGES, &message("a")).await;
    wire.ask("POST", MESSAGES, &message("b")).await;
    let handle = wire.ask("GET", MESSAGES, "").await.text("ReceiptHandle").to_owned();
    wire.ask("DELETE", &format!("{MESSAGES}?ReceiptHandle={handle}"), "").await;
    emulator.advance(Duration::from_secs(345_600)).await;
    let expected = [
        ("a", What::Sent),
        ("b", What::Sent),
        ("a", What::Received { dequeue_count: 1 }),
        ("a", What::Deleted),
        ("b", What::Expired),
    ];
    assert_eq!(*heard.lock().unwrap(), expected.map(|(body, what)| (body.to_owned(), what)));
}
