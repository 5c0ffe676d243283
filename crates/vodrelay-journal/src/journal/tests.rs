//! What needs a hand inside: commits that fail, and a disk that fills up.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rusqlite::ffi;
use vodrelay_core::testing::{ManualClock, envelope_of, event_body};
use vodrelay_core::{Attempt, Claim, Name, Outcome};

use super::*;

struct Disk {
    _folder: tempfile::TempDir,
    free: Arc<AtomicU64>,
    clock: Arc<ManualClock>,
    journal: SqliteJournal,
}

const PLENTY: u64 = 8 << 30;
const LITTLE: u64 = 900 << 20;

impl Disk {
    fn new() -> Self {
        let (folder, free) = (tempfile::tempdir().unwrap(), Arc::new(AtomicU64::new(PLENTY)));
        let clock = Arc::new(ManualClock::default());
        let gauge = Arc::clone(&free);
        let free_bytes = Arc::new(move |_: &Path| Ok(gauge.load(Ordering::Relaxed)));
        let journal = SqliteJournal::open_on(
            folder.path(),
            Config::default(),
            RefusedBounds::default(),
            Arc::clone(&clock) as Arc<dyn Clock>,
            &Storage { free_bytes, ..Storage::default() },
        );
        Self { _folder: folder, free, clock, journal: journal.unwrap() }
    }

    async fn append(&self, number: usize) -> Result<Appended, JournalError> {
        let envelope = envelope_of(event_body(number), self.clock.now());
        self.journal.append(&envelope, &[Name::new("a").unwrap()]).await
    }

    async fn claim(&self, limit: usize) -> Vec<Claim> {
        let claimed = self.journal.claim(&Name::new("a").unwrap(), limit, Duration::from_secs(60)).await;
        claimed.unwrap().claims
    }

    async fn settle(&self, claim: &Claim, outcome: Outcome) -> Result<SettleResult, JournalError> {
        let attempt = Attempt {
            started_at: self.clock.now(),
            took: Duration::ZERO,
            age: Duration::ZERO,
            status: None,
            note: "no answer".to_owned(),
        };
        let reached_at = self.clock.now();
        let settled = Settled { token: claim.token, outcome, attempt: Some(attempt), reached_at };
        Ok(self.journal.settle(&[settled]).await?[0])
    }

    /// Sets how much is free and waits until the writer has seen it.
    async fn fill(&self, free: u64) {
        self.free.store(free, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(2_500)).await;
    }
}

fn sqlite_error(code: i32) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)
}

#[tokio::test]
async fn a_failed_sync_poisons_at_once_and_for_good() {
    let disk = Disk::new();
    disk.append(1).await.unwrap();
    let mut poisoned = disk.journal.poisoned();
    disk.journal.fail_next_commit(sqlite_error(ffi::SQLITE_IOERR_FSYNC));
    assert!(matches!(disk.append(2).await, Err(JournalError::Poisoned(_))));
    let told = tokio::time::timeout(Duration::from_secs(1), poisoned.wait_for(Option::is_some)).await;
    assert!(told.unwrap().unwrap().is_some());
    // Nothing fails any more, and nothing is tried any more.
    assert!(matches!(disk.append(3).await, Err(JournalError::Poisoned(_))));
    assert!(matches!(disk.journal.writable().await, Err(JournalError::Poisoned(_))));
    let name = Name::new("a").unwrap();
    let claimed = disk.journal.claim(&name, 9, Duration::from_secs(60)).await;
    assert!(matches!(claimed, Err(JournalError::Poisoned(_))));
    assert!(matches!(disk.journal.close().await, Err(JournalError::Poisoned(_))));
}

#[tokio::test]
async fn a_commit_without_room_fails_its_batch_and_no_other() {
    let disk = Disk::new();
    disk.journal.fail_next_commit(sqlite_error(ffi::SQLITE_FULL));
    assert!(matches!(disk.append(1).await, Err(JournalError::Full(_))));
    assert!(disk.journal.poisoned().borrow().is_none());
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(disk.append(1).await, Ok(Appended::New), "it was not kept, not even in memory");
    assert_eq!(disk.claim(9).await.len(), 1);
}

