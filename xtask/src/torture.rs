//! `cargo xtask torture`: builds the relay as it is released and the harness, and runs the latter.

use std::process::Command;

use crate::run::{cargo, root, target};

/// Runs the rows that are named, or all, on release builds.
pub(crate) fn torture(words: &[String]) -> Result<(), String> {
    run("release", &["--release"], words)
}

/// The short plan, on the builds that tests have made anyway.
pub(crate) fn short() -> Result<(), String> {
    run("debug", &[], &[])
}

fn run(profile: &str, options: &[&str], words: &[String]) -> Result<(), String> {
    // Each by itself: built with the harness, the relay would get features that the released one lacks.
    for package in ["vodrelay", "vodrelay-torture"] {
        cargo(&[&["build", "--locked", "-p", package], options].concat(), &[])?;
    }
    let program = target().join(profile).join("vodrelay-torture");
    let status = Command::new(&program).args(words).current_dir(root()).status();
    let status = status.map_err(|error| format!("cannot run {}: {error}", program.display()))?;
    if status.success() { Ok(()) } else { Err(format!("the harness ended with {status}")) }
}
