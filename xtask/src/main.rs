//! The project's own tools. `cargo xtask ci` is how the project is checked; it needs nothing but cargo.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a tool talks to the person who called it")]

mod alone;
mod bench;
mod ci;
mod fuzz;
mod interop;
mod run;
mod tidy;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  ci       everything that a change must pass: format, tidy, clippy, tests with the slow ones, interop, docs, alone,
           the fuzz targets over their seeds, deny
  tidy     layering, module headers, fixtures all used, crate list in the documents true
  interop  receivers made of published libraries take what the relay sends, published queue clients run against the emulator
  bench    the numbers to reach: [--write] [ROW...], see docs/PERFORMANCE.md
  fuzz     what reads other people's bytes, by coverage: [--seconds N] [TARGET...], ten minutes each unless said
  torture  kill -9 and restarts under load, at length: nothing acknowledged may be missing, no message, no image
  alone    check each crate of layers 0 and 1 by itself
";

fn main() -> ExitCode {
    let command = std::env::args().nth(1).unwrap_or_default();
    let result = match command.as_str() {
        "ci" => ci::ci(),
        "tidy" => tidy::tidy(),
        "alone" => alone::alone(),
        "interop" => interop::interop(),
        "bench" => bench::bench(&std::env::args().skip(2).collect::<Vec<_>>()),
        "fuzz" => fuzz::fuzz(&std::env::args().skip(2).collect::<Vec<_>>()),
        "torture" => torture(),
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(64);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask {command}: {message}");
            ExitCode::FAILURE
        }
    }
}

/// The kill and restart tests of `ci`, on a release build and at full length.
fn torture() -> Result<(), String> {
    let tests = [
        ("kill::", [("TORTURE_EVENTS", "20000"), ("TORTURE_KILLS", "3")]),
        ("queue::kill_9", [("TORTURE_MESSAGES", "100000"), ("TORTURE_KILLS", "5")]),
        ("images::", [("TORTURE_IMAGES", "2000"), ("TORTURE_IMAGE_KILLS", "12")]),
        ("restart::", [("TORTURE_RESTARTS", "50"), ("RUST_BACKTRACE", "1")]),
        ("two_relays::", [("TORTURE_RESTARTS", "20"), ("RUST_BACKTRACE", "1")]),
    ];
    for (test, length) in tests {
        let variables = [&length[..], &[("RUN_SLOW_TESTS", "1")]].concat();
        run::cargo(
            &["test", "--release", "--locked", "-p", "vodrelay", "--test", "it", test, "--", "--nocapture"],
            &variables,
        )?;
    }
    Ok(())
}
