//! The client against recordings, against scripted servers, and against the emulator.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod emulated;
mod faults;
mod long_polls;
mod properties;
mod recorded;
mod script;
mod tls;
mod wire;
