//! The source against the emulator: what is in the journal, what is still in the queue, what it cost.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, in its helpers too"
)]

mod back_pressure;
mod configuration;
mod draining;
mod hostile;
mod idle;
mod shutdown;
mod stage;
mod traces;
mod trouble;
