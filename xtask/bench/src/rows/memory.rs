//! How much memory the relay's process holds.

use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use super::ingest::CLIENTS;
use super::{Measured, megabytes};
use crate::Bench;
use crate::load::{Until, closed_loop};
use crate::process::Process;
use crate::relay::{Relay, nobody};

/// After a few callbacks, delivered.
pub(super) fn idle(bench: &mut Bench) -> Result<Measured, String> {
    let (_receiver, sink) = Process::start_server("receiver", &[])?;
    let relay = Relay::start(bench, "idle", sink)?;
    closed_loop(relay.http, 1, Until::Sent(10))?;
    relay.until_settled(10, Duration::from_secs(10))?;
    sleep(Duration::from_secs(1));
    let memory = relay.process.memory()?;
    let (figure, peak) = (megabytes(memory.resident), megabytes(memory.peak));
    Ok(Measured { figure, raw: format!("resident; {peak:.1} MB at most since the start") })
}

/// The most that was resident at any time, with a load upon the million.
pub(super) fn waiting(bench: &mut Bench) -> Result<Measured, String> {
    let folder = bench.million()?;
    let relay = Relay::launch(Command::new(&bench.vodrelay), &folder, nobody()?)?;
    relay.until_ready()?;
    closed_loop(relay.http, 1, Until::Sent(10))?;
    let calm = megabytes(relay.process.memory()?.resident);
    closed_loop(relay.http, CLIENTS, Until::Elapsed(Duration::from_secs(2)))?;
    let figure = megabytes(relay.process.memory()?.peak);
    Ok(Measured {
        figure,
        raw: format!("the most, under a load of {CLIENTS} clients; {calm:.1} MB before it"),
    })
}
