//! The receiver as its clients see it: raw bytes over a socket, and what the journal then holds.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking, in its helpers too")]

mod answers;
mod bad_input;
mod configuration;
mod connections;
mod probes;
mod server;
mod timing;
