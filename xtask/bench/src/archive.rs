//! Images through a relay that archives them, and a plain copy of the same ones beside it.

mod kept;

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::ops::Range;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{scope, sleep};
use std::time::Duration;

use vodrelay_core::testing::Picture;

use crate::clock::Instant;
use crate::process::Process;
use crate::relay::Relay;
use crate::store::{KEY, REGION, SECRET};
use crate::{Bench, callback, load};

/// How many pass, in all rounds.
pub(crate) const IMAGES: usize = ROUNDS * IN_A_ROUND;
const ROUNDS: usize = 5;
const IN_A_ROUND: usize = 400;
/// Images under way at the same time, on both sides.
pub(crate) const AT_A_TIME: usize = 4;
/// Connections that callbacks come over.
const SENDERS: usize = 8;
/// No round takes longer.
const LIMIT: Duration = Duration::from_secs(300);

/// The bucket of the relay, and that of the copy.
const ARCHIVE: &str = "archive";
pub(crate) const COPIES: &str = "copies";

/// What came of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Archived {
    /// Bytes a second through the relay, round by round.
    pub(crate) relayed: Vec<f64>,
    /// Bytes a second by the plain copy.
    pub(crate) copied: Vec<f64>,
    /// Of all images together.
    pub(crate) bytes: usize,
    /// The processor's time of the relay in all rounds.
    pub(crate) cpu: Duration,
    /// What was resident before the first callback, in bytes.
    pub(crate) idle: u64,
    /// The most that was ever resident, in bytes.
    pub(crate) peak: u64,
}

impl Bench {
    /// Has all images archived when it is first asked for, and checks every one.
    pub(crate) fn archived(&mut self) -> Result<Archived, String> {
        if let Some(archived) = &self.archived {
            return Ok(archived.clone());
        }
        let archived = run(self)?;
        self.archived = Some(archived.clone());
        Ok(archived)
    }
}

/// The two sides take turns. What either has written is on the disk before the other begins.
fn run(bench: &Bench) -> Result<Archived, String> {
    let failed = |error: std::io::Error| format!("cannot prepare a store: {error}");
    let store_folder = bench.folder.join("store");
    let (archive, copies) = (store_folder.join(ARCHIVE), store_folder.join(COPIES));
    std::fs::create_dir_all(&archive).map_err(failed)?;
    let (_cdn, cdn) = Process::start_server("cdn", &[])?;
    let (_store, store) = Process::start_server("store", &[store_folder.as_os_str()])?;
    let folder = bench.folder.join("images");
    let relay = Relay::launch_with(Command::new(&bench.vodrelay), &folder, &sink(cdn, store))?;
    relay.until_ready()?;
    sleep(Duration::from_secs(1));

    let mut archived = Archived { idle: relay.process.memory()?.resident, ..Archived::default() };
    for round in 0..ROUNDS {
        let numbers = round * IN_A_ROUND..(round + 1) * IN_A_ROUND;
        let bytes: usize = numbers.clone().map(|number| Picture::new(number).size).sum();
        let per_second = |took: Duration| bytes as f64 / took.as_secs_f64();
        std::fs::create_dir(&copies).map_err(failed)?;
        archived.copied.push(per_second(copy(cdn, store, &numbers)?));
        std::fs::remove_dir_all(&copies).map_err(failed)?;
        write_out()?;
        let before = relay.process.cpu()?;
        archived.relayed.push(per_second(pass(&relay, cdn, &numbers)?));
        archived.cpu += relay.process.cpu()? - before;
        write_out()?;
        archived.bytes += bytes;
    }
    archived.peak = relay.process.memory()?.peak;
    kept::check(&archive, IMAGES)?;
    relay.process.stop()?;
    std::fs::remove_dir_all(&store_folder).map_err(failed)?;
    Ok(archived)
}

/// How long the plain copy took, from the start of its process to its end.
fn copy(cdn: SocketAddr, store: SocketAddr, numbers: &Range<usize>) -> Result<Duration, String> {
    let words =
        ["copy", &cdn.to_string(), &store.to_string(), &numbers.start.to_string(), &numbers.end.to_string()];
    let begun = Instant::now();
    Process::start_this(&words.map(OsStr::new))?.finish(LIMIT)?;
    Ok(begun.elapsed())
}

/// How long the relay took, from the first callback to the last settled delivery.
fn pass(relay: &Relay, cdn: SocketAddr, numbers: &Range<usize>) -> Result<Duration, String> {
    let (next, begun) = (AtomicUsize::new(numbers.start), Instant::now());
    let send = || {
        let mut stream = load::connect(relay.http)?;
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= numbers.end {
                return Ok::<_, String>(());
            }
            let event = Picture::new(number).event(cdn);
            let request = callback::request_with(&String::from_utf8_lossy(&event));
            load::exchange(&mut stream, request.as_bytes())?;
        }
    };
    scope(|scope| {
        let senders: Vec<_> = (0..SENDERS).map(|_| scope.spawn(send)).collect();
        let ends =
            senders.into_iter().map(|sender| sender.join().map_err(|_| "a sender panicked".to_owned())?);
        ends.collect::<Result<(), String>>()
    })?;
    relay.until_settled(numbers.end as u64, LIMIT)?;
    Ok(begun.elapsed())
}

/// Waits until everything that was written is on the disk, so that nobody pays for another's bytes.
fn write_out() -> Result<(), String> {
    let status = Command::new("sync").status().map_err(|error| format!("cannot run sync: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("sync ended with {status}")) }
}

fn sink(cdn: SocketAddr, store: SocketAddr) -> String {
    format!(
        r#"[sinks.archive]
kind = "archive"
concurrency = {AT_A_TIME}
[sinks.archive.options]
url = "s3://{ARCHIVE}"
endpoint = "http://{store}"
path_style = true
region = "{REGION}"
access_key_id = "{KEY}"
secret_access_key = "{SECRET}"
[[sinks.archive.options.image_hosts]]
name = "{cdn}"
allow_addresses = ["127.0.0.1"]
"#
    )
}
