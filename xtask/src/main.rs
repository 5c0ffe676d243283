//! The project's own tools. `cargo xtask ci` is how the project is checked; it needs nothing but cargo.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a tool talks to the person who called it")]

mod alone;
mod ci;
mod run;
mod tidy;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  ci       everything that a change must pass: format, clippy, tests with the slow ones, docs, tidy, alone, deny
  tidy     layering, module headers, fixtures all used, crate list in the documents true
  alone    check each crate of layers 0 and 1 by itself
";

fn main() -> ExitCode {
    let command = std::env::args().nth(1).unwrap_or_default();
    let result = match command.as_str() {
        "ci" => ci::ci(),
        "tidy" => tidy::tidy(),
        "alone" => alone::alone(),
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