#[tokio::test]
async fn another_failure_is_forgotten_with_its_batch() {
    let disk = Disk::new();
    disk.journal.fail_next_commit(sqlite_error(ffi::SQLITE_BUSY));
    assert!(matches!(disk.append(1).await, Err(JournalError::Failed(_))));
    assert_eq!(disk.append(2).await, Ok(Appended::New), "sinks and words are given out anew");
    assert_eq!(disk.append(1).await, Ok(Appended::New));
    let claims = disk.claim(9).await;
    assert_eq!(claims.len(), 2);
    disk.journal.fail_next_commit(sqlite_error(ffi::SQLITE_BUSY));
    assert!(disk.settle(&claims[0], Outcome::Delivered).await.is_err());
    assert_eq!(
        disk.settle(&claims[0], Outcome::Delivered).await,
        Ok(SettleResult::Done),
        "held and settled again"
    );
}

#[tokio::test]
async fn when_room_runs_out_delivered_history_goes_and_settling_goes_on() {
    let disk = Disk::new();
    for number in 0..4 {
        disk.append(number).await.unwrap();
    }
    let claims = disk.claim(3).await;
    disk.settle(&claims[0], Outcome::Delivered).await.unwrap();
    disk.settle(&claims[1], Outcome::DeadLetter("gone".to_owned())).await.unwrap();
    disk.fill(LITTLE).await;
    assert!(matches!(disk.append(9).await, Err(JournalError::Full(_))));
    assert!(matches!(disk.journal.writable().await, Err(JournalError::Full(_))));
    assert_eq!(disk.journal.totals().await.unwrap().events, 3, "what is pending or dead stays");
    assert_eq!(disk.settle(&claims[2], Outcome::Delivered).await, Ok(SettleResult::Done));
    assert_eq!(disk.claim(9).await.len(), 1);
    disk.fill(PLENTY).await;
    assert_eq!(disk.journal.writable().await, Ok(()));
    assert_eq!(disk.append(9).await, Ok(Appended::New));
}

#[tokio::test]
async fn an_append_whose_caller_has_gone_is_whole_or_not_at_all() {
    let disk = Disk::new();
    let envelope = envelope_of(event_body(1), disk.clock.now());
    let sinks = [Name::new("a").unwrap()];
    drop(tokio::time::timeout(Duration::ZERO, disk.journal.append(&envelope, &sinks)).await);
    disk.append(2).await.unwrap();
    let totals = disk.journal.totals().await.unwrap();
    let pending: u64 = disk.journal.backlogs().await.unwrap().iter().map(|backlog| backlog.pending).sum();
    assert_eq!(totals.events, pending);
}

#[tokio::test]
async fn a_journal_that_hangs_has_no_pulse_and_one_that_fails_has() {
    let (folder, hangs) = (tempfile::tempdir().unwrap(), Arc::new(AtomicBool::new(false)));
    let gauge = Arc::clone(&hangs);
    let free_bytes = Arc::new(move |_: &Path| {
        while gauge.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(PLENTY)
    });
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
    let storage = Storage { free_bytes, ..Storage::default() };
    let bounds = RefusedBounds::default();
    let journal = SqliteJournal::open_on(folder.path(), Config::default(), bounds, clock, &storage).unwrap();
    journal.pulse().await.unwrap();
    journal.fail_next_commit(sqlite_error(ffi::SQLITE_BUSY));
    journal.pulse().await.unwrap();

    hangs.store(true, Ordering::Relaxed);
    // The disk is looked at about once a second.
    let all_beat = async { while journal.pulse().await.is_ok() {} };
    assert!(tokio::time::timeout(Duration::from_secs(3), all_beat).await.is_err());
    assert!(tokio::time::timeout(Duration::from_millis(300), journal.pulse()).await.is_err());
    hangs.store(false, Ordering::Relaxed);
    journal.pulse().await.unwrap();
}
