//! More load than the machine can take, and floods beside a modest load: what is accepted is accepted in time, valid
//! callbacks get through, memory has a bound, and when it is over all is as before.
//!
//! Reading order: `phases` drives one relay before, during and after an overload, `beside` drives another one with a
//! modest load beside each of the `floods`; `stage` is the relay and its service, `crowd` who sends, `tally` what came
//! of it, `memory` what it cost, `table` how it is told.

mod beside;
mod books;
mod crowd;
mod floods;
mod memory;
mod phases;
mod stage;
mod table;
mod tally;

use std::path::Path;
use std::time::Duration;

use crate::relay::Programs;

/// As it is named beside the rows.
pub(crate) const NAME: &str = "overload";

/// The longest that an accepted callback may have waited; the provider waits for five seconds.
const ACK_LIMIT: Duration = Duration::from_secs(3);
/// What the relay's bounds add up to, in MB: 4,096 connections with a head of 64 KiB at most and about 16 KiB beside
/// it (336), 64 MiB of bodies (67), 16 MiB of refused ones in hand (17) and 8 MiB that wait to be kept (8), and the
/// relay itself with its page caches (32).
const MEMORY_LIMIT: u64 = 460;

/// How long it goes on, and how strictly it is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    /// Of each phase.
    phase: Duration,
    /// Of each flood.
    flood: Duration,
    /// Whether a sender finds room to offer what is asked of it, and times mean something: not in a debug build.
    is_strict: bool,
}

/// Twice what the relay has places for, less a little, since as many more wait in the kernel's queue. Whoever comes when
/// that is full too has no answer to its SYN, and asks again after one second and after three: that would measure the
/// kernel.
const MOST_UNDER_WAY: usize = 8_000;

/// What was seen.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) lines: Vec<String>,
    /// What is not as promised.
    pub(crate) wrong: Vec<String>,
}

impl Scale {
    pub(crate) fn new(is_long: bool) -> Self {
        let [phase, flood] = if is_long { [30, 15] } else { [3, 3] };
        Self { phase: Duration::from_secs(phase), flood: Duration::from_secs(flood), is_strict: is_long }
    }

    /// How many requests are under way at most, each over a connection of its own: so many that a relay which takes twice
    /// as many a second is half a second behind, where it is no released one.
    fn most_under_way(self, capacity: f64) -> usize {
        if self.is_strict { MOST_UNDER_WAY } else { MOST_UNDER_WAY.min(capacity as usize / 2) }
    }
}

/// Runs all of it, and tells each line as soon as it is there.
pub(crate) async fn run(programs: &Programs, scale: Scale) -> Result<Found, String> {
    let mut found = Found::default();
    phases::run(programs, scale, &mut found).await?;
    found.tell(String::new());
    beside::run(programs, scale, &mut found).await?;
    Ok(found)
}

impl Found {
    fn tell(&mut self, line: String) {
        println!("{line}");
        self.lines.push(line);
    }

    /// Something is to be so, or it is wrong.
    fn demand(&mut self, is_so: bool, otherwise: impl FnOnce() -> String) {
        if !is_so {
            let otherwise = otherwise();
            println!("    WRONG: {otherwise}");
            self.wrong.push(otherwise);
        }
    }
}

/// Puts what was seen into the document.
pub(crate) fn write(document: &Path, measured: &str, found: &Found) -> Result<(), String> {
    table::write(document, measured, &found.lines)
}
