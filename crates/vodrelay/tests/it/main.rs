//! The composed relay, as its users run it: the binary, real sockets, real files.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]
#![expect(clippy::print_stderr, reason = "a slow test says what it skipped")]

mod against;
mod alerts;
mod archive;
mod browser;
mod cli;
mod config;
#[cfg(target_os = "linux")]
mod descriptors;
mod drain;
mod events;
mod export;
mod forget;
mod gaps;
mod journal;
mod letters;
mod listen;
mod logs;
mod metrics;
mod operate;
mod page;
mod queue;
mod receiver;
mod refused;
mod relay;
mod reload;
mod replaying;
mod restart;
mod schema;
mod sinks;
mod supervised;
mod sync;
mod through;
mod tls;
mod traces;
mod unaltered;

/// Slow tests run when they are asked for; `cargo xtask ci` asks.
fn slow_tests_are_asked_for() -> bool {
    let asked = std::env::vars().any(|(name, value)| name == "RUN_SLOW_TESTS" && value == "1");
    if !asked {
        eprintln!("skipped: set RUN_SLOW_TESTS=1");
    }
    asked
}
