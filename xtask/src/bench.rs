//! `cargo xtask bench`: builds the release binary and the measuring program, and runs the latter on two cores.

use std::process::Command;

use crate::run::{cargo, root, target};

/// Two cores are what the numbers to reach are stated for.
const CORES: usize = 2;

/// Measures the rows that are named, or all.
pub(crate) fn bench(words: &[String]) -> Result<(), String> {
    // Each by itself: built with the bench, the relay would get features that the released one lacks.
    for package in ["vodrelay", "vodrelay-bench"] {
        cargo(&["build", "--release", "--locked", "-p", package], &[])?;
    }
    let program = target().join("release/vodrelay-bench");
    let cores = std::thread::available_parallelism().map_or(CORES, usize::from);
    let mut command = if cores > CORES {
        let mut command = Command::new("taskset");
        command.args(["--cpu-list", "0,1"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.args(words).current_dir(root());
    let status = command.status().map_err(|error| format!("cannot run {command:?}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("the bench ended with {status}")) }
}
