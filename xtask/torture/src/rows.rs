//! The rows of the report: which fault, how often in the short plan and in the long one.

use crate::faults::Fault;
use crate::relay::Programs;
use crate::rig::{Account, Rig};

/// One kind of fault, struck again and again in the middle of a load.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) fault: Fault,
    pub(crate) short: usize,
    pub(crate) long: usize,
}

pub(crate) const ROWS: [Row; 14] = [
    row("kill", "kill -9", Fault::Kill, [10, 1_000]),
    row("restart", "SIGTERM, and the next process", Fault::Restart, [10, 1_000]),
    row("power-cut", "power cut", Fault::PowerCut, [10, 300]),
    row("sync-error", "a sync fails", Fault::SyncError, [4, 100]),
    row("no-room", "no room to write", Fault::NoRoom, [3, 60]),
    row("little-room", "less room than `min_free`", Fault::LittleRoom, [1, 20]),
    row("read-only", "read-only file system", Fault::ReadOnly, [2, 40]),
    row("no-memory", "an allocation fails", Fault::NoMemory, [2, 40]),
    row("no-descriptors", "no descriptors left", Fault::NoDescriptors, [2, 60]),
    row("clock-drifts", "clock off by up to 200 s", Fault::ClockDrifts, [3, 100]),
    row("clock-jumps", "clock jumps by up to 55 h", Fault::ClockJumps, [2, 40]),
    row("no-names", "no name is found", Fault::NoNames, [2, 60]),
    row("sink", "a service gone, down, hanging, slow, late, busy", Fault::SinkMisbehaves, [6, 120]),
    row("any", "ten of these, as the dice fall", Fault::Any, [6, 300]),
];

const fn row(name: &'static str, what: &'static str, fault: Fault, [short, long]: [usize; 2]) -> Row {
    Row { name, what, fault, short, long }
}

/// Strikes so many times, and settles the account. What a row that fails leaves behind is kept.
pub(crate) async fn run(row: &Row, programs: &Programs, times: usize, seed: u64) -> Result<Account, String> {
    let mut rig = Rig::start(programs, seed, row.fault).await?;
    let account = strike(row, &mut rig, times).await;
    if account.as_ref().is_ok_and(Account::is_well) {
        return account;
    }
    let kept = rig.keep();
    let mut account = account.map_err(|error| format!("{error}\nall of it is in {}", kept.display()))?;
    account.wrong.push(format!("all of it is in {}", kept.display()));
    Ok(account)
}

async fn strike(row: &Row, rig: &mut Rig, times: usize) -> Result<Account, String> {
    let mut in_flight = Vec::with_capacity(times);
    for turn in 0..times {
        let struck = row.fault.strike(rig, turn).await;
        in_flight.push(struck.map_err(|error| format!("fault number {}: {error}", turn + 1))?);
    }
    // The last one is over when something is accepted again.
    rig.load.until_accepted(1).await?;
    rig.finish(row.fault, times, in_flight).await
}
