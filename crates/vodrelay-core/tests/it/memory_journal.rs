//! The journal in memory keeps the contracts that it is used to test with.

use vodrelay_core::testing::{MemoryJournal, journal_contract, ledger_contract, refusal_contract};

#[tokio::test]
async fn contract() {
    journal_contract(async |clock| MemoryJournal::new(clock)).await;
}

#[tokio::test]
async fn contract_of_refusals() {
    refusal_contract(async |clock| MemoryJournal::new(clock)).await;
}

#[tokio::test]
async fn contract_of_the_ledger() {
    ledger_contract(async |clock| MemoryJournal::new(clock)).await;
}
