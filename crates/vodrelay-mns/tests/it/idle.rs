//! What an idle queue costs, and how the number of polls follows the load.

use std::time::Duration;

use mns_emulator::{Fault, Settings};
use vodrelay_core::Routes;

use crate::stage::Stage;

const TEN_MINUTES: Duration = Duration::from_secs(600);
const STEP: Duration = Duration::from_secs(1);

/// The requests of ten idle minutes. A long poll of 30 seconds is the longest there is, so twenty are the ideal.
async fn requests_of_ten_idle_minutes(settings: Settings) -> u64 {
    let stage = Stage::with(settings, Routes::new(Vec::new())).await;
    let _running = stage.start();
    stage.until("the first poll", |stage| stage.polls() == 1).await;
    stage.pass(TEN_MINUTES, STEP).await;
    stage.emulator.ledger().requests()
}

#[tokio::test(start_paused = true)]
async fn ten_idle_minutes_cost_one_request_for_each_long_poll() {
    let requests = requests_of_ten_idle_minutes(Settings::default()).await;
    println!("idle for ten minutes: {requests} requests, 20 are the ideal");
    assert!((20..=21).contains(&requests), "{requests}");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_answers_after_four_fifths_of_the_wait_is_no_trouble() {
    let settings = Settings { answers_early: true, ..Settings::default() };
    let requests = requests_of_ten_idle_minutes(settings).await;
    assert!((25..=26).contains(&requests), "{requests}");
}

#[tokio::test(start_paused = true)]
async fn polls_that_end_at_once_are_backed_off() {
    let settings = Settings { faults: vec![Fault::EarlyEmpty.always()], ..Settings::default() };
    let requests = requests_of_ten_idle_minutes(settings).await;
    println!("idle for ten minutes, every poll ended at once: {requests} requests, 20 are the ideal");
    assert!((20..=46).contains(&requests), "{requests}");
}

#[tokio::test(start_paused = true)]
async fn load_brings_pollers_and_idleness_takes_them_away() {
    let stage = Stage::new().await;
    let _running = stage.start_queue(stage.queue("main", "vod-events", "max_pollers = 3"));
    stage.until("the first poll", |stage| stage.emulator.waiting() == 1).await;
    stage.journal.open(false);
    stage.send(0..400);
    let held = |stage: &Stage| stage.journal.waiting.load(std::sync::atomic::Ordering::SeqCst);
    // The first poll was woken by a single message. When the gate opens, full batches follow.
    stage.until("a message in hand", |stage| held(stage) > 0).await;
    let mut most = 0;
    for _ in 0..20 {
        stage.journal.open(true);
        crate::stage::breathe().await;
        stage.journal.open(false);
        for _ in 0..5 {
            crate::stage::breathe().await;
        }
        most = most.max(held(&stage));
    }
    assert_eq!(most, 3 * 16, "three pollers with a full batch each");
    stage.journal.open(true);
    stage.until("the drain", |stage| stage.in_queue() == 0).await;
    stage.pass(Duration::from_secs(120), STEP).await;
    stage.until("one poll when idle", |stage| stage.emulator.waiting() == 1).await;
    stage.pass(Duration::from_secs(20), STEP).await;
    assert!(stage.emulator.waiting() <= 1, "{} polls when idle", stage.emulator.waiting());
    stage.check_nothing_was_deleted_too_early();
}
