//! The composed relay, as its users run it: the binary, real sockets, real files.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking, in its helpers too")]

mod cli;
mod config;
mod kill;
mod receiver;
mod relay;
