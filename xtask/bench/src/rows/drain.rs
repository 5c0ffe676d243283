//! How many messages a second come out of a queue and become durable, beside how many callbacks do, and what that
//! costs in requests.

use std::time::Duration;

use super::ingest::{CLIENTS, ROUNDS};
use super::{Measured, median};
use crate::Bench;
use crate::clock::Instant;
use crate::consumer::{self, Consumer};
use crate::emulator::{ACCESS_KEY_ID, ACCESS_KEY_SECRET, Emulator, QUEUE};
use crate::load::{Until, closed_loop};
use crate::relay::{Relay, nobody};

const EVENTS: u64 = 30_000;
/// The provider's clients take one batch after the other, and would need minutes for more.
const FEWER: u64 = 4_000;
const LIMIT: Duration = Duration::from_secs(60);

/// What draining came to.
#[derive(Clone, Debug)]
pub(crate) struct Drained {
    /// Messages a second that the relay drained.
    drained: f64,
    /// Callbacks a second that it took, with the same work to do.
    ingested: f64,
    /// Microseconds of its processor's time for each message and for each callback.
    micros: (f64, f64),
    /// What others drained.
    others: String,
    /// Requests, and messages deleted by them, in the relay's whole life.
    requests: u64,
    messages: u64,
}

pub(super) fn measure(bench: &mut Bench) -> Result<Measured, String> {
    let Drained { drained, ingested, micros, others, .. } = bench.drained()?;
    let (message, callback) = micros;
    let raw = format!(
        "{drained:.0} over {ingested:.0} events/s, {message:.0} over {callback:.0} µs of CPU for each; clients that keep nothing, on the same service: {others}"
    );
    Ok(Measured { figure: drained / ingested, raw })
}

pub(super) fn requests(bench: &mut Bench) -> Result<Measured, String> {
    let Drained { requests, messages, .. } = bench.drained()?;
    let raw = format!("{requests} requests for {messages} messages; 0.125 is the least there can be");
    Ok(Measured { figure: requests as f64 / messages as f64, raw })
}

impl Bench {
    /// Drains when it is first asked for.
    fn drained(&mut self) -> Result<Drained, String> {
        if let Some(drained) = &self.drained {
            return Ok(drained.clone());
        }
        let drained = drain(self)?;
        self.drained = Some(drained.clone());
        Ok(drained)
    }
}

/// The sink is down, so that a message is stored with its pending delivery, as a callback is, and nothing is delivered.
fn drain(bench: &Bench) -> Result<Drained, String> {
    let (ours, theirs) = (Emulator::start()?, Emulator::start()?);
    let relay = Relay::start_with(bench, "drain", nobody()?, &queue_table(&ours))?;
    let mut others: Vec<(Consumer, Vec<f64>)> =
        consumer::all()?.into_iter().map(|consumer| (consumer, Vec::new())).collect();
    let (mut drained, mut ingested, mut deleted) = (Rates::default(), Rates::default(), 0);
    for round in 0..=ROUNDS {
        let callbacks = side(&relay, || Ok(closed_loop(relay.http, CLIENTS, Until::Sent(EVENTS))?.took))?;
        ours.fill(EVENTS)?;
        deleted += EVENTS;
        let messages = side(&relay, || {
            let begun = Instant::now();
            ours.release()?;
            ours.until_deleted(deleted, LIMIT)?;
            Ok(begun.elapsed())
        })?;
        // The first round only warms up.
        if round == 0 {
            continue;
        }
        ingested.push(callbacks);
        drained.push(messages);
        for (other, rates) in others.iter_mut().filter(|(other, _)| other.is_there()) {
            rates.push(other.rate(&theirs, FEWER)?);
        }
    }
    let pending = relay.metric("vodrelay_sink_pending")?;
    if pending != (2 * deleted) as f64 {
        return Err(format!("{pending} events are pending, where {deleted} came over each way"));
    }
    let ledger = ours.ledger()?;
    let messages = ledger.deleted();
    let requests = ledger.requests_per_message().unwrap_or_default() * messages as f64;
    Ok(Drained {
        micros: (median(drained.micros), median(ingested.micros)),
        drained: median(drained.per_second),
        ingested: median(ingested.per_second),
        others: others.into_iter().map(told).collect::<Vec<_>>().join(", "),
        requests: requests.round() as u64,
        messages,
    })
}

/// One side of a round: events a second, and microseconds of the relay's processor's time for each.
fn side(relay: &Relay, work: impl FnOnce() -> Result<Duration, String>) -> Result<(f64, f64), String> {
    let before = relay.process.cpu()?;
    let took = work()?;
    let cpu = relay.process.cpu()? - before;
    Ok((EVENTS as f64 / took.as_secs_f64(), cpu.as_secs_f64() * 1e6 / EVENTS as f64))
}

/// One side of all rounds.
#[derive(Default)]
struct Rates {
    per_second: Vec<f64>,
    micros: Vec<f64>,
}

impl Rates {
    fn push(&mut self, (per_second, micros): (f64, f64)) {
        self.per_second.push(per_second);
        self.micros.push(micros);
    }
}

/// The figure of one of the others, or that there is none.
fn told((consumer, rates): (Consumer, Vec<f64>)) -> String {
    if rates.is_empty() {
        return format!("{} NOT measured, since it is not installed (`.ci/run` does)", consumer.name);
    }
    format!("{} {:.0}/s", consumer.name, median(rates))
}

fn queue_table(emulator: &Emulator) -> String {
    let endpoint = emulator.endpoint();
    format!(
        r#"[mns.queues.main]
endpoint = "{endpoint}"
queue = "{QUEUE}"
credentials = {{ kind = "static", access_key_id = "{ACCESS_KEY_ID}", access_key_secret = "{ACCESS_KEY_SECRET}" }}
"#
    )
}
