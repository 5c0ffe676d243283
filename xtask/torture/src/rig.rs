//! One row's stage: a relay with its load, a service that is well, one that is not, and the account at the end.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::faults::{Fault, Mended};
use crate::load::{Load, until_within};
use crate::receiver::{Manner, Receiver};
use crate::relay::{Programs, Relay};
use crate::secrets::{self, Secrets};
use crate::sender::{Line, PUBLIC_URL, Sender};
use crate::words::Word;

const SENDERS: usize = 32;
/// The least number of requests in flight when a fault strikes.
const STRUCK: usize = 4;
/// How long the last deliveries may take once the load is over. After an unclean stop a sink is careful for a minute.
const DELIVERY_LIMIT: Duration = Duration::from_secs(240);
/// When nothing has come for so long, nothing more will.
const IDLE: Duration = Duration::from_secs(20);
/// How long a delivery may take before the relay gives the attempt up.
pub(crate) const SINK_TIMEOUT: Duration = Duration::from_secs(1);

/// What faults strike, and with what they are drawn.
#[derive(Debug)]
pub(crate) struct Rig {
    pub(crate) relay: Relay,
    pub(crate) load: Load,
    sender: Sender,
    /// A service that takes all: it must never wait for the other one.
    pub(crate) steady: Receiver,
    pub(crate) faulty: Receiver,
    pub(crate) dice: StdRng,
    secrets: Secrets,
    begun: Instant,
    folder: TempDir,
}

/// What came of a row.
#[derive(Clone, Debug, Default)]
pub(crate) struct Account {
    pub(crate) planned: usize,
    pub(crate) in_flight: Vec<usize>,
    pub(crate) syncs: u64,
    pub(crate) sent: usize,
    pub(crate) acknowledged: usize,
    pub(crate) given_up: usize,
    pub(crate) missing: usize,
    pub(crate) altered: usize,
    pub(crate) duplicates: usize,
    pub(crate) dead_letters: usize,
    pub(crate) worst_outage: Duration,
    pub(crate) took: Duration,
    /// What else went wrong; any of it fails the row.
    pub(crate) wrong: Vec<String>,
}

impl Rig {
    pub(crate) async fn start(programs: &Programs, seed: u64, fault: Fault) -> Result<Self, String> {
        let folder = TempDir::new().map_err(|error| error.to_string())?;
        let (steady, faulty) = (Receiver::start(Manner::Well).await?, Receiver::start(fault.manner()).await?);
        let secrets = Secrets::new();
        let mut relay = Relay::supervised(programs, folder.path(), &secrets)?;
        relay.configure(&configuration(&steady, &faulty, fault.min_free(folder.path())?)?)?;
        relay.keeps_copies = fault == Fault::PowerCut;
        relay.start()?;
        let key = secrets.value(secrets::CALLBACK_KEY).to_owned();
        let (headers, in_flight) = (String::new(), Arc::default());
        let sender = Sender { to: relay.http, key, keeps: true, from: None, headers, in_flight };
        let load = Load::start(SENDERS, &sender);
        load.until_accepted(1).await.map_err(|error| format!("{error}: {}", relay.last_words()))?;
        let (dice, begun) = (StdRng::seed_from_u64(seed), Instant::now());
        Ok(Self { relay, load, sender, steady, faulty, dice, secrets, begun, folder })
    }

    /// Waits for a moment at which a fault strikes something: how many requests are in flight then.
    pub(crate) async fn moment(&mut self) -> Result<usize, String> {
        let more = self.dice.random_range(20..60);
        self.load.until_accepted(more).await?;
        self.load.until_in_flight(STRUCK).await
    }

    /// A connection of its own for what is no part of the load.
    pub(crate) fn line(&self) -> Line {
        Line::new(self.sender.clone())
    }

    /// A while between these, in milliseconds.
    pub(crate) fn while_of(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(self.dice.random_range(least..most))
    }

