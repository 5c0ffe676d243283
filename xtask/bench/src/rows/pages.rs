//! How long people wait for a page of events where there are a million, and what ingest notices of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use super::{Measured, median, quantile};
use crate::Bench;
use crate::clock::Instant;
use crate::load::{Until, closed_loop, open_loop};
use crate::relay::{Relay, get, nobody};

const ASKED: usize = 41;
const PER_SECOND: u64 = 1_000;
const ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_secs(3);
const FIRST: &str = "/api/v1/events";
/// What no event is, so that all of them are looked at.
const NONE: &str = "/api/v1/events?video=none";
/// What every event is: a page is full at once.
const MOST: &str = "/api/v1/events?type=DynamicImageComplete&status=success&state=pending";

/// The sink is down, so a million deliveries wait, too.
pub(super) fn measure(bench: &mut Bench) -> Result<Measured, String> {
    let folder = bench.million()?;
    let million = Relay::launch(std::process::Command::new(&bench.vodrelay), &folder, nobody()?)?;
    million.until_ready()?;
    let empty = Relay::start(bench, "pages-empty", nobody()?)?;
    let (mut first, mut none, mut most, mut of_empty) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ASKED {
        first.push(timed(&million, FIRST)?);
        most.push(timed(&million, MOST)?);
        none.push(timed(&million, NONE)?);
        of_empty.push(timed(&empty, FIRST)?);
    }
    let (whole, pages) = walk(&million)?;
    closed_loop(million.http, 1, Until::Sent(500))?;
    let (mut before, mut meanwhile, mut asked) = (Vec::new(), Vec::new(), 0);
    for _ in 0..ROUNDS {
        before.push(quantile(open_loop(million.http, PER_SECOND, ROUND)?, 0.99));
        let looking = Looking::begin(&million);
        meanwhile.push(quantile(open_loop(million.http, PER_SECOND, ROUND)?, 0.99));
        asked += looking.end();
    }
    let figure = median(first);
    let raw = format!(
        "a filtered page {:.1} ms, one of a search that finds nothing {:.0} ms, such a search to its end {whole:.1} s in {pages} pages; of an empty journal {:.1} ms; ack p99 {:.2} ms, {:.2} ms while {asked} pages were asked for",
        median(most),
        median(none),
        median(of_empty),
        median(before),
        median(meanwhile)
    );
    Ok(Measured { figure, raw })
}

/// In milliseconds.
fn timed(relay: &Relay, path: &str) -> Result<f64, String> {
    let begun = Instant::now();
    get(relay.admin, path)?;
    Ok(begun.elapsed().as_secs_f64() * 1e3)
}

/// Looks for what is not there until every event was looked at; says for how many seconds, and pages.
fn walk(relay: &Relay) -> Result<(f64, usize), String> {
    let (begun, mut path, mut pages) = (Instant::now(), NONE.to_owned(), 0);
    loop {
        let page = get(relay.admin, &path)?;
        pages += 1;
        let next = page.rsplit_once("\"next\":").map(|(_, next)| next.trim_end_matches('}').to_owned());
        match next.filter(|next| next != "null") {
            Some(next) => path = format!("{NONE}&after={next}"),
            None => return Ok((begun.elapsed().as_secs_f64(), pages)),
        }
    }
}

/// Somebody who looks at pages, ten in a second, of each kind in turn.
struct Looking {
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicU64>,
    thread: thread::JoinHandle<()>,
}

impl Looking {
    fn begin(relay: &Relay) -> Self {
        let (stop, asked) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (admin, told, counted) = (relay.admin, Arc::clone(&stop), Arc::clone(&asked));
        let look = move || {
            for path in [FIRST, MOST, NONE, "/api/v1/sinks"].iter().cycle() {
                if told.load(Ordering::Relaxed) {
                    return;
                }
                counted.fetch_add(u64::from(get(admin, path).is_ok()), Ordering::Relaxed);
                thread::sleep(Duration::from_millis(100));
            }
        };
        Self { stop, asked, thread: thread::spawn(look) }
    }

    fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.join();
        self.asked.load(Ordering::Relaxed)
    }
}
