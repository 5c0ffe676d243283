//! The contract that every journal keeps.

use vodrelay_core::testing::{journal_contract, ledger_contract};
use vodrelay_journal::{RefusedBounds, SqliteJournal};

use crate::bench::{as_clock, config};

#[tokio::test]
async fn it_keeps_the_contract() {
    let parent = tempfile::tempdir().unwrap();
    let count = std::cell::Cell::new(0);
    let make = async |clock| {
        count.set(count.get() + 1);
        let folder = parent.path().join(count.get().to_string());
        SqliteJournal::open(&folder, config(), RefusedBounds::default(), as_clock(&clock)).unwrap()
    };
    journal_contract(make).await;
}

#[tokio::test]
async fn it_keeps_the_contract_of_the_ledger() {
    let parent = tempfile::tempdir().unwrap();
    let count = std::cell::Cell::new(0);
    let make = async |clock| {
        count.set(count.get() + 1);
        let folder = parent.path().join(count.get().to_string());
        SqliteJournal::open(&folder, config(), RefusedBounds::default(), as_clock(&clock)).unwrap()
    };
    ledger_contract(make).await;
}
