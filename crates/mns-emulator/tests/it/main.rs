//! The emulator as clients see it: raw bytes over a socket.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking, in its helpers too")]

mod answers;
#[cfg(feature = "cli")]
mod binary;
mod control;
mod faults;
mod http;
mod life_cycle;
mod polls;
mod wire;
