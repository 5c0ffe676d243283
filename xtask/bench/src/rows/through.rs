//! How many events a second come through to a receiver and are settled, beside how many only become durable.

use std::time::Duration;

use super::ingest::{CLIENTS, ROUNDS};
use super::{Measured, median};
use crate::Bench;
use crate::clock::Instant;
use crate::load::{Until, closed_loop};
use crate::process::Process;
use crate::relay::{Relay, get, nobody};

const EVENTS: u64 = 30_000;
const LIMIT: Duration = Duration::from_secs(60);

pub(super) fn measure(bench: &mut Bench) -> Result<Measured, String> {
    let (_receiver, sink) = Process::start_server("receiver", &[])?;
    let through = Relay::start(bench, "through", sink)?;
    let alone = Relay::start(bench, "alone", nobody()?)?;
    let (mut through_rates, mut alone_rates, mut settled) = (Vec::new(), Vec::new(), 0);
    for round in 0..=ROUNDS {
        let alone = closed_loop(alone.http, CLIENTS, Until::Sent(EVENTS))?.per_second();
        let begun = Instant::now();
        closed_loop(through.http, CLIENTS, Until::Sent(EVENTS))?;
        settled += EVENTS;
        through.until_settled(settled, LIMIT)?;
        // The first round only warms up.
        if round > 0 {
            alone_rates.push(alone);
            through_rates.push(EVENTS as f64 / begun.elapsed().as_secs_f64());
        }
    }
    let received = get(sink, "/")?;
    if received != settled.to_string() {
        return Err(format!("the receiver got {received} deliveries of {settled} events"));
    }
    let (through, alone) = (median(through_rates), median(alone_rates));
    Ok(Measured { figure: through / alone, raw: format!("{through:.0} over {alone:.0} events/s") })
}
