//! One relay before, during and after more load than the machine can take.

use std::time::Duration;

use super::crowd::Attempts;
use super::memory::Memory;
use super::stage::{Settlement, Stage};
use super::tally::Tally;
use super::{ACK_LIMIT, Found, MEMORY_LIMIT, Scale, table};
use crate::relay::Programs;

/// How many clients are to keep it busy while its capacity is measured.
const CLIENTS: usize = 256;
/// The part of the capacity that it is offered before and after …
const MODEST: f64 = 0.3;
/// … and during the overload: the senders share the machine with it, and may not find the time for all of that.
const TOO_MUCH: f64 = 2.5;
/// It is an overload if so much is offered, or if the senders had all under way that they may: what the relay has
/// places for and nearly all of the kernel's queue beside them.
const OVERLOAD: f64 = 2.0;
/// The part of what is offered that has to be accepted when the load has fallen.
const RETURNS: f64 = 0.95;
/// By how much slower it may be after than before; what is below a hundredth of a second is not looked at.
const SLOWER: u32 = 10;
const FAST: Duration = Duration::from_millis(10);

/// A phase, and what came of it.
#[derive(Debug)]
pub(crate) struct Phase {
    pub(crate) name: &'static str,
    pub(crate) tally: Tally,
    pub(crate) memory: Memory,
}

pub(crate) async fn run(programs: &Programs, scale: Scale, found: &mut Found) -> Result<(), String> {
    let mut stage = Stage::start(programs).await?;
    let settlement = drive(&mut stage, scale, found).await;
    if settlement.is_err() || !found.wrong.is_empty() {
        found.tell(format!("All of it is in {}.", stage.keep().display()));
    }
    settlement
}

async fn drive(stage: &mut Stage, scale: Scale, found: &mut Found) -> Result<(), String> {
    let crowd = stage.crowd(Attempts::One, false, "");
    let measured = crowd.closed_loop(CLIENTS, scale.phase / 3).await;
    let capacity = measured.per_second(measured.accepted());
    found.tell(table::capacity(capacity, CLIENTS));
    found.tell(table::PHASES.to_owned());
    let mut phases = Vec::new();
    for (name, part) in [("before", MODEST), ("during", TOO_MUCH), ("after", MODEST)] {
        let memory = stage.memory()?;
        let tally = crowd.open_loop(capacity * part, scale.phase, scale.most_under_way(capacity)).await;
        let phase = Phase { name, tally, memory: memory.look()? };
        found.tell(table::phase(&phase, capacity));
        phases.push(phase);
    }
    phases.iter().for_each(|phase| judge(phase, found));
    if let [before, during, after] = &phases[..] {
        judge_overload(during, capacity, scale, found);
        judge_return(before, after, scale, found);
    }
    let settlement = stage.settle().await?;
    found.tell(String::new());
    found.tell(table::settlement(settlement));
    judge_settlement(settlement, found);
    Ok(())
}

fn judge(phase: &Phase, found: &mut Found) {
    let (name, slowest) = (phase.name, phase.tally.quantile(1.0));
    found.demand(slowest < ACK_LIMIT, || format!("{name}: an accepted callback took {slowest:?}"));
    let peak = phase.memory.peak;
    found.demand(peak < MEMORY_LIMIT, || format!("{name}: {peak} MB of memory"));
}

fn judge_overload(during: &Phase, capacity: f64, scale: Scale, found: &mut Found) {
    let offered = during.tally.per_second(during.tally.offered);
    let is_crowd = during.tally.most_under_way >= scale.most_under_way(capacity);
    let is_much = !scale.is_strict || offered > OVERLOAD * capacity || is_crowd;
    found.demand(is_much, || format!("only {offered:.0} were offered a second: no overload"));
    let silence = during.tally.longest_silence();
    found.demand(silence < Duration::from_secs(1), || format!("nothing was accepted for {silence:?}"));
}

fn judge_return(before: &Phase, after: &Phase, scale: Scale, found: &mut Found) {
    let (offered, accepted) = (after.tally.offered, after.tally.accepted());
    found.demand(accepted as f64 >= RETURNS * offered as f64, || {
        format!("after the overload only {accepted} of {offered} were accepted")
    });
    let (was, is) = (before.tally.quantile(0.99), after.tally.quantile(0.99));
    found.demand(!scale.is_strict || is <= was.max(FAST) * SLOWER, || {
        format!("the slowest percent took {is:?} after the overload, and {was:?} before")
    });
}

/// Nothing that was acknowledged may be missing, and nothing be delivered that nobody sent.
pub(crate) fn judge_settlement(settlement: Settlement, found: &mut Found) {
    found.demand(settlement.missing == 0, || {
        format!("{} acknowledged events are missing", settlement.missing)
    });
    found.demand(settlement.altered == 0, || format!("{} bodies that nobody sent", settlement.altered));
}
