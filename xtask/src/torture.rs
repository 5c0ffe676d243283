//! `cargo xtask torture`: builds the relay as it is released and the harness, and runs the latter.

use std::process::Command;

use crate::breaks;
use crate::run::{cargo, root, target};

/// How the relay is built. The harness is built for tests, which is soon done.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Profile {
    Debug,
    Release,
}

/// Runs the rows that are named, or all, on the relay as it is released; or breaks it and looks whether that is seen.
pub(crate) fn torture(words: &[String]) -> Result<(), String> {
    if words == ["breaks"] { breaks::run() } else { run(Profile::Release, words) }
}

/// The short plan, on the build that tests have made anyway.
pub(crate) fn short() -> Result<(), String> {
    run(Profile::Debug, &[])
}

fn run(profile: Profile, words: &[String]) -> Result<(), String> {
    let (options, folder): (&[&str], _) = match profile {
        Profile::Debug => (&[], "debug"),
        Profile::Release => (&["--release"], "release"),
    };
    cargo(&[&["build", "--locked", "-p", "vodrelay"], options].concat(), &[])?;
    let mut command = harness()?;
    command.arg("--relay").arg(target().join(folder).join("vodrelay")).args(words).current_dir(root());
    let status = command.status().map_err(|error| format!("cannot run the harness: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("the harness ended with {status}")) }
}

/// The harness, built by itself: built with it, the relay would get features that the released one lacks.
pub(crate) fn harness() -> Result<Command, String> {
    cargo(&["build", "--locked", "-p", "vodrelay-torture"], &[])?;
    Ok(Command::new(target().join("debug/vodrelay-torture")))
}
