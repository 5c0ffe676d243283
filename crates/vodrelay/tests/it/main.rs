//! The composed relay, as its users run it: the binary, real sockets, real files.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]
#![expect(clippy::print_stderr, reason = "a slow test says what it skipped")]

mod archive;
mod cli;
mod config;
mod deletions;
mod gaps;
mod images;
mod journal;
mod kill;
mod letters;
mod load;
mod operate;
mod queue;
mod receiver;
mod refused;
mod relay;
mod restart;
mod schema;
mod sinks;
mod sync;
mod two_relays;
mod unaltered;

/// Slow tests run when they are asked for; `cargo xtask ci` asks.
fn slow_tests_are_asked_for() -> bool {
    let asked = std::env::vars().any(|(name, value)| name == "RUN_SLOW_TESTS" && value == "1");
    if !asked {
        eprintln!("skipped: set RUN_SLOW_TESTS=1");
    }
    asked
}

/// How much of something a long test does, unless a variable asks for another number.
fn number(variable: &str, default: usize) -> usize {
    let asked = std::env::vars().find(|(name, _)| name == variable);
    asked.map_or(default, |(name, text)| {
        text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text:?}"))
    })
}
