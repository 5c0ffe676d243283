//! A modest load of valid callbacks beside each flood: every one of them has to get through.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::sleep;

use super::crowd::Attempts;
use super::floods::{FLOODS, Flood};
use super::memory::Memory;
use super::phases::judge_settlement;
use super::stage::Stage;
use super::tally::Tally;
use super::{ACK_LIMIT, Found, MEMORY_LIMIT, MOST_UNDER_WAY, Scale, table};
use crate::relay::Programs;

/// Valid callbacks a second.
const PER_SECOND: f64 = 200.0;
/// A flood has so long to rise.
const RISE: Duration = Duration::from_secs(1);

/// A flood, and what came of the valid callbacks beside it.
#[derive(Debug)]
pub(crate) struct Beside {
    pub(crate) flood: &'static Flood,
    pub(crate) tally: Tally,
    pub(crate) memory: Memory,
    /// What the flood got, each so often.
    pub(crate) got: BTreeMap<String, usize>,
}

pub(crate) async fn run(programs: &Programs, scale: Scale, found: &mut Found) -> Result<(), String> {
    let mut stage = Stage::start(programs).await?;
    found.tell(table::FLOODS.to_owned());
    let before = found.wrong.len();
    for flood in &FLOODS {
        let beside = drive(flood, &stage, scale).await?;
        found.tell(table::flood(&beside));
        judge(&beside, found);
    }
    let settlement = stage.settle().await?;
    found.tell(String::new());
    found.tell(table::settlement(settlement));
    judge_settlement(settlement, found);
    if found.wrong.len() > before {
        found.tell(format!("All of it is in {}.", stage.keep().display()));
    }
    Ok(())
}

async fn drive(flood: &'static Flood, stage: &Stage, scale: Scale) -> Result<Beside, String> {
    let memory = stage.memory()?;
    let running = flood.start(&stage.sender(""));
    sleep(RISE).await;
    let crowd = stage.crowd(Attempts::ByContract, true, flood.proxy);
    let tally = crowd.open_loop(PER_SECOND, scale.flood, MOST_UNDER_WAY).await;
    let got = running.end().await;
    Ok(Beside { flood, tally, memory: memory.look()?, got })
}

fn judge(beside: &Beside, found: &mut Found) {
    let (name, tally) = (beside.flood.name, &beside.tally);
    let given_up = tally.offered - tally.accepted();
    found.demand(given_up == 0, || format!("{name}: {given_up} valid callbacks were given up"));
    let slow = tally.quantile(0.99);
    found
        .demand(slow < ACK_LIMIT, || format!("{name}: the slowest percent of valid callbacks took {slow:?}"));
    let peak = beside.memory.peak;
    found.demand(peak < MEMORY_LIMIT, || format!("{name}: {peak} MB of memory"));
    found.demand(!beside.got.is_empty(), || format!("{name}: the flood was none"));
}
