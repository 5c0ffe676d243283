//! The account at the end of a row: whether what was acknowledged is where it ought to be, byte for byte, and nothing is
//! where it ought not to be.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::load::until_within;
use crate::receiver::Receiver;
use crate::relay::Relay;
use crate::stage::Stage;

/// How long the last deliveries may take once the load is over. After an unclean stop a sink is careful for a minute.
const DELIVERY_LIMIT: Duration = Duration::from_secs(600);
/// When nothing has come for so long, nothing more will: what was in hand at a crash waits for up to 16 seconds.
const IDLE: Duration = Duration::from_secs(25);

/// What came of a row.
#[derive(Clone, Debug, Default)]
pub(crate) struct Account {
    /// For each fault, how many requests it struck.
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

impl Account {
    /// Takes up what the services have seen, and what has not come to them.
    pub(crate) fn take_up(&mut self, stage: &Stage, left: &[usize], dead: &[usize]) {
        let (steady, faulty) = (&stage.steady, &stage.faulty);
        self.missing = left.iter().filter(|number| !dead.contains(number)).count();
        self.dead_letters = dead.len();
        self.altered = steady.altered() + faulty.altered();
        self.duplicates = steady.duplicates() + faulty.duplicates();
        self.took = stage.begun.elapsed();
        let too_soon = faulty.too_soon();
        self.wrong.extend((too_soon > 0).then(|| format!("{too_soon} came before Retry-After")));
    }

    /// How many faults struck something.
    pub(crate) fn struck(&self) -> usize {
        self.in_flight.iter().filter(|count| **count > 0).count()
    }

    /// Nothing is missing or altered, nothing else is wrong, and nearly all faults struck: a run in which they did not
    /// shows nothing.
    pub(crate) fn is_well(&self) -> bool {
        let most_struck = self.struck() * 100 >= self.in_flight.len() * 95;
        self.missing == 0 && self.altered == 0 && self.wrong.is_empty() && most_struck
    }
}

/// Waits until both services have each of those events; answers which ones they never got.
pub(crate) async fn not_delivered(
    owed: Vec<usize>,
    [one, other]: [&Receiver; 2],
) -> Result<Vec<usize>, String> {
    let (mut left, begun) = (owed, Instant::now());
    let is_over = || begun.elapsed() > IDLE && one.is_idle(IDLE) && other.is_idle(IDLE);
    let delivered = until_within(DELIVERY_LIMIT, "for deliveries", || {
        left.retain(|number| !one.has(*number) || !other.has(*number));
        Ok(left.is_empty() || is_over())
    });
    delivered.await?;
    Ok(left)
}

/// The numbers of the events that stand in a relay's dead letters.
pub(crate) async fn dead_letters(relay: &Relay) -> Result<Vec<usize>, String> {
    let output = relay.command(&["dead-letters", "export"]).await?;
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

/// What is wrong with what a relay leaves behind that has stopped: the journal must be whole, and no secret anywhere.
pub(crate) async fn wrong_with(relay: &Relay, stage: &Stage) -> Result<Vec<String>, String> {
    let mut wrong = Vec::new();
    let verified = relay.command(&["journal", "verify"]).await?;
    if !verified.status.success() {
        wrong.push(format!("journal verify: {}", String::from_utf8_lossy(&verified.stdout)));
    }
    relay.command(&["config", "show"]).await?;
    let found = stage.secrets.find_below(stage.folder.path())?;
    wrong.extend(found.into_iter().map(|place| format!("a secret: {place}")));
    Ok(wrong)
}
