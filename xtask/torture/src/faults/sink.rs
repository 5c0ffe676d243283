//! A service that misbehaves; the other one has to go on getting everything meanwhile.

use std::time::Duration;

use tokio::time::sleep;

use crate::load::until;
use crate::receiver::Manner;
use crate::rig::Rig;
use crate::stage::SINK_TIMEOUT;

const MANNERS: [Manner; 6] = [
    Manner::Gone,
    Manner::Down,
    Manner::Hanging,
    Manner::Slow(Duration::from_millis(300)),
    Manner::Late(SINK_TIMEOUT.saturating_mul(2)),
    Manner::Busy { seconds: 2 },
];

pub(super) async fn misbehaves(rig: &mut Rig, turn: usize) -> Result<usize, String> {
    let manner = *MANNERS.iter().cycle().nth(turn).ok_or("no manner")?;
    let in_flight = rig.moment().await?;
    let (met, steady) = (rig.stage.faulty.turned_away(), rig.stage.steady.deliveries());
    let before = rig.stage.faulty.behave(manner);
    sleep(rig.while_of(1_000, 3_000)).await;
    let others_went_on = rig.stage.steady.deliveries() > steady;
    // Nobody sees who comes to a service that is gone, nor that one is slow who takes all. After a crash deliveries come
    // one at a time, so it may be a while until one meets the others.
    let is_met_unseen = matches!(manner, Manner::Gone | Manner::Slow(_));
    let is_met = || Ok(is_met_unseen || rig.stage.faulty.turned_away() > met);
    until("that the service turns something away", is_met).await?;
    rig.stage.faulty.behave(before);
    if !others_went_on {
        return Err(format!("a service that is {manner:?} holds up the other one"));
    }
    // It gets something again before the next fault: the breaker has closed.
    let taken = rig.stage.faulty.deliveries();
    until("that the service gets something again", || Ok(rig.stage.faulty.deliveries() > taken)).await?;
    Ok(in_flight)
}
