//! A journal that is slow, full or gone.

use std::sync::atomic::Ordering;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusBuilder;
use mns_emulator::{Attributes, Fault, Operation, Settings, Visibility};
use vodrelay_core::testing::event_body;
use vodrelay_core::{JournalError, Routes};

use crate::stage::{Stage, text};
use crate::trouble::Log;

const STEP: Duration = Duration::from_millis(500);

#[tokio::test(start_paused = true)]
async fn while_the_journal_is_full_no_poll_begins_and_then_it_goes_on_by_itself() {
    let stage = Stage::new().await;
    stage.journal.inner.fail_with(Some(JournalError::Full("64 MiB free".to_owned())));
    stage.send(0..40);
    let _running = stage.start();
    stage.pass(Duration::from_secs(5), STEP).await;
    let before = stage.polls();
    stage.pass(Duration::from_secs(1_800), 4 * STEP).await;
    assert_eq!(stage.polls(), before, "no poll in half an hour");
    assert_eq!((stage.in_queue(), stage.in_journal()), (40, 0));
    let received = stage.emulator.messages("vod-events").iter().map(|message| message.dequeue_count).max();
    assert_eq!(received, Some(1), "what is in hand does not circle");
    // Two renewals of sixteen messages, and all but one given back, which is renewed each minute.
    let renewals = stage.emulator.ledger().of(Operation::ChangeMessageVisibility).requests;
    assert!((16 * 2 + 15..=16 * 2 + 15 + 32).contains(&renewals), "{renewals}");

    stage.journal.inner.fail_with(None);
    stage.pass_until("the drain", |stage| stage.in_queue() == 0).await;
    assert_eq!(stage.in_journal(), 40);
    stage.check_nothing_was_deleted_too_early();
}

/// One poll deletes what it made durable while the others find the journal full: then it is not followed by another.
#[tokio::test(start_paused = true)]
async fn a_poll_that_ends_well_while_others_wait_for_the_journal_is_the_last() {
    let slow = || Fault::Slow.always().on(Operation::BatchDeleteMessage).times(1);
    let settings = Settings { faults: vec![slow()], slow_by: Duration::from_secs(4), ..Settings::default() };
    let stage = Stage::with(settings, Routes::new(Vec::new())).await;
    stage.send(0..48);
    let _running = stage.start_queue(stage.queue("main", "vod-events", "max_pollers = 3"));
    stage.until("the first batch", |stage| stage.in_journal() == 16).await;
    stage.emulator.inject(slow());
    stage.pass(Duration::from_secs(4), STEP).await;
    stage.until("a slow deletion, and two polls", |stage| stage.emulator.waiting() == 2).await;

    stage.journal.inner.fail_with(Some(JournalError::Full("64 MiB free".to_owned())));
    // One after the other, or a single poll takes both.
    stage.send(48..49);
    stage.until("a message in hand", |stage| stage.emulator.waiting() == 1).await;
    stage.send(49..50);
    stage.until("another one in hand", |stage| stage.emulator.waiting() == 0).await;
    let before = stage.polls();
    stage.pass(Duration::from_secs(60), STEP).await;
    assert_eq!((stage.polls(), stage.in_queue()), (before, 2));
    stage.journal.inner.fail_with(None);
    stage.pass_until("the drain", |stage| stage.in_queue() == 0).await;
    assert_eq!(stage.in_journal(), 50);
}

#[tokio::test(start_paused = true)]
async fn a_message_stays_ours_while_its_append_takes_its_time() {
    let stage = Stage::new().await;
    stage.journal.open(false);
    stage.send(0..3);
    let _running = stage.start();
    stage.until("the appends", |stage| stage.journal.waiting.load(Ordering::SeqCst) == 3).await;
    stage.pass(Duration::from_secs(300), STEP).await;
    let messages = stage.emulator.messages("vod-events");
    assert!(messages.iter().all(|message| message.dequeue_count == 1), "{messages:?}");
    stage.journal.open(true);
    stage.until("the deletions", |stage| stage.in_queue() == 0).await;
    assert_eq!(stage.emulator.ledger().of(Operation::BatchDeleteMessage).requests, 1);
    stage.check_nothing_was_deleted_too_early();
}

