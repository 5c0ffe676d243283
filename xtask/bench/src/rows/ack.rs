//! How long a callback waits for its 200 at a moderate pace, beside a raw append and fdatasync at the same pace.

use std::time::Duration;

use super::{Measured, median, quantile};
use crate::Bench;
use crate::load::{Until, closed_loop, open_loop, raw_syncs};
use crate::process::Process;
use crate::relay::Relay;

const PER_SECOND: u64 = 1_000;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(3);

/// The sink is up, so settlements share the writer with what is accepted, as they do in a working relay.
pub(super) fn measure(bench: &mut Bench) -> Result<Measured, String> {
    let (_receiver, sink) = Process::start_server("receiver", &[])?;
    let relay = Relay::start(bench, "ack", sink)?;
    closed_loop(relay.http, 1, Until::Sent(500))?;
    let (mut raw_p99, mut p99, mut p50) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        raw_p99.push(quantile(raw_syncs(&bench.folder, PER_SECOND, ROUND)?, 0.99));
        let latencies = open_loop(relay.http, PER_SECOND, ROUND)?;
        p50.push(quantile(latencies.clone(), 0.5));
        p99.push(quantile(latencies, 0.99));
    }
    let (raw_p99, p99, p50) = (median(raw_p99), median(p99), median(p50));
    let raw = format!("p99 {p99:.2} over {raw_p99:.2} ms; p50 {p50:.2} ms");
    Ok(Measured { figure: p99 / raw_p99, raw })
}
