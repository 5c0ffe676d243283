//! What tests of this crate and of every implementer need: mocks of our ports, a clock to move, a journal in memory,
//! and the contracts that each journal and each sink must keep.
#![expect(clippy::expect_used, clippy::missing_panics_doc, reason = "a test helper fails by panicking")]

mod clock;
mod journal_contract;
mod ledger_contract;
mod memory_journal;
mod picture;
mod refusal_contract;
mod sample;
mod sink_contract;

pub use self::clock::ManualClock;
pub use self::journal_contract::journal_contract;
pub use self::ledger_contract::ledger_contract;
pub use self::memory_journal::MemoryJournal;
pub use self::picture::Picture;
pub use self::refusal_contract::refusal_contract;
pub use self::sample::{delivery_of, envelope_of, event_body};
pub use self::sink_contract::sink_contract;
pub use crate::images::MockImageStore;
pub use crate::journal::MockJournal;
pub use crate::judge::MockJudge;
pub use crate::ledger::MockLedger;
pub use crate::sink::MockSink;