#[tokio::test(start_paused = true)]
async fn a_message_that_the_journal_refuses_for_good_holds_up_no_other() {
    let (log, _guard) = Log::start();
    let figures = PrometheusBuilder::new().build_recorder();
    let _counting = metrics::set_default_local_recorder(&figures);
    let stage = Stage::new().await;
    *stage.journal.refused.lock().unwrap() = Some(vod_event::read(&event_body(3)).unwrap().id());
    stage.send(0..40);
    let _running = stage.start();
    stage.until("the others", |stage| stage.in_journal() == 39 && stage.in_queue() == 1).await;
    let scrape = figures.handle().render();
    assert!(scrape.contains("vodrelay_mns_refused_total{queue=\"main\"} 1"), "{scrape}");
    let before = stage.emulator.ledger().requests();
    stage.pass(Duration::from_secs(600), 2 * STEP).await;
    let requests = stage.emulator.ledger().requests() - before;
    assert!((20..=60).contains(&requests), "{requests} in ten minutes, 20 of them long polls");
    let said: Vec<String> = log.lines().into_iter().filter(|line| line.contains("cannot be kept")).collect();
    assert!(said.len() == 1 && said[0].contains("the labels are larger than 65536 bytes"), "{said:#?}");
    stage.send(40..41);
    stage.pass_until("a further one", |stage| stage.in_journal() == 40).await;
    *stage.journal.refused.lock().unwrap() = None;
    stage.pass_until("the one", |stage| stage.in_queue() == 0).await;
    stage.check_nothing_was_deleted_too_early();
}

/// After a restart no message in the queue is received for the first time.
#[tokio::test(start_paused = true)]
async fn the_visibility_timeout_is_known_from_the_first_answer_on() {
    let stage = Stage::new().await;
    let attributes = Attributes { visibility_timeout: 10, ..Attributes::default() };
    stage.emulator.create_queue("short", attributes).unwrap();
    stage.emulator.send("short", &text(1)).unwrap();
    stage.journal.open(false);
    let held = |stage: &Stage| stage.journal.waiting.load(Ordering::SeqCst);
    let first = stage.start_queue(stage.queue("main", "short", ""));
    stage.until("the append", |stage| held(stage) == 1).await;
    first.kill().await;
    stage.pass(Duration::from_secs(11), STEP).await;
    let _second = stage.start_queue(stage.queue("main", "short", ""));
    stage.until("the other append", |stage| held(stage) == 1).await;
    stage.pass(Duration::from_secs(60), STEP).await;
    let [message] = &stage.emulator.messages("short")[..] else { panic!("one message") };
    let is_ours = matches!(message.visibility, Visibility::Inactive { .. });
    assert!(is_ours && message.dequeue_count == 2, "{message:?}");
    stage.journal.open(true);
    stage.until("the deletion", |stage| stage.emulator.messages("short").is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn one_append_that_hangs_does_not_keep_others_from_their_deletion() {
    let stage = Stage::new().await;
    *stage.journal.straggler.lock().unwrap() = Some(vod_event::read(&event_body(3)).unwrap().id());
    stage.journal.open(false);
    stage.send(0..8);
    let _running = stage.start();
    stage.until("the append", |stage| stage.journal.waiting.load(Ordering::SeqCst) == 1).await;
    stage.pass(Duration::from_secs(3), STEP).await;
    assert_eq!((stage.in_queue(), stage.in_journal()), (1, 7));
    stage.pass(Duration::from_secs(120), STEP).await;
    stage.journal.open(true);
    stage.until("the drain", |stage| stage.in_queue() == 0).await;
    assert_eq!(stage.in_journal(), 8);
    stage.check_nothing_was_deleted_too_early();
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_is_poisoned_or_closed_ends_the_source() {
    for error in [JournalError::Poisoned("fsync".to_owned()), JournalError::Closed] {
        let stage = Stage::new().await;
        stage.journal.inner.fail_with(Some(error.clone()));
        stage.send(0..20);
        let running = stage.start();
        let ended = running.task.await.unwrap().unwrap_err();
        assert_eq!(ended.to_string(), format!("queue main is not polled any more: {error}"));
        assert_eq!(stage.in_queue(), 20);
        stage.check_nothing_was_deleted_too_early();
    }
}
