//! kill -9 while a queue is drained on which everything goes wrong: no message is lost, and none is deleted before it is
//! durable.

use std::time::Duration;

use mns_emulator::{AccessKey, Attributes, Emulator, Injection, Operation, Settings};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use vodrelay_core::testing::event_body;
use vodrelay_journal::Reader;

use crate::account::{self, Account};
use crate::deletions::Deletions;
use crate::load::until_within;
use crate::receiver::Manner;
use crate::relay::{DATA_DIR, Programs, Relay};
use crate::secrets;
use crate::stage::{MIN_FREE, Stage};
use crate::words::Word;

const QUEUE: &str = "vod-events";
const ACCESS_KEY: &str = "AK";
/// How many messages each kill has to strike in the middle of.
const MESSAGES: usize = 300;
const LIMIT: Duration = Duration::from_secs(300);

/// A queue, who looks at its deletions, and the relay that drains it.
struct Drain {
    stage: Stage,
    emulator: Emulator,
    deletions: Deletions,
    relay: Relay,
}

/// Strikes so many times, and settles the account: what was deleted is what was acknowledged.
pub(crate) async fn run(programs: &Programs, times: usize, seed: u64) -> Result<Account, String> {
    let messages = MESSAGES * times;
    let mut drain = Drain::start(programs, messages, seed).await?;
    let mut in_flight = Vec::with_capacity(times);
    let mut dice = StdRng::seed_from_u64(seed);
    let mut moments: Vec<u64> = (0..times).map(|_| dice.random_range(0..messages as u64 * 9 / 10)).collect();
    moments.sort_unstable();
    for moment in moments {
        in_flight.push(drain.strike(moment).await?);
    }
    let account = drain.finish(messages, in_flight).await?;
    if !account.is_well() {
        drain.stage.keep();
    }
    Ok(account)
}

impl Drain {
    async fn start(programs: &Programs, messages: usize, seed: u64) -> Result<Self, String> {
        let stage = Stage::set(Manner::Flaky).await?;
        let deletions = Deletions::default();
        let settings = Settings {
            access_keys: vec![AccessKey::new(ACCESS_KEY, stage.secrets.value(secrets::MNS_SECRET))],
            seed,
            faults: faults(),
            slow_by: Duration::from_millis(50),
            observer: Some(deletions.observer()),
            ..Settings::default()
        };
        let emulator = Emulator::start(settings).await.map_err(|error| error.to_string())?;
        // What is in hand at a kill comes back that soon.
        let soon = Attributes { visibility_timeout: 1, ..Attributes::default() };
        emulator.create_queue(QUEUE, soon).map_err(|error| error.to_string())?;
        let mut relay = stage.supervised(programs, MIN_FREE, &(stage.sinks() + &queue(&emulator)))?;
        relay.start()?;
        let data = relay.folder.join(DATA_DIR);
        until_within(LIMIT, "for a journal", || Ok(Reader::open(&data).is_ok())).await?;
        deletions.look_into(&data);
        for number in 0..messages {
            let body = event_body(number);
            let text = str::from_utf8(&body).map_err(|error| error.to_string())?;
            emulator.send(QUEUE, text).map_err(|error| error.to_string())?;
        }
        Ok(Self { stage, emulator, deletions, relay })
    }

    /// Kills after so many deletions, while messages are in hand; how many were.
    async fn strike(&mut self, moment: u64) -> Result<usize, String> {
        loop {
            let in_hand = || self.emulator.counts(QUEUE).inactive;
            let due = || Ok(self.emulator.ledger().deleted() >= moment && in_hand() > 0);
            until_within(LIMIT, "for the moment to strike", due).await?;
            self.relay.kill_9().await?;
            let struck = in_hand();
            self.relay.start()?;
            // The last message in hand may be deleted just before the kill, which is no kill to speak of then.
            if struck > 0 {
                return Ok(struck);
            }
        }
    }

    async fn finish(&mut self, messages: usize, in_flight: Vec<usize>) -> Result<Account, String> {
        until_within(LIMIT, "for the drain", || Ok(self.emulator.counts(QUEUE).all() == 0)).await?;
        let (deleted, too_early) = self.deletions.all();
        let owed = (0..messages).collect();
        let left = account::not_delivered(owed, [&self.stage.steady, &self.stage.faulty]).await?;
        let dead = account::dead_letters(&self.relay).await?;
        self.relay.stop().await?;
        let acknowledged = deleted.min(messages);
        let syncs = self.relay.control.told(Word::Syncs)?;
        let mut account = Account { in_flight, sent: messages, acknowledged, syncs, ..Account::default() };
        account.take_up(&self.stage, &left, &dead);
        account.wrong.extend(account::wrong_with(&self.relay, &self.stage).await?);
        account.wrong.extend(too_early.iter().map(|body| format!("deleted before it was durable: {body}")));
        if acknowledged < messages {
            account.wrong.push(format!("only {deleted} deletions were seen"));
        }
        Ok(account)
    }
}

fn queue(emulator: &Emulator) -> String {
    let (endpoint, secret) = (emulator.endpoint(), secrets::MNS_SECRET);
    format!(
        r#"
[mns.queues.main]
endpoint = "{endpoint}"
queue = "{QUEUE}"
credentials = {{ kind = "static", access_key_id = "{ACCESS_KEY}", access_key_secret = {{ env = "{secret}" }} }}
"#
    )
}

fn faults() -> Vec<Injection> {
    use mns_emulator::Fault;
    vec![
        Fault::Throttle.always().share(0.05),
        Fault::Unavailable.always().share(0.03),
        Fault::Duplicate.always().share(0.05),
        Fault::Reorder.always().share(0.2),
        Fault::ShortBatch.always().share(0.2),
        Fault::EarlyEmpty.always().share(0.02),
        Fault::PartialBatch.always().share(0.05),
        Fault::Slow.always().share(0.1),
        Fault::DropAfter.always().on(Operation::BatchDeleteMessage).share(0.1),
        Fault::DropAfter.always().on(Operation::BatchReceiveMessage).share(0.02),
        Fault::Cut.always().share(0.02),
    ]
}
