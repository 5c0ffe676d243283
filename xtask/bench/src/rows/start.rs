//! How long it takes from the start of the process to the first 200, with a million events pending.

use std::process::Command;

use super::{Measured, median};
use crate::clock::Instant;
use crate::million::EVENTS;
use crate::relay::{Relay, nobody};
use crate::{Bench, callback, load};

const ROUNDS: usize = 5;

/// Each start but the first follows a kill -9, and the sink is down.
pub(super) fn measure(bench: &mut Bench) -> Result<Measured, String> {
    let (folder, sink) = (bench.million()?, nobody()?);
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let mut request = callback::request();
        let begun = Instant::now();
        let relay = Relay::launch(Command::new(&bench.vodrelay), &folder, sink)?;
        let mut stream = relay.connect()?;
        load::exchange(&mut stream, request.with(load::next_number()))?;
        times.push(begun.elapsed().as_secs_f64());
        let pending = relay.metric("vodrelay_sink_pending")?;
        if pending < EVENTS as f64 {
            return Err(format!("only {pending} events are pending"));
        }
    }
    let slowest = times.iter().copied().fold(0.0, f64::max);
    let figure = median(times);
    Ok(Measured { figure, raw: format!("{:.0} ms, at most {:.0} ms", figure * 1e3, slowest * 1e3) })
}
