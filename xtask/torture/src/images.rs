//! kill -9 while images pass from callback to store: no record calls an image kept that does not stand there whole, none
//! is lost, and none is fetched twice but those that a kill struck.
#![expect(
    clippy::unwrap_used,
    reason = "what stands where it ought not ends the row by a panic that names it"
)]

mod cdn;
mod shelf;
mod store;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinSet;
use tokio::time::sleep;
use vodrelay_core::testing::Picture;

use self::cdn::Cdn;
use self::shelf::Shelf;
use self::store::{BUCKET, KEY, SECRET, Store};
use crate::account::{self, Account};
use crate::load::until_within;
use crate::receiver::Manner;
use crate::relay::{Programs, Relay};
use crate::secrets;
use crate::sender::{Line, Sender};
use crate::stage::{MIN_FREE, Stage};
use crate::words::Word;

/// Images under way at the same time.
const CONCURRENCY: usize = 4;
const SENDERS: usize = 8;
/// How many events are sent before the image of the first of them is asked for, so that callbacks come until the end.
const AHEAD: usize = 30;
/// How many images there are for each kill. A delivery that is in hand at five crashes in a row becomes a dead letter,
/// so each life gets through what the last one left.
const IMAGES: usize = 12;
/// The longest wait from the moment that is counted to the kill.
const HESITATION: Duration = Duration::from_millis(100);
const LIMIT: Duration = Duration::from_secs(300);

/// What the kills strike.
struct Archiving {
    stage: Stage,
    relay: Relay,
    cdn: Cdn,
    store: Store,
    shelf: Shelf,
    struck: Struck,
    dice: StdRng,
}

/// Strikes so many times, and settles the account: what is kept is what was delivered.
pub(crate) async fn run(programs: &Programs, times: usize, seed: u64) -> Result<Account, String> {
    let images = IMAGES * (times + 1);
    let mut archiving = Archiving::start(programs, images, seed).await?;
    let senders = archiving.send(images);
    let mut in_flight = Vec::with_capacity(times);
    for turn in 1..=times {
        in_flight.push(archiving.strike(turn * IMAGES).await?);
    }
    let account = archiving.finish(images, in_flight, senders).await?;
    if !account.is_well() {
        archiving.stage.keep();
    }
    Ok(account)
}

impl Archiving {
    async fn start(programs: &Programs, images: usize, seed: u64) -> Result<Self, String> {
        let stage = Stage::set(Manner::Well).await?;
        let (cdn, store) = (Cdn::start().await, Store::start().await);
        let shelf = Shelf::new(store.bucket(), images, cdn.address);
        let mut relay = stage.supervised(programs, MIN_FREE, &archive(&cdn, &store))?;
        relay.start()?;
        let (struck, dice) = (Struck::default(), StdRng::seed_from_u64(seed));
        Ok(Self { stage, relay, cdn, store, shelf, struck, dice })
    }

    /// Kills once about so many images were asked for, while some are on their way; how many are.
    async fn strike(&mut self, moment: usize) -> Result<usize, String> {
        loop {
            let due = moment.max(self.struck.asked + 1);
            let asked = || Ok(self.cdn.asked().len() >= due);
            until_within(LIMIT, "for the moment to strike", asked).await?;
            sleep(HESITATION.mul_f64(self.dice.random())).await;
            self.relay.kill_9().await?;
            let quiet = || Ok(self.cdn.is_quiet() && self.store.is_quiet());
            until_within(LIMIT, "for the end of what was under way", quiet).await?;
            // A file that the store was about to give its name may still get it.
            sleep(Duration::from_millis(50)).await;
            let in_flight = self.struck.note(&self.cdn.asked(), &self.shelf.survey());
            self.relay.start()?;
            if in_flight > 0 {
                return Ok(in_flight);
            }
        }
    }

    async fn finish(
        &mut self,
        images: usize,
        in_flight: Vec<usize>,
        senders: JoinSet<Vec<usize>>,
    ) -> Result<Account, String> {
        let acknowledged = senders.join_all().await.concat();
        let mut left = acknowledged.clone();
        let all_kept = || {
            left.retain(|number| !self.shelf.says_kept(*number));
            Ok(left.is_empty())
        };
        // What never comes is counted as missing below.
        let _ = until_within(LIMIT, "for the last image", all_kept).await;
        let dead = account::dead_letters(&self.relay).await?;
        self.relay.stop().await?;
        let kept = self.shelf.survey();
        let left: Vec<usize> = acknowledged.iter().filter(|number| !kept.contains(number)).copied().collect();
        let mut account = Account {
            in_flight,
            sent: images,
            acknowledged: acknowledged.len(),
            given_up: images - acknowledged.len(),
            syncs: self.relay.control.told(Word::Syncs)?,
            ..Account::default()
        };
        account.take_up(&self.stage, &left, &dead);
        account.duplicates = self.struck.fetched_again(&self.cdn.asked())?;
        account.wrong.extend(account::wrong_with(&self.relay, &self.stage).await?);
        Ok(account)
    }

    /// Sends an event for each image; those that were acknowledged come back.
    fn send(&self, images: usize) -> JoinSet<Vec<usize>> {
        let next = Arc::new(AtomicUsize::new(0));
        let key = self.stage.secrets.value(secrets::CALLBACK_KEY).to_owned();
        let (headers, in_flight) = (String::new(), Arc::default());
        let sender = Sender { to: self.relay.http, key, keeps: true, from: None, headers, in_flight };
        let mut senders = JoinSet::new();
        for _ in 0..SENDERS {
            let (next, cdn, mut line) = (Arc::clone(&next), self.cdn.clone(), Line::new(sender.clone()));
            senders.spawn(async move {
                let mut acknowledged = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    if number >= images {
                        return acknowledged;
                    }
                    while number >= cdn.asked().len() + AHEAD {
                        sleep(Duration::from_millis(10)).await;
                    }
                    if line.send(&Picture::new(number).event(cdn.address), |_, _| ()).await {
                        acknowledged.push(number);
                    }
                }
            });
        }
        senders
    }
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
    fn note(&mut self, asked: &[usize], kept: &HashSet<usize>) -> usize {
        let in_this_life = asked.iter().skip(self.asked).copied();
        let in_flight: Vec<usize> = in_this_life.filter(|number| !kept.contains(number)).collect();
        assert!(in_flight.len() <= CONCURRENCY, "more are in flight than may be");
        in_flight.iter().for_each(|number| *self.times.entry(*number).or_default() += 1);
        self.asked = asked.len();
        in_flight.len()
    }

    /// How many images were asked for more than once: none oftener than it was struck.
    fn fetched_again(&self, asked: &[usize]) -> Result<usize, String> {
        let mut requests = HashMap::<usize, usize>::new();
        asked.iter().for_each(|number| *requests.entry(*number).or_default() += 1);
        for (number, requests) in &requests {
            let times = self.times.get(number).copied().unwrap_or(0);
            if *requests > 1 + times {
                return Err(format!("image {number}: {requests} requests, struck {times} times"));
            }
        }
        Ok(requests.values().filter(|requests| **requests > 1).count())
    }
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
