//! The rows of the report: what strikes, how often in the short plan and in the long one.

use crate::account::Account;
use crate::faults::Fault;
use crate::images;
use crate::queue;
use crate::relay::Programs;
use crate::rig::Rig;

/// One kind of fault, struck again and again in the middle of a load.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) strikes: Strikes,
    pub(crate) short: usize,
    pub(crate) long: usize,
}

/// What is struck.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Strikes {
    /// A relay that takes callbacks, by this.
    Callbacks(Fault),
    /// One that drains a queue, by kill -9 and everything that a queue does to its clients.
    Queue,
    /// One that fetches images and keeps them in a store, by kill -9.
    Images,
}

pub(crate) const ROWS: [Row; 17] = [
    row("kill", "kill -9", Fault::Kill, [10, 1_000]),
    row("restart", "SIGTERM, and the next process", Fault::Restart, [10, 1_000]),
    row("one-of-two", "one of two relays, kill -9 or SIGTERM", Fault::OneOfTwo, [4, 100]),
    row("power-cut", "power cut", Fault::PowerCut, [10, 300]),
    row("sync-error", "a sync fails", Fault::SyncError, [4, 100]),
    row("no-room", "no room to write", Fault::NoRoom, [3, 60]),
    row("little-room", "less room than `min_free`", Fault::LittleRoom, [1, 10]),
    row("read-only", "read-only file system", Fault::ReadOnly, [2, 30]),
    row("no-memory", "an allocation fails", Fault::NoMemory, [2, 40]),
    row("no-descriptors", "no descriptors left", Fault::NoDescriptors, [2, 40]),
    row("clock-drifts", "clock off by up to 200 s", Fault::ClockDrifts, [3, 100]),
    row("clock-jumps", "clock jumps by up to 55 h", Fault::ClockJumps, [2, 40]),
    row("no-names", "no name is found", Fault::NoNames, [2, 40]),
    row("sink", "a service gone, down, hanging, slow, late, busy", Fault::SinkMisbehaves, [6, 60]),
    row("any", "ten of these, as the dice fall", Fault::Any, [6, 150]),
    Row {
        name: "queue",
        what: "kill -9 while a queue with faults is drained",
        strikes: Strikes::Queue,
        short: 3,
        long: 100,
    },
    Row {
        name: "images",
        what: "kill -9 while images are archived",
        strikes: Strikes::Images,
        short: 3,
        long: 40,
    },
];

const fn row(name: &'static str, what: &'static str, fault: Fault, [short, long]: [usize; 2]) -> Row {
    Row { name, what, strikes: Strikes::Callbacks(fault), short, long }
}

impl Row {
    /// Strikes so many times, and settles the account. What a row that fails leaves behind is kept.
    pub(crate) async fn run(&self, programs: &Programs, times: usize, seed: u64) -> Result<Account, String> {
        let fault = match self.strikes {
            Strikes::Callbacks(fault) => fault,
            Strikes::Queue => return queue::run(programs, times, seed).await,
            Strikes::Images => return images::run(programs, times, seed).await,
        };
        let mut rig = Rig::start(programs, seed, fault).await?;
        let account = strike(&mut rig, fault, times).await;
        if account.as_ref().is_ok_and(Account::is_well) {
            return account;
        }
        let kept = rig.keep();
        let mut account = account.map_err(|error| format!("{error}\nall of it is in {}", kept.display()))?;
        account.wrong.push(format!("all of it is in {}", kept.display()));
        Ok(account)
    }
}

async fn strike(rig: &mut Rig, fault: Fault, times: usize) -> Result<Account, String> {
    let mut in_flight = Vec::with_capacity(times);
    for turn in 0..times {
        let struck = fault.strike(rig, turn).await;
        in_flight.push(struck.map_err(|error| format!("fault number {}: {error}", turn + 1))?);
    }
    // The last one is over when something is accepted again.
    rig.load.until_accepted(1).await?;
    rig.finish(fault, in_flight).await
}
