//! How much memory a process has resident, now and at most.

use std::fs;

use rustix::process::Pid;

/// The peak of a process, from a moment on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peak(Pid);

/// In MB.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    pub(crate) peak: u64,
    pub(crate) at_the_end: u64,
}

impl Peak {
    /// From now on.
    pub(crate) fn of(process: Pid) -> Result<Self, String> {
        const PEAK: &str = "5";
        let path = format!("/proc/{}/clear_refs", process.as_raw_nonzero());
        fs::write(&path, PEAK).map_err(|error| format!("cannot write {path}: {error}"))?;
        Ok(Self(process))
    }

    pub(crate) fn look(self) -> Result<Memory, String> {
        let path = format!("/proc/{}/status", self.0.as_raw_nonzero());
        let text = fs::read_to_string(&path).map_err(|error| format!("cannot read {path}: {error}"))?;
        let field = |name: &str| megabytes(&text, name).ok_or_else(|| format!("{path} has no {name}"));
        Ok(Memory { peak: field("VmHWM:")?, at_the_end: field("VmRSS:")? })
    }
}

fn megabytes(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some((kibibytes << 10).div_ceil(1_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_read_in_megabytes() {
        let status = "Name:\tvodrelay\nVmHWM:\t   20000 kB\nVmRSS:\t   10000 kB\n";
        assert_eq!(megabytes(status, "VmHWM:"), Some(21));
        assert_eq!(megabytes(status, "VmSwap:"), None);
    }
}
