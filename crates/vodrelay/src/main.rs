//! The relay with its built-in sinks. Everything else is in the library, where your own binary can reach it too.

use std::process::ExitCode;

fn main() -> ExitCode {
    vodrelay::main(Vec::new())
}
