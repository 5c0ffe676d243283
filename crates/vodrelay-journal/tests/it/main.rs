//! The journal from outside: its contract, its promise over crashes, and what it does when things go wrong.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod backup;
mod bench;
mod contract;
mod crashes;
mod erased;
mod files;
mod fixture;
mod history;
mod jobs;
mod log;
mod opening;
mod orders;
mod promise;
mod reading;
mod refusals;
mod retention;
mod salvage;
mod sql;
mod throughput;
mod traces;
mod verifying;
