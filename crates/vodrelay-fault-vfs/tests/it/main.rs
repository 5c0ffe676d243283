//! The disk below a database like the journal's: what a sync keeps stays, and what none keeps is lost.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod faults;
mod power;
