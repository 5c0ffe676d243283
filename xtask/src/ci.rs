//! `cargo xtask ci`: what a change must pass, in the order in which a mistake is found soonest.

use std::time::Duration;

use crate::run::{cargo, has_cargo_command};
use crate::{alone, fuzz, interop, tidy, torture};

/// What one section does; an error ends the run.
type Section = fn() -> Result<(), String>;

/// Runs every section and says how long each took.
pub(crate) fn ci() -> Result<(), String> {
    let sections: [(&str, Section); 10] = [
        ("format", || cargo(&["fmt", "--all", "--check"], &[])),
        ("tidy", tidy::tidy),
        ("clippy", || {
            cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"], &[])
        }),
        ("test", || {
            cargo(&["test", "--workspace", "--locked", "--no-fail-fast"], &[("RUN_SLOW_TESTS", "1")])
        }),
        ("torture", torture::short),
        ("interop", interop::interop),
        ("docs", || {
            cargo(&["doc", "--workspace", "--no-deps", "--locked"], &[("RUSTDOCFLAGS", "-D warnings")])
        }),
        ("alone", alone::alone),
        ("fuzz", fuzz::check),
        ("deny", deny),
    ];
    let mut times = Vec::new();
    for (name, section) in sections {
        println!("::: {name}");
        let started = clock();
        section()?;
        times.push((name, started.elapsed()));
    }
    for (name, time) in &times {
        println!("{name:>8} {:6.1} s", time.as_secs_f64());
    }
    let total: Duration = times.iter().map(|(_, time)| *time).sum();
    println!("   total {:6.1} s: all sections passed", total.as_secs_f64());
    Ok(())
}

fn deny() -> Result<(), String> {
    if !has_cargo_command("deny") {
        println!("cargo-deny is not installed, so bans, licences and sources were NOT checked here");
        return Ok(());
    }
    cargo(&["deny", "--offline", "check", "bans", "licenses", "sources"], &[])
}

#[expect(clippy::disallowed_methods, reason = "a tool that times its own steps has no clock to be passed")]
fn clock() -> std::time::Instant {
    std::time::Instant::now()
}
