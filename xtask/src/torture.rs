//! `cargo xtask torture`: builds the relay as it is released and the harness, and runs the latter.

use std::path::PathBuf;
use std::process::Command;

use crate::breaks;
use crate::run::{cargo, root, target};

/// How relay and harness are built.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Profile {
    Debug,
    Release,
}

/// Runs the rows that are named, or all, on release builds; or breaks the relay and looks whether that is seen.
pub(crate) fn torture(words: &[String]) -> Result<(), String> {
    if words == ["breaks"] { breaks::run() } else { run(Profile::Release, words) }
}

/// The short plan, on the builds that tests have made anyway.
pub(crate) fn short() -> Result<(), String> {
    run(Profile::Debug, &[])
}

/// Where the harness is once it is built.
pub(crate) fn program(profile: Profile) -> PathBuf {
    let folder = match profile {
        Profile::Debug => "debug",
        Profile::Release => "release",
    };
    target().join(folder).join("vodrelay-torture")
}

pub(crate) fn build(profile: Profile) -> Result<(), String> {
    let options: &[&str] = match profile {
        Profile::Debug => &[],
        Profile::Release => &["--release"],
    };
    // Each by itself: built with the harness, the relay would get features that the released one lacks.
    for package in ["vodrelay", "vodrelay-torture"] {
        cargo(&[&["build", "--locked", "-p", package], options].concat(), &[])?;
    }
    Ok(())
}

fn run(profile: Profile, words: &[String]) -> Result<(), String> {
    build(profile)?;
    let status = Command::new(program(profile)).args(words).current_dir(root()).status();
    let status = status.map_err(|error| format!("cannot run the harness: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("the harness ended with {status}")) }
}
