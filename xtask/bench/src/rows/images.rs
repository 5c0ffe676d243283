//! Images from callback to store: how fast, beside a plain copy, and with how much memory.

use super::{Measured, median, megabytes};
use crate::Bench;

/// Bytes a second, beside the plain copy's.
pub(super) fn speed(bench: &mut Bench) -> Result<Measured, String> {
    let archived = bench.archived()?;
    let cpu = archived.cpu.as_secs_f64() * 1e3 / megabytes(archived.bytes as u64);
    let (relayed, copied) = (median(archived.relayed) / 1e6, median(archived.copied) / 1e6);
    let raw = format!("{relayed:.0} over {copied:.0} MB/s; {cpu:.2} ms of CPU for each MB");
    Ok(Measured { figure: relayed / copied, raw })
}

/// The most that was resident at any time, over what was before the first callback.
pub(super) fn memory(bench: &mut Bench) -> Result<Measured, String> {
    let archived = bench.archived()?;
    let (idle, peak) = (megabytes(archived.idle), megabytes(archived.peak));
    Ok(Measured { figure: peak - idle, raw: format!("{peak:.1} MB at most, {idle:.1} MB when idle") })
}
