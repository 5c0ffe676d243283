//! Each fault, where it strikes, and what has happened nevertheless.

use std::time::Duration;

use mns_emulator::{Emulator, Fault, Injection, Operation, Settings};

use crate::wire::{Answer, MESSAGES, Wire, emulator, message};

async fn with(fault: Injection) -> Emulator {
    emulator(Settings { faults: vec![fault], ..Settings::default() }).await
}

/// What a send is answered with, if at all, and how many messages there are then.
async fn send_under(fault: Fault) -> (Option<Answer>, usize) {
    let emulator = with(fault.always()).await;
    let mut wire = Wire::to(&emulator).await;
    wire.begin("POST", MESSAGES, &message("a")).await;
    let answer = wire.hear().await;
    (answer, emulator.messages("q").len())
}

#[tokio::test]
async fn requests_fail_before_or_after_their_effect() {
    for (fault, status, code, effect) in [
        (Fault::Throttle, 429, Some("TooManyRequests"), 0),
        (Fault::ErrorBefore, 500, Some("InternalError"), 0),
        (Fault::ErrorAfter, 500, Some("InternalError"), 1),
        (Fault::Unavailable, 503, None, 0),
        (Fault::BadGateway, 502, None, 0),
    ] {
        let (answer, messages) = send_under(fault).await;
        let answer = answer.unwrap();
        assert_eq!((answer.status, messages), (status, effect), "{fault}");
        match code {
            Some(code) => assert_eq!(answer.text("Code"), code, "{fault}"),
            None => assert_eq!(answer.header("x-mns-request-id"), None, "{fault}"),
        }
    }
}

#[tokio::test]
async fn connections_are_closed_before_or_after_the_effect_or_in_the_answer() {
    for (fault, effect) in [(Fault::DropBefore, 0), (Fault::DropAfter, 1), (Fault::Cut, 1)] {
        let (answer, messages) = send_under(fault).await;
        assert!(answer.is_none(), "{fault}: {answer:?}");
        assert_eq!(messages, effect, "{fault}");
    }
}

#[tokio::test]
async fn a_fault_can_be_narrowed_to_an_operation_and_a_number() {
    let emulator = with(Fault::Throttle.always().on(Operation::ReceiveMessage).times(1)).await;
    let mut wire = Wire::to(&emulator).await;
    assert_eq!(wire.ask("POST", MESSAGES, &message("a")).await.status, 201);
    assert_eq!(wire.ask("GET", MESSAGES, "").await.status, 429);
    assert_eq!(wire.ask("GET", MESSAGES, "").await.status, 200);
    let tally = emulator.ledger().of(Operation::ReceiveMessage);
    assert_eq!((tally.requests, tally.errors["TooManyRequests"]), (2, 1));
    emulator.inject(Fault::ErrorBefore.always());
    assert_eq!(wire.ask("GET", "/queues", "").await.status, 500);
    emulator.clear_faults();
    assert_eq!(wire.ask("GET", "/queues", "").await.status, 200);
}

#[tokio::test]
async fn an_answer_can_be_held_back() {
    let emulator = with(Fault::Slow.always()).await;
    let mut wire = Wire::to(&emulator).await;
    wire.begin("POST", MESSAGES, &message("a")).await;
    assert!(tokio::time::timeout(Duration::from_millis(50), wire.hear()).await.is_err());
    emulator.clock().advance(Duration::from_secs(1));
    assert_eq!(wire.hear().await.unwrap().status, 201);
}

#[tokio::test]
async fn entries_of_batches_fail_alone() {
    let emulator = with(Fault::PartialBatch.always().times(1)).await;
    let mut wire = Wire::to(&emulator).await;
    let delayed = "<Message><MessageBody>b</MessageBody><DelaySeconds>1</DelaySeconds></Message>";
    let batch = format!("<Messages>{}{delayed}</Messages>", message("a"));
    let sent = wire.ask("POST", MESSAGES, &batch).await;
    assert_eq!(
        (sent.status, sent.text("ErrorCode"), sent.text("ErrorMessage")),
        (500, "InternalError", "Internal Error.")
    );
    assert_eq!((sent.texts("MessageId").len(), sent.texts("ReceiptHandle").len()), (1, 0));
    assert_eq!(emulator.messages("q").len(), 1);

    emulator.advance(Duration::from_secs(1)).await;
    emulator.inject(Fault::PartialBatch.always());
    let handle = wire.ask("GET", MESSAGES, "").await.text("ReceiptHandle").to_owned();
    let handles = format!("<ReceiptHandles><ReceiptHandle>{handle}</ReceiptHandle></ReceiptHandles>");
    let deleted = wire.ask("DELETE", MESSAGES, &handles).await;
    assert_eq!(
        (deleted.status, deleted.text("ErrorCode"), deleted.text("ReceiptHandle")),
        (404, "InternalError", &*handle)
    );
    assert_eq!(emulator.messages("q").len(), 1);
}

#[tokio::test]
async fn messages_come_twice_or_in_another_order() {
    let emulator = with(Fault::Duplicate.always().times(1)).await;
    let mut wire = Wire::to(&emulator).await;
    wire.ask("POST", MESSAGES, &message("a")).await;
    let (first, second) = (wire.ask("GET", MESSAGES, "").await, wire.ask("GET", MESSAGES, "").await);
    assert_eq!(first.text("MessageId"), second.text("MessageId"));
    assert_ne!(first.text("ReceiptHandle"), second.text("ReceiptHandle"));

    emulator.inject(Fault::Reorder.always());
    let sent: Vec<String> = (0..16).map(|number| number.to_string()).collect();
    for body in &sent {
        emulator.send("q", body).unwrap();
    }
    let received = wire.ask("GET", &format!("{MESSAGES}?numOfMessages=16"), "").await;
    let mut bodies: Vec<String> = received.texts("MessageBody").into_iter().map(str::to_owned).collect();
    assert_ne!(bodies, sent);
    bodies.sort_by_key(|body| body.parse::<u32>().unwrap());
    assert_eq!(bodies, sent);
}

#[tokio::test]
async fn receives_bring_too_little_nothing_or_a_wrong_digest() {
    let emulator = emulator(Settings::default()).await;
    let mut wire = Wire::to(&emulator).await;
    for _ in 0..16 {
        emulator.send("q", "a").unwrap();
    }
    let receive = format!("{MESSAGES}?numOfMessages=16&waitseconds=30");
    emulator.inject(Fault::EarlyEmpty.always().times(1));
    assert_eq!(wire.ask("GET", &receive, "").await.text("Code"), "MessageNotExist");
    emulator.inject(Fault::WrongMd5.always().times(1));
    let wrong = wire.ask("GET", MESSAGES, "").await;
    assert_eq!(wrong.text("MessageBodyMD5"), "0".repeat(32));
    emulator.inject(Fault::ShortBatch.always());
    let mut rounds = 0;
    while !emulator.messages("q").iter().all(|state| state.dequeue_count == 1) {
        assert!(!wire.ask("GET", &receive, "").await.texts("MessageBody").is_empty());
        rounds += 1;
    }
    assert!(rounds > 1);
}

#[tokio::test]
async fn the_same_seed_makes_the_same_mistakes() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let emulator = with(Fault::Throttle.always().share(0.5)).await;
        let mut wire = Wire::to(&emulator).await;
        let mut statuses = Vec::new();
        for _ in 0..20 {
            statuses.push(wire.ask("GET", "/queues", "").await.status);
        }
        assert!(statuses.contains(&200) && statuses.contains(&429));
        runs.push(statuses);
    }
    assert_eq!(runs[0], runs[1]);
}
