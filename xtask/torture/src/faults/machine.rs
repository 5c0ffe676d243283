//! The machine around the relay: memory, descriptors, the clock, names.

use std::time::Duration;

use rand::RngExt;
use rustix::process::{Resource, Rlimit, getrlimit, prlimit};
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::load::until;
use crate::rig::Rig;
use crate::words::Word;

const SECOND: i64 = 1_000_000_000;
/// After so many events each sender that keeps a connection has one.
const KEPT_AGAIN: u64 = 100;
/// Large requests at the same time, and the size of each; together more than a relay has in hand otherwise.
const LARGE: usize = 64;
const LARGE_BODY: usize = 900 << 10;
/// A relay that cannot allocate ends by itself.
const EXIT_LIMIT: Duration = Duration::from_secs(10);

/// No more memory than it has, and a load of large bodies.
pub(super) async fn no_memory(rig: &mut Rig) -> Result<usize, String> {
    let in_flight = rig.moment().await?;
    // What an allocator has reserved counts only once it is used, unlike with a limit of addresses.
    let before = limit(rig, Resource::Data, Some(1))?;
    let swelling = swell(rig);
    let ended = rig.relay.until_ended(EXIT_LIMIT).await;
    drop(swelling);
    let Some(status) = ended? else {
        limit(rig, Resource::Data, before)?;
        return Ok(0);
    };
    if status.success() {
        return Err("without memory the relay ended as if all were well".to_owned());
    }
    rig.relay.start()?;
    Ok(in_flight)
}

/// Sets what the relay may have at most, and answers what that was.
fn limit(rig: &Rig, resource: Resource, current: Option<u64>) -> Result<Option<u64>, String> {
    let limit = Rlimit { current, maximum: getrlimit(resource).maximum };
    let before = prlimit(Some(rig.relay.id()?), resource, limit);
    before.map(|before| before.current).map_err(|error| format!("cannot limit the relay: {error}"))
}

/// Requests with large bodies that never end, until what is answered is dropped.
fn swell(rig: &Rig) -> JoinSet<()> {
    let mut requests = JoinSet::new();
    for _ in 0..LARGE {
        requests.spawn(rig.line().hold_back(LARGE_BODY));
    }
    requests
}

/// No more descriptors than it has: new connections wait, those that are there go on.
pub(super) async fn no_descriptors(rig: &mut Rig) -> Result<usize, String> {
    // Whatever struck before, connections are kept again.
    rig.load.until_accepted_over_kept(KEPT_AGAIN).await?;
    let in_flight = rig.moment().await?;
    let before = limit(rig, Resource::Nofile, Some(1))?;
    what_was_on_its_way_in(rig).await;
    let (over_fresh, accepted) = (rig.load.over_fresh(), rig.load.accepted());
    sleep(rig.while_of(300, 1_500)).await;
    let struck = rig.load.over_fresh() == over_fresh;
    let went_on = rig.load.accepted() > accepted;
    limit(rig, Resource::Nofile, before)?;
    if let Some(status) = rig.relay.ended()? {
        return Err(format!("without descriptors the relay ended with {status}: {}", rig.relay.last_words()));
    }
    if !went_on {
        return Err("without new descriptors the connections that are there do not go on".to_owned());
    }
    let over_fresh = rig.load.over_fresh();
    until("that new connections are taken again", || Ok(rig.load.over_fresh() > over_fresh)).await?;
    Ok(if struck { in_flight } else { 0 })
}

/// Waits until nothing more is accepted over connections that came before.
async fn what_was_on_its_way_in(rig: &Rig) {
    for _ in 0..20 {
        let before = rig.load.over_fresh();
        sleep(Duration::from_millis(100)).await;
        if rig.load.over_fresh() == before {
            return;
        }
    }
}

pub(super) async fn no_names(rig: &mut Rig) -> Result<usize, String> {
    let in_flight = rig.moment().await?;
    let before = rig.relay.control.told(Word::NamesFailed)?;
    rig.relay.control.tell(Word::NamesFail, 1)?;
    sleep(rig.while_of(500, 2_000)).await;
    // After a crash deliveries come one at a time, so it may be a while until a name is asked for.
    let is_met = || Ok(rig.relay.control.told(Word::NamesFailed)? > before);
    until("that a name is not found", is_met).await?;
    rig.relay.control.tell(Word::NamesFail, 0)?;
    let taken = rig.stage.faulty.deliveries();
    until("that the service gets something again", || Ok(rig.stage.faulty.deliveries() > taken)).await?;
    Ok(in_flight)
}

/// Off by so much, and a sign.
fn offset(rig: &mut Rig, least: i64, most: i64) -> i64 {
    let seconds = rig.dice.random_range(least..most) * SECOND;
    if rig.dice.random() { seconds } else { -seconds }
}

pub(super) async fn clock_drifts(rig: &mut Rig) -> Result<usize, String> {
    let in_flight = rig.moment().await?;
    let offset = offset(rig, 2, 200);
    rig.relay.control.tell(Word::ClockOffset, offset.cast_unsigned())?;
    let went_on = rig.load.until_accepted(20).await;
    rig.relay.control.tell(Word::ClockOffset, 0)?;
    went_on?;
    Ok(in_flight)
}

/// Beyond the skew that a proof may have: everything is refused while the jump lasts.
pub(super) async fn clock_jumps(rig: &mut Rig, turn: usize) -> Result<usize, String> {
    let in_flight = rig.moment().await?;
    let seconds = rig.dice.random_range(600..200_000) * SECOND;
    let offset = if turn.is_multiple_of(2) { seconds } else { -seconds };
    rig.relay.control.tell(Word::ClockOffset, offset.cast_unsigned())?;
    sleep(rig.while_of(500, 4_000)).await;
    rig.relay.control.tell(Word::ClockOffset, 0)?;
    Ok(in_flight)
}

/// What was refused only for its time comes in after all.
pub(super) async fn accept_what_the_clock_refused(rig: &mut Rig) -> Result<(), String> {
    let output = rig.relay.command(&["refused", "accept", "--callback", "main", "--stale", "--json"]).await?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let summary: Value = serde_json::from_str(&said)
        .map_err(|_| format!("refused accept: {said}{}", String::from_utf8_lossy(&output.stderr)))?;
    let left = summary.get("left").and_then(Value::as_object);
    if left.is_none_or(|left| left.values().any(|count| count != 0)) {
        return Err(format!("not all that only the clock refused came in: {summary}"));
    }
    Ok(())
}
