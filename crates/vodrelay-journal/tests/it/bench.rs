//! What the tests share: a journal in a folder of its own, on a clock that moves when told.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use vodrelay_core::config::ByteSize;
use vodrelay_core::ledger::{DeadLetter, LetterFilter};
use vodrelay_core::testing::{ManualClock, envelope_of, event_body};
use vodrelay_core::{
    Appended, Attempt, Claim, Clock, Envelope, Journal, Ledger, Name, Outcome, SettleResult, Settled,
    SinkBacklog, SinkName,
};
use vodrelay_journal::{Config, Reader, RefusedBounds, SqliteJournal};

pub(crate) const LEASE: Duration = Duration::from_secs(60);
pub(crate) const DAY: Duration = Duration::from_secs(86_400);

/// A journal that a test plays with.
pub(crate) struct Bench {
    pub(crate) folder: TempDir,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) journal: SqliteJournal,
    pub(crate) config: Config,
    pub(crate) bounds: RefusedBounds,
}

/// Settings that do not depend on how much room the disk of the test has.
pub(crate) fn config() -> Config {
    Config { min_free: ByteSize(0), ..Config::default() }
}

pub(crate) fn sink(text: &str) -> SinkName {
    Name::new(text).unwrap()
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(config(), RefusedBounds::default())
    }

    pub(crate) fn with(config: Config, bounds: RefusedBounds) -> Self {
        let (folder, clock) = (tempfile::tempdir().unwrap(), Arc::new(ManualClock::default()));
        let journal = SqliteJournal::open(folder.path(), config, bounds, as_clock(&clock)).unwrap();
        Self { folder, clock, journal, config, bounds }
    }

    /// Stops cleanly and opens again.
    pub(crate) async fn restart(self) -> Self {
        let Self { folder, clock, journal, config, bounds } = self;
        journal.close().await.unwrap();
        let journal = SqliteJournal::open(folder.path(), config, bounds, as_clock(&clock)).unwrap();
        Self { folder, clock, journal, config, bounds }
    }

    /// Opens what a kill would have left behind at this moment: the files as they are, in another folder.
    pub(crate) fn crash(self) -> Self {
        let folder = tempfile::tempdir().unwrap();
        copy_files(self.folder.path(), folder.path());
        let journal =
            SqliteJournal::open(folder.path(), self.config, self.bounds, as_clock(&self.clock)).unwrap();
        Self { folder, journal, clock: self.clock, config: self.config, bounds: self.bounds }
    }

    pub(crate) fn event(&self, number: usize) -> Envelope {
        envelope_of(event_body(number), self.clock.now())
    }

    pub(crate) async fn append(&self, number: usize, sinks: &[&str]) -> Appended {
        let sinks: Vec<SinkName> = sinks.iter().map(|name| sink(name)).collect();
        self.journal.append(&self.event(number), &sinks).await.unwrap()
    }

    pub(crate) async fn claim(&self, name: &str, limit: usize) -> Vec<Claim> {
        self.journal.claim(&sink(name), limit, LEASE).await.unwrap().claims
    }

    pub(crate) async fn settle(&self, claim: &Claim, outcome: Outcome) -> SettleResult {
        let attempt = Attempt {
            started_at: self.clock.now(),
            took: Duration::from_millis(5),
            age: Duration::from_secs(1),
            status: Some(503),
            note: "busy".to_owned(),
        };
        let attempt = (outcome != Outcome::Released).then_some(attempt);
        let settled = Settled { token: claim.token, outcome, attempt, reached_at: self.clock.now() };
        self.journal.settle(&[settled]).await.unwrap()[0]
    }

    /// Appends, claims and delivers one event.
    pub(crate) async fn deliver(&self, number: usize) {
        self.append(number, &["a"]).await;
        for claim in self.claim("a", 1).await {
            assert_eq!(self.settle(&claim, Outcome::Delivered).await, SettleResult::Done);
        }
    }

    pub(crate) async fn backlog(&self, name: &str) -> SinkBacklog {
        let backlogs = self.journal.backlogs().await.unwrap();
        backlogs.into_iter().find(|backlog| backlog.sink == sink(name)).unwrap()
    }

    /// Removes what has been kept long enough, and waits until that came to an end.
    pub(crate) async fn tidy(&self) {
        self.journal.tidy().await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    pub(crate) fn dead_letters(&self) -> Vec<DeadLetter> {
        self.reader().dead_letters(&LetterFilter::default(), None, 99).unwrap().items
    }

    pub(crate) fn reader(&self) -> Reader {
        Reader::open(self.folder.path()).unwrap()
    }
}

pub(crate) fn as_clock(clock: &Arc<ManualClock>) -> Arc<dyn Clock> {
    Arc::clone(clock) as Arc<dyn Clock>
}

/// Copies the file and its log; the lock and the index of the log do not survive a crash.
pub(crate) fn copy_files(from: &Path, to: &Path) {
    for name in ["journal.sqlite3", "journal.sqlite3-wal"] {
        if from.join(name).exists() {
            std::fs::copy(from.join(name), to.join(name)).unwrap();
        }
    }
}
