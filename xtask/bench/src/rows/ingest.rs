//! How many callbacks a second become durable, beside how many are only checked and read.

use std::time::Duration;

use super::{Measured, median};
use crate::Bench;
use crate::load::{Until, closed_loop};
use crate::process::Process;
use crate::relay::{Relay, nobody};

pub(super) const CLIENTS: usize = 256;
pub(super) const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_millis(2_500);
const WARM_UP: Duration = Duration::from_millis(500);

/// The sink is down, so each event is stored with its pending delivery and nothing is delivered.
pub(super) fn measure(bench: &mut Bench) -> Result<Measured, String> {
    let (_baseline, bare) = Process::start_server("baseline", &[])?;
    let relay = Relay::start(bench, "ingest", nobody()?)?;
    for to in [bare, relay.http] {
        closed_loop(to, CLIENTS, Until::Elapsed(WARM_UP))?;
    }
    let (mut bare_rates, mut durable_rates) = (Vec::new(), Vec::new());
    let commits = || relay.metric("vodrelay_journal_fsync_duration_seconds_count");
    let (before, cpu, mut events) = (commits()?, relay.process.cpu()?, 0);
    for _ in 0..ROUNDS {
        bare_rates.push(closed_loop(bare, CLIENTS, Until::Elapsed(ROUND))?.per_second());
        let durable = closed_loop(relay.http, CLIENTS, Until::Elapsed(ROUND))?;
        durable_rates.push(durable.per_second());
        events += durable.events;
    }
    let micros = (relay.process.cpu()? - cpu).as_secs_f64() * 1e6 / events as f64;
    let for_each_commit = events as f64 / (commits()? - before);
    let (bare, durable) = (median(bare_rates), median(durable_rates));
    let raw = format!(
        "{durable:.0} over {bare:.0} events/s; {for_each_commit:.0} events to a commit, {micros:.0} µs of CPU for each"
    );
    Ok(Measured { figure: durable / bare, raw })
}
