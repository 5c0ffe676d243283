//! Messages in the queue become events in the journal, each once, and none is deleted before.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use mns_emulator::{Attributes, Fault, Operation, Settings};
use vodrelay_core::routing::{Filter, OneOrMany};
use vodrelay_core::testing::event_body;
use vodrelay_core::{Appended, Arrival, Journal, Labels, Name, Routes, SourceName};

use crate::stage::{Stage, text};

#[tokio::test(start_paused = true)]
async fn every_event_is_appended_once_and_every_message_deleted_after() {
    let stage = Stage::new().await;
    stage.send(0..320);
    let _running = stage.start();
    stage.until("the drain", |stage| stage.in_queue() == 0).await;
    assert_eq!(stage.in_journal(), 320);
    stage.check_nothing_was_deleted_too_early();
    let ledger = stage.emulator.ledger();
    let cost = ledger.requests_per_message().unwrap();
    assert!(cost <= 0.2, "{cost} requests for each message: {ledger:?}");
}

#[tokio::test(start_paused = true)]
async fn whatever_goes_wrong_on_the_way_loses_nothing() {
    use Operation::{BatchDeleteMessage, BatchReceiveMessage};
    let faults = vec![
        Fault::Throttle.always().share(0.1),
        Fault::Unavailable.always().share(0.05),
        Fault::BadGateway.always().share(0.05),
        Fault::Duplicate.always().share(0.1),
        Fault::Reorder.always().share(0.3),
        Fault::ShortBatch.always().share(0.3),
        Fault::EarlyEmpty.always().share(0.05),
        Fault::WrongMd5.always().share(0.1),
        Fault::PartialBatch.always().share(0.2),
        Fault::DropAfter.always().on(BatchDeleteMessage).share(0.2),
        Fault::ErrorAfter.always().on(BatchDeleteMessage).share(0.1),
        Fault::DropAfter.always().on(BatchReceiveMessage).share(0.1),
        Fault::Cut.always().share(0.05),
    ];
    for seed in 0..3 {
        let stage =
            Stage::with(Settings { faults: faults.clone(), seed, ..Settings::default() }, no_sinks()).await;
        stage.send(0..200);
        let _running = stage.start();
        stage.pass_until("the drain", |stage| stage.in_queue() == 0).await;
        assert_eq!(stage.in_journal(), 200, "seed {seed}");
        stage.check_nothing_was_deleted_too_early();
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_to_a_deletion_costs_a_request_and_no_event() {
    let lost = Fault::DropAfter.always().on(Operation::BatchDeleteMessage).times(1);
    let stage = Stage::with(Settings { faults: vec![lost], ..Settings::default() }, no_sinks()).await;
    stage.send(0..16);
    let _running = stage.start();
    stage.pass_until("the drain", |stage| stage.polls() > 1 && stage.in_queue() == 0).await;
    assert_eq!(stage.in_journal(), 16);
    assert_eq!(stage.emulator.ledger().of(Operation::BatchDeleteMessage).requests, 2);
    stage.check_nothing_was_deleted_too_early();
}

#[tokio::test(start_paused = true)]
async fn entries_of_a_deletion_that_fail_are_tried_again_by_themselves() {
    let partial = Fault::PartialBatch.always().on(Operation::BatchDeleteMessage).times(3);
    let stage = Stage::with(Settings { faults: vec![partial], ..Settings::default() }, no_sinks()).await;
    stage.send(0..16);
    let _running = stage.start();
    stage.pass(Duration::from_secs(5), Duration::from_millis(500)).await;
    let ledger = stage.emulator.ledger();
    assert_eq!(stage.in_queue(), 0, "long before they would come again");
    assert_eq!(ledger.of(Operation::BatchReceiveMessage).messages, 16);
    assert_eq!(ledger.of(Operation::BatchDeleteMessage).requests, 2);
}

#[tokio::test(start_paused = true)]
async fn bodies_come_in_base64_or_raw_and_what_nobody_can_read_is_kept() {
    let stage = Stage::new().await;
    let bodies = [&text(1), &STANDARD.encode(text(1)), "no event at all", &STANDARD.encode("nor this")];
    for body in bodies {
        stage.emulator.send("vod-events", body).unwrap();
    }
    let _running = stage.start();
    stage.until("the drain", |stage| stage.in_queue() == 0).await;
    let mut kept: Vec<(Bytes, bool)> = stage
        .journal
        .inner
        .events()
        .iter()
        .map(|event| (event.body.clone(), event.event().is_ok()))
        .collect();
    kept.sort();
    let encoded = STANDARD.encode("nor this");
    assert_eq!(
        kept,
        [(Bytes::from(encoded), false), (Bytes::from("no event at all"), false), (event_body(1), true)]
    );
    stage.check_nothing_was_deleted_too_early();
}

#[tokio::test(start_paused = true)]
async fn an_event_that_came_over_http_merges_and_is_routed_for_its_own_source() {
    let of = |source: &str| Filter { sources: Some(OneOrMany(vec![source.to_owned()])), ..Filter::default() };
    let (web, mns) = (Name::new("web").unwrap(), Name::new("mns").unwrap());
    let routes = Routes::new(vec![(web.clone(), of("callbacks.main")), (mns.clone(), of("queues.main"))]);
    let stage = Stage::with(Settings::default(), routes).await;
    let callback = Arrival {
        source: SourceName::callback(&Name::new("main").unwrap()),
        body: event_body(1),
        received_at: jiff::Timestamp::UNIX_EPOCH,
        labels: Arc::new(Labels::new()),
        trace: None,
    };
    assert_eq!(stage.intake.accept(callback).await.unwrap().appended, Appended::New);
    stage.send(1..2);
    let _running = stage.start();
    stage.until("the drain", |stage| stage.in_queue() == 0).await;
    assert_eq!(stage.in_journal(), 1);
    for sink in [web, mns] {
        let claimed = stage.journal.claim(&sink, 10, Duration::from_secs(60)).await.unwrap();
        assert_eq!(claimed.claims.len(), 1, "{sink}");
    }
}

#[tokio::test(start_paused = true)]
async fn many_queues_are_polled_at_once() {
    let stage = Stage::new().await;
    stage.emulator.create_queue("others", Attributes::default()).unwrap();
    stage.send(0..40);
    for number in 30..70 {
        stage.emulator.send("others", &text(number)).unwrap();
    }
    let _main = stage.start();
    let _others = stage.start_queue(stage.queue("others", "others", "labels = { region = \"cn-beijing\" }"));
    stage
        .until("both drains", |stage| stage.in_queue() == 0 && stage.emulator.messages("others").is_empty())
        .await;
    let events = stage.journal.inner.events();
    assert_eq!(events.len(), 70);
    let labelled = events.iter().filter(|event| event.labels.contains_key("region"));
    assert!(labelled.clone().all(|event| event.source.as_str() == "queues.others"));
    assert!((30..=40).contains(&labelled.count()));
    stage.check_nothing_was_deleted_too_early();
}

fn no_sinks() -> Routes {
    Routes::new(Vec::new())
}
