//! A stop in every phase of a poll, and an end without one.

use std::sync::atomic::Ordering;
use std::time::Duration;

use mns_emulator::{Fault, Operation, Settings, Visibility};
use vodrelay_core::{JournalError, Routes};

use crate::stage::{Running, Stage, breathe};

const STEP: Duration = Duration::from_millis(500);

/// Stops the source while no time passes.
async fn stop(stage: &Stage, running: Running) {
    running.stop.cancel();
    stage.until("the end", |_| running.task.is_finished()).await;
    running.task.await.unwrap().unwrap();
    stage.until("the end of every poll", |stage| stage.emulator.waiting() == 0).await;
    stage.check_nothing_was_deleted_too_early();
}

fn active(stage: &Stage) -> usize {
    let messages = stage.emulator.messages("vod-events");
    messages.iter().filter(|message| message.visibility == Visibility::Active).count()
}

#[tokio::test(start_paused = true)]
async fn while_it_waits_for_messages() {
    let stage = Stage::new().await;
    let running = stage.start();
    stage.until("the poll", |stage| stage.emulator.waiting() == 1).await;
    stop(&stage, running).await;
    stage.send(0..1);
    assert_eq!(active(&stage), 1, "nobody takes it");
}

#[tokio::test(start_paused = true)]
async fn while_it_waits_after_a_failure() {
    let settings = Settings { faults: vec![Fault::Throttle.always()], ..Settings::default() };
    let stage = Stage::with(settings, Routes::new(Vec::new())).await;
    let running = stage.start();
    stage.pass(Duration::from_secs(60), STEP).await;
    let failed = stage.polls();
    assert!(failed > 1, "{failed}");
    stop(&stage, running).await;
    let asked = stage.emulator.ledger();
    let errors: u64 = asked.of(Operation::BatchReceiveMessage).errors.values().sum();
    assert_eq!((stage.polls(), errors), (failed, failed), "it waited, and the stop asked nothing more");
}

#[tokio::test(start_paused = true)]
async fn while_appends_are_under_way_that_end_in_time() {
    let stage = Stage::new().await;
    stage.journal.open(false);
    stage.send(0..5);
    let running = stage.start();
    stage.until("the appends", |stage| stage.journal.waiting.load(Ordering::SeqCst) == 5).await;
    running.stop.cancel();
    stage.pass(Duration::from_secs(3), STEP).await;
    stage.journal.open(true);
    stop(&stage, running).await;
    assert_eq!((stage.in_queue(), stage.in_journal()), (0, 5));
}

#[tokio::test(start_paused = true)]
async fn while_appends_are_under_way_that_do_not_end() {
    let stage = Stage::new().await;
    stage.journal.open(false);
    stage.send(0..5);
    let running = stage.start();
    stage.until("the appends", |stage| stage.journal.waiting.load(Ordering::SeqCst) == 5).await;
    running.stop.cancel();
    stage.pass(Duration::from_secs(9), STEP).await;
    stop(&stage, running).await;
    stage.emulator.advance(Duration::from_secs(2)).await;
    assert_eq!(active(&stage), 5, "given back, long before their time");
}

#[tokio::test(start_paused = true)]
async fn while_the_journal_is_full() {
    let stage = Stage::new().await;
    stage.journal.inner.fail_with(Some(JournalError::Full("64 MiB free".to_owned())));
    stage.send(0..5);
    let running = stage.start();
    stage.pass(Duration::from_secs(20), STEP).await;
    stop(&stage, running).await;
    stage.emulator.advance(Duration::from_secs(2)).await;
    assert_eq!(active(&stage), 5);
}

#[tokio::test(start_paused = true)]
async fn while_it_deletes() {
    let slow = Fault::Slow.always().on(Operation::BatchDeleteMessage);
    let settings = Settings { faults: vec![slow], slow_by: Duration::from_secs(4), ..Settings::default() };
    let stage = Stage::with(settings, Routes::new(Vec::new())).await;
    stage.send(0..5);
    let running = stage.start();
    let deleting = |stage: &Stage| stage.emulator.ledger().of(Operation::BatchDeleteMessage).requests == 1;
    stage.until("the deletion", deleting).await;
    running.stop.cancel();
    breathe().await;
    assert!(!running.task.is_finished(), "the deletion is waited for");
    stage.pass(Duration::from_secs(4), STEP).await;
    stop(&stage, running).await;
    assert_eq!((stage.in_queue(), stage.in_journal()), (0, 5));
}

#[tokio::test(start_paused = true)]
async fn without_one() {
    let faults = vec![Fault::DropAfter.always().on(Operation::BatchDeleteMessage).share(0.3)];
    let stage = Stage::with(Settings { faults, ..Settings::default() }, Routes::new(Vec::new())).await;
    stage.send(0..300);
    for round in 0..20 {
        let running = stage.start();
        for _ in 0..round {
            breathe().await;
        }
        running.kill().await;
    }
    let _running = stage.start();
    stage.pass_until("the drain", |stage| stage.in_queue() == 0).await;
    assert_eq!(stage.in_journal(), 300);
    stage.check_nothing_was_deleted_too_early();
}
