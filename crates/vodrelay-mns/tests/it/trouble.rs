//! A service that is away, keys that are wrong, a queue that is missing: said once, with the mend, and waited for.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mns_emulator::{AccessKey, Attributes, Fault, Settings};
use tracing::subscriber::DefaultGuard;
use vodrelay_core::Routes;

use crate::stage::{Stage, text};

const STEP: Duration = Duration::from_secs(1);

/// What is logged on this thread.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    pub(crate) fn start() -> (Self, DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .without_time()
            .with_writer(move || writer.clone())
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().map(str::to_owned).collect()
    }
}

/// Ten minutes of trouble, and what the log says; then it passes, and the message comes in.
async fn check(settings: Settings, queue: &str, expect: &[&str], mend: impl AsyncFnOnce(&Stage)) {
    let (log, _guard) = Log::start();
    let stage = Stage::with(settings, Routes::new(Vec::new())).await;
    let _running = stage.start_queue(stage.queue("main", queue, ""));
    stage.pass(Duration::from_secs(600), STEP).await;
    let lines = log.lines();
    assert_eq!(lines.len(), 1, "{lines:#?}");
    for expected in expect.iter().chain(&["queue.name=main", "no event comes in from the queue"]) {
        assert!(lines[0].contains(expected), "{expected}: {lines:#?}");
    }
    let requests = stage.emulator.ledger().requests();
    // One at a time: 1, 2, 4 seconds and so on up to a minute, each at least half of that.
    assert!((14..=30).contains(&requests), "{requests} requests in ten minutes of trouble");

    mend(&stage).await;
    stage.emulator.send(queue, &text(1)).unwrap();
    stage.pass_until("the event", |stage| stage.in_journal() == 1).await;
    let lines = log.lines();
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(lines[1].contains("events of the queue come in again"), "{lines:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_away() {
    let settings = Settings { faults: vec![Fault::Unavailable.always()], ..Settings::default() };
    check(settings, "vod-events", &["HTTP 503", "messages wait in the queue"], async |stage| {
        stage.emulator.clear_faults();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_is_missing() {
    check(Settings::default(), "elsewhere", &["QueueNotExist", "create the queue"], async |stage| {
        stage.emulator.create_queue("elsewhere", Attributes::default()).unwrap();
    })
    .await;
}

/// Neither passes without somebody who mends the configuration or the clock.
#[tokio::test(start_paused = true)]
async fn wrong_keys_and_a_wrong_clock() {
    let knows = |id: &str, secret: &str| Settings {
        access_keys: vec![AccessKey::new(id, secret)],
        ..Settings::default()
    };
    for (settings, ahead, says) in [
        (knows("AK", "another"), 0, ["SignatureDoesNotMatch", "correct access_key_secret"]),
        (knows("another", "SK"), 0, ["InvalidAccessKeyId", "correct access_key_id"]),
        (knows("AK", "SK"), 3_600, ["TimeExpired", "set the clock of this machine"]),
    ] {
        let (log, _guard) = Log::start();
        let stage = Stage::with(settings, Routes::new(Vec::new())).await;
        stage.emulator.clock().advance(Duration::from_secs(ahead));
        let running = stage.start();
        stage.pass(Duration::from_secs(300), STEP).await;
        let lines = log.lines();
        assert_eq!(lines.len(), 1, "{lines:#?}");
        assert!(says.iter().all(|says| lines[0].contains(says)), "{lines:#?}");
        assert!(stage.emulator.ledger().requests() < 60, "{:?}", stage.emulator.ledger());
        running.kill().await;
    }
}
