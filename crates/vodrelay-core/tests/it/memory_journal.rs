//! The journal in memory keeps the contract that it is used to test with.

use vodrelay_core::testing::{MemoryJournal, journal_contract};

#[tokio::test]
async fn contract() {
    journal_contract(async |clock| MemoryJournal::new(clock)).await;
}
