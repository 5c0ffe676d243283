//! Tests of the crate from outside, in one binary.

mod dispatcher;
mod intake;
mod memory_journal;
mod routing;
