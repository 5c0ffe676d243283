//! The promise on a disk that fails: power cuts, I/O errors, no room, flipped bits.
//!
//! Each run prints its seed when it fails. How the threads take turns is not part of the seed, so a failure that hangs
//! on that may need a few runs. `RUN_SLOW_TESTS=1` makes many more.

mod bits;
mod errors;
mod gone;
mod last;
mod model;
mod play;
mod power;
mod rig;
mod stage;
mod torn;

/// How many runs: few by default, many when asked.
fn runs(quick: u64, slow: u64) -> u64 {
    if std::env::vars().any(|(name, _)| name == "RUN_SLOW_TESTS") { slow } else { quick }
}

/// The one seed that was asked for by `FAULT_SEED`, or that many from the first on.
fn seeds(quick: u64, slow: u64) -> Vec<u64> {
    let asked = std::env::vars().find(|(name, _)| name == "FAULT_SEED");
    asked.map_or_else(|| (0..runs(quick, slow)).collect(), |(_, seed)| vec![seed.parse().unwrap()])
}
