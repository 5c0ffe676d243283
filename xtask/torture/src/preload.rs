//! Stands between a relay and the C library, by `LD_PRELOAD`, and fails what the harness tells it to: writes and syncs
//! of the files below one folder, the look-up of names, the clock on the wall.
//!
//! Nothing of the relay is changed or built anew for it, and nothing here wants a privilege. Beside each file it keeps
//! what a power cut would leave of it: what was written before the last sync that succeeded.
#![allow(unsafe_code, reason = "functions of C are called, and written, with raw pointers")]
#![expect(clippy::print_stderr, reason = "it has no log of its own")]

#[path = "preload/clock.rs"]
mod clock;
#[path = "preload/durable.rs"]
mod durable;
#[path = "preload/files.rs"]
mod files;
#[path = "preload/ground.rs"]
mod ground;
#[path = "preload/names.rs"]
mod names;
mod words;
