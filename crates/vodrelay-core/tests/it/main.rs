//! Tests of the crate from outside, in one binary.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::clone_on_ref_ptr,
    reason = "a test fails by panicking, in its helpers too"
)]

mod dispatcher;
mod holding;
mod intake;
mod memory_journal;
mod readmission;
mod replay;
mod routing;
