//! Runs other programs from the root of the workspace.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}

/// Where cargo puts what it builds.
pub(crate) fn target() -> PathBuf {
    std::env::vars_os()
        .find(|(key, _)| key == "CARGO_TARGET_DIR")
        .map_or_else(|| root().join("target"), |(_, folder)| folder.into())
}

/// Runs cargo with these words, and these variables besides its environment.
pub(crate) fn cargo(words: &[&str], variables: &[(&str, &str)]) -> Result<(), String> {
    let mut command = Command::new(env!("CARGO"));
    command.args(words).envs(variables.iter().copied()).current_dir(root());
    // What cargo told us about this crate is no business of those that it builds: some build scripts look there, and a
    // build from here would begin anew after one from a shell.
    let about_us = |name: &std::ffi::OsString| {
        let name = name.to_string_lossy();
        name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
    };
    for (name, _) in std::env::vars_os().filter(|(name, _)| about_us(name)) {
        command.env_remove(name);
    }
    let status = command.status().map_err(|error| format!("cargo could not be started: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("`cargo {}` failed ({status})", words.join(" "))) }
}

/// Whether a cargo subcommand is installed.
pub(crate) fn has_cargo_command(name: &str) -> bool {
    let version = Command::new(env!("CARGO")).args([name, "--version"]).current_dir(root()).output();
    version.is_ok_and(|output| output.status.success())
}
