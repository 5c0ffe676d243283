//! What lies on the disk: the binary, and a delivered event.

use std::fs;
use std::time::Duration;

use super::ingest::CLIENTS;
use super::{Measured, megabytes};
use crate::load::{Until, closed_loop};
use crate::process::Process;
use crate::relay::{DATA, Relay};
use crate::{Bench, callback};

const EVENTS: u64 = 30_000;

pub(super) fn binary(bench: &mut Bench) -> Result<Measured, String> {
    let bytes = fs::metadata(&bench.vodrelay).map_err(|error| error.to_string())?.len();
    Ok(Measured { figure: megabytes(bytes), raw: format!("{bytes} bytes") })
}

/// The whole journal after a clean stop, shared among its events, all of them delivered.
pub(super) fn delivered(bench: &mut Bench) -> Result<Measured, String> {
    let (_receiver, sink) = Process::start_server("receiver", &[])?;
    let relay = Relay::start(bench, "disk", sink)?;
    closed_loop(relay.http, CLIENTS, Until::Sent(EVENTS))?;
    relay.until_settled(EVENTS, Duration::from_secs(60))?;
    let Relay { process, folder, .. } = relay;
    process.stop()?;
    let files = || {
        let sizes = fs::read_dir(folder.join(DATA))?.map(|entry| Ok(entry?.metadata()?.len()));
        sizes.sum::<std::io::Result<u64>>()
    };
    let bytes = files().map_err(|error| format!("cannot look at the journal: {error}"))?;
    let (each, body) = (bytes / EVENTS, callback::body().with(1).len() as u64);
    Ok(Measured { figure: bytes as f64 / (EVENTS * body) as f64, raw: format!("{each} over {body} bytes") })
}
