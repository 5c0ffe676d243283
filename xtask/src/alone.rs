//! `cargo xtask alone`: the reusable crates build by themselves, with only the features that they ask for.

use crate::run::cargo;
use crate::tidy::crates_of_layers;

/// Checks each crate below the program by itself, so that none leans on a feature that another switches on.
pub(crate) fn alone() -> Result<(), String> {
    for name in crates_of_layers(&[0, 1, 2])? {
        cargo(&["check", "--quiet", "--locked", "-p", &name], &[])?;
        println!("{name} builds alone");
    }
    Ok(())
}
