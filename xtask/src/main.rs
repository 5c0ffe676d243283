//! The project's own tools. `cargo xtask ci` is how the project is checked; it needs nothing but cargo.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a tool talks to the person who called it")]

mod alone;
mod bench;
mod breaks;
mod ci;
mod fuzz;
mod interop;
mod run;
mod tidy;
mod torture;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  ci       everything that a change must pass: format, tidy, clippy, tests with the slow ones, interop, docs, alone,
           the fuzz targets over their seeds, deny
  tidy     layering, module headers, fixtures all used, crate list in the documents true
  interop  receivers made of published libraries take what the relay sends, published queue clients run against the emulator,
           promtool takes the alert rules and a scrape, schemathesis finds the API as its document says
  bench    the numbers to reach: [--write] [ROW...], see docs/PERFORMANCE.md
  fuzz     what reads other people's bytes, by coverage: [--seconds N] [TARGET...], ten minutes each unless said
  torture  every fault in the middle of a load: [--long] [--write] [--seed N] [--times N] [ROW...]; nothing acknowledged
           may be missing; `torture breaks` breaks the relay on purpose and demands that it is seen
  alone    check each crate below the program by itself
";

fn main() -> ExitCode {
    let command = std::env::args().nth(1).unwrap_or_default();
    if std::env::args().any(|word| word == "--help" || word == "-h") {
        print!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let result = match command.as_str() {
        "ci" => ci::ci(),
        "tidy" => tidy::tidy(),
        "alone" => alone::alone(),
        "interop" => interop::interop(),
        "bench" => bench::bench(&std::env::args().skip(2).collect::<Vec<_>>()),
        "fuzz" => fuzz::fuzz(&std::env::args().skip(2).collect::<Vec<_>>()),
        "torture" => torture::torture(&std::env::args().skip(2).collect::<Vec<_>>()),
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
