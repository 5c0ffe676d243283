//! kill -9 at random moments while images pass from callback to store: no record calls an image kept that does not
//! stand there whole, none is lost, and none is fetched twice but those that a kill struck.
//!
//! `RUN_SLOW_TESTS=1` runs it; `TORTURE_IMAGES` and `TORTURE_IMAGE_KILLS` make it longer (`cargo xtask torture` does),
//! `TORTURE_SEED` repeats the moments of a run.

mod cdn;
mod shelf;
mod store;

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use vodrelay_core::testing::Picture;

use self::cdn::Cdn;
use self::shelf::Shelf;
use self::store::{BUCKET, KEY, SECRET, Store};
use crate::number;
use crate::relay::{Process, client, configuration, free_port, send_as_vod, until};

/// Images under way at the same time.
const CONCURRENCY: usize = 4;
const SENDERS: usize = 8;
/// How many events are sent before the image of the first of them is asked for, so that callbacks come until the end.
const AHEAD: usize = 30;
/// How many images each life of a relay asks for at least. A delivery that is in hand at five crashes in a row becomes a
/// dead letter, so each life gets through what the last one left. For a minute after a crash a relay delivers one event
/// at a time, so the kills after the first seldom strike more than one.
const IN_A_LIFE: usize = CONCURRENCY + 1;
/// The longest wait from the moment that is counted to the kill.
const HESITATION: Duration = Duration::from_millis(100);
const LIMIT: Duration = Duration::from_secs(300);

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_leaves_no_record_without_its_image_and_loses_none() {
    if !crate::slow_tests_are_asked_for() {
        return;
    }
    let (images, kills) = (number("TORTURE_IMAGES", 60), number("TORTURE_IMAGE_KILLS", 4));
    let seed = number("TORTURE_SEED", rand::random::<u32>() as usize);
    println!("TORTURE_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed as u64);
    let folder = tempfile::tempdir().unwrap();
    let (cdn, store) = (Cdn::start().await, Store::start().await);
    let shelf = Shelf::new(store.bucket(), images, cdn.address);
    let (http, admin) = (free_port(), free_port());
    let config = configuration(http, admin) + &archive(&cdn, &store);
    let mut relay = Process::start_with(folder.path(), &config, http, admin).await;
    let (begun, senders) = (Instant::now(), send(images, http, &cdn));

    let share = images / (kills + 1);
    let mut struck = Struck::default();
    for kill in 0..kills {
        let moment = (kill * share + random.random_range(..share)).max(struck.asked + IN_A_LIFE);
        until("the moment to strike", LIMIT, || cdn.asked().len() >= moment).await;
        sleep(HESITATION.mul_f64(random.random())).await;
        relay.kill_9();
        until("the end of what was under way", LIMIT, || cdn.is_quiet() && store.is_quiet()).await;
        // A file that the store was about to give its name may still get it.
        sleep(Duration::from_millis(50)).await;
        let (asked, kept) = (cdn.asked(), shelf.survey());
        let in_flight = struck.note(&asked, &kept);
        println!("kill -9 after {} requests: {} kept, in flight {in_flight:?}", asked.len(), kept.len());
        relay = Process::start_with(folder.path(), &config, http, admin).await;
    }

    let acknowledged = senders.join_all().await.concat();
    let all_kept = || acknowledged.iter().all(|number| shelf.says_kept(*number));
    until("the last image", LIMIT, all_kept).await;
    assert_eq!(relay.terminate(), Some(0));
    let kept = shelf.survey();
    let again = struck.fetched_again(&cdn.asked());
    println!(
        "{images} images, {kills} kills: {} acknowledged, {} kept, {} struck, {again} fetched again, {:.1} s",
        acknowledged.len(),
        kept.len(),
        struck.times.len(),
        begun.elapsed().as_secs_f64(),
    );
    assert!(acknowledged.iter().all(|number| kept.contains(number)), "an image is lost");
    assert!(!struck.times.is_empty(), "no kill struck anything");
}

/// The images that were in flight at a kill.
#[derive(Default)]
struct Struck {
    /// How often each was.
    times: HashMap<usize, usize>,
    /// How many requests there were until the last kill.
    asked: usize,
}

impl Struck {
    /// In flight at a kill is what was asked for since the one before, and is not kept.
    fn note(&mut self, asked: &[usize], kept: &HashSet<usize>) -> Vec<usize> {
        let in_this_life = asked.iter().skip(self.asked).copied();
        let in_flight: Vec<usize> = in_this_life.filter(|number| !kept.contains(number)).collect();
        assert!(in_flight.len() <= CONCURRENCY, "more are in flight than may be");
        in_flight.iter().for_each(|number| *self.times.entry(*number).or_default() += 1);
        self.asked = asked.len();
        in_flight
    }

    /// How many images were asked for more than once: none oftener than it was struck.
    fn fetched_again(&self, asked: &[usize]) -> usize {
        let mut requests = HashMap::<usize, usize>::new();
        asked.iter().for_each(|number| *requests.entry(*number).or_default() += 1);
        for (number, requests) in &requests {
            let times = self.times.get(number).copied().unwrap_or(0);
            assert!(*requests <= 1 + times, "image {number}: {requests} requests, struck {times} times");
        }
        requests.values().filter(|requests| **requests > 1).count()
    }
}

/// Sends an event for each image; those that were acknowledged come back.
fn send(images: usize, to: SocketAddr, cdn: &Cdn) -> JoinSet<Vec<usize>> {
    let (next, client) = (Arc::new(AtomicUsize::new(0)), client());
    let mut senders = JoinSet::new();
    for _ in 0..SENDERS {
        let (next, client, cdn) = (Arc::clone(&next), client.clone(), cdn.clone());
        senders.spawn(async move {
            let mut acknowledged = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::SeqCst);
                if number >= images {
                    return acknowledged;
                }
                until("the images before", LIMIT, || number < cdn.asked().len() + AHEAD).await;
                if send_as_vod(&client, to, Picture::new(number).event(cdn.address)).await {
                    acknowledged.push(number);
                }
            }
        });
    }
    senders
}

fn archive(cdn: &Cdn, store: &Store) -> String {
    let (cdn, store) = (cdn.address, store.address);
    format!(
        r#"
[sinks.archive]
kind = "archive"
concurrency = {CONCURRENCY}
retry = {{ first = "200ms", cap = "1s" }}
[sinks.archive.options]
url = "s3://{BUCKET}"
endpoint = "http://{store}"
path_style = true
region = "eu-1"
access_key_id = "{KEY}"
secret_access_key = "{SECRET}"
[[sinks.archive.options.image_hosts]]
name = "{cdn}"
allow_addresses = ["127.0.0.1"]
"#
    )
}

/// Every file below a folder; none where there is no folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}
