//! The contracts that every journal keeps.

use std::cell::Cell;
use std::path::PathBuf;
use std::sync::Arc;

use vodrelay_core::testing::{ManualClock, journal_contract, ledger_contract, refusal_contract};
use vodrelay_journal::{RefusedBounds, SqliteJournal};

use crate::bench::{as_clock, config};

/// A new journal each time, in a folder of its own.
struct Journals {
    parent: tempfile::TempDir,
    count: Cell<usize>,
}

impl Journals {
    fn new() -> Self {
        Self { parent: tempfile::tempdir().unwrap(), count: Cell::new(0) }
    }

    fn make(&self, clock: &Arc<ManualClock>) -> SqliteJournal {
        self.count.set(self.count.get() + 1);
        let folder: PathBuf = self.parent.path().join(self.count.get().to_string());
        SqliteJournal::open(&folder, config(), RefusedBounds::default(), as_clock(clock)).unwrap()
    }
}

#[tokio::test]
async fn it_keeps_the_contract() {
    let journals = Journals::new();
    journal_contract(async |clock| journals.make(&clock)).await;
}

#[tokio::test]
async fn it_keeps_the_contract_of_refusals() {
    let journals = Journals::new();
    refusal_contract(async |clock| journals.make(&clock)).await;
}

#[tokio::test]
async fn it_keeps_the_contract_of_the_ledger() {
    let journals = Journals::new();
    ledger_contract(async |clock| journals.make(&clock)).await;
}