    /// Ends the load, waits for the last deliveries, stops the relay, and looks at all that is left.
    pub(crate) async fn finish(
        &mut self,
        fault: Fault,
        planned: usize,
        in_flight: Vec<usize>,
    ) -> Result<Account, String> {
        self.load.stop().await;
        let acknowledged = self.load.seen.acknowledged();
        let mut left = acknowledged.clone();
        if fault.mend(self).await? == Mended::AllThatWasSent {
            left = (0..self.load.seen.sent()).collect();
        }
        // A dead letter is an outcome, too: they are asked for once all that is delivered is.
        let delivered = until_within(DELIVERY_LIMIT, "for deliveries", || {
            left.retain(|number| !self.steady.has(*number) || !self.faulty.has(*number));
            Ok(left.is_empty() || self.steady.is_idle(IDLE) && self.faulty.is_idle(IDLE))
        });
        delivered.await?;
        let dead = self.dead_letters().await?;
        let missing = left.iter().filter(|number| !dead.contains(number)).count();
        let mut account = Account {
            planned,
            in_flight,
            syncs: self.relay.control.told(Word::Syncs)?,
            sent: self.load.seen.sent(),
            acknowledged: acknowledged.len(),
            given_up: self.load.seen.given_up(),
            missing,
            altered: self.steady.altered() + self.faulty.altered(),
            duplicates: self.steady.duplicates() + self.faulty.duplicates(),
            dead_letters: dead.len(),
            worst_outage: self.load.seen.worst_outage(),
            took: self.begun.elapsed(),
            wrong: Vec::new(),
        };
        if account.given_up > 0 && !fault.may_cost_callbacks() {
            account.wrong.push("callbacks were given up that need not have been".to_owned());
        }
        self.relay.stop().await?;
        account.wrong.extend(self.look_at_what_is_left().await?);
        Ok(account)
    }

    /// The numbers of the events that stand in the dead letters.
    async fn dead_letters(&self) -> Result<Vec<usize>, String> {
        let output = self.relay.command(&["dead-letters", "export"]).await?;
        if !output.status.success() {
            return Err(format!("dead-letters export: {}", String::from_utf8_lossy(&output.stderr)));
        }
        let number = |line: &str| {
            let letter: Value = serde_json::from_str(line).ok()?;
            let id = letter.pointer("/event/video_id")?.as_str()?;
            usize::from_str_radix(id, 16).ok()
        };
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines()
            .map(|line| number(line).ok_or_else(|| format!("a dead letter of no event: {line}")))
            .collect()
    }

    /// The journal must be whole, and no secret anywhere.
    async fn look_at_what_is_left(&self) -> Result<Vec<String>, String> {
        let mut wrong = Vec::new();
        let verified = self.relay.command(&["journal", "verify"]).await?;
        if !verified.status.success() {
            wrong.push(format!("journal verify: {}", String::from_utf8_lossy(&verified.stdout)));
        }
        self.relay.command(&["config", "show"]).await?;
        let secrets = self.secrets.find_below(self.folder.path())?;
        wrong.extend(secrets.into_iter().map(|place| format!("a secret: {place}")));
        wrong.extend(
            (self.faulty.too_soon() > 0)
                .then(|| format!("{} came before Retry-After", self.faulty.too_soon())),
        );
        Ok(wrong)
    }

    /// Leaves the folder there, and answers where.
    pub(crate) fn keep(self) -> PathBuf {
        self.folder.keep()
    }
}

impl Account {
    /// How many faults struck something.
    pub(crate) fn struck(&self) -> usize {
        self.in_flight.iter().filter(|count| **count > 0).count()
    }

    /// Nothing is missing or altered, nothing else is wrong, and nearly all faults struck: a run in which they did not
    /// shows nothing.
    pub(crate) fn is_well(&self) -> bool {
        let most_struck = self.struck() * 100 >= self.planned * 95;
        self.missing == 0 && self.altered == 0 && self.wrong.is_empty() && most_struck
    }
}

fn configuration(steady: &Receiver, faulty: &Receiver, min_free: u64) -> Result<String, String> {
    let admin = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let admin = admin.map_err(|error| error.to_string())?;
    let timeout = SINK_TIMEOUT.as_secs();
    let sink = |name: &str, url: &str| {
        format!(
            r#"
[sinks.{name}]
kind = "webhook"
concurrency = 16
timeout = "{timeout}s"
retry = {{ first = "200ms", cap = "1s" }}
[sinks.{name}.options]
url = "{url}"
vod_key = {{ env = "{}" }}
secret = {{ env = "{}" }}
"#,
            secrets::SINK_KEY,
            secrets::SINK_SECRET
        )
    };
    let steady = sink("steady", &format!("http://{}/hook", steady.address));
    let (port, token) = (faulty.address.port(), secrets::URL_TOKEN);
    let faulty = sink("faulty", &format!("http://faulty.test:{port}/hook?token={token}"));
    Ok(format!(
        r#"
[http.callbacks.main]
public_url = "{PUBLIC_URL}"
keys = [{{ name = "torture", env = "{}" }}]
[journal]
min_free = "{min_free}B"
[admin]
listen = "{admin}"
token = {{ env = "{}" }}
{steady}{faulty}"#,
        secrets::CALLBACK_KEY,
        secrets::ADMIN_TOKEN
    ))
}
