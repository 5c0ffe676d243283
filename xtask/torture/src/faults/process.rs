//! The relay's process ends: at once, or as it is asked to.

use std::time::Duration;

use tokio::time::sleep;

use crate::rig::Rig;

/// A sender makes three attempts within about two seconds; of ends that are so far apart no three strike one event.
const APART: Duration = Duration::from_secs(2);

pub(super) async fn kill(rig: &mut Rig) -> Result<usize, String> {
    let in_flight = rig.moment().await?;
    rig.relay.kill_9().await?;
    rig.relay.start()?;
    Ok(in_flight)
}

pub(super) async fn restart(rig: &mut Rig) -> Result<usize, String> {
    let in_flight = rig.moment().await?;
    rig.relay.stop().await?;
    rig.relay.start()?;
    Ok(in_flight)
}

/// One relay of two ends, in turn, every other pair by kill -9; the other one goes on alone for a while.
pub(super) async fn one_of_two(rig: &mut Rig, turn: usize) -> Result<usize, String> {
    let in_flight = rig.moment().await?;
    if turn % 4 < 2 {
        rig.relay.kill_9().await?;
    } else {
        rig.relay.stop().await?;
    }
    rig.load.until_accepted(20).await?;
    rig.relay.start()?;
    rig.relay.until_it_listens().await?;
    if let Some(other) = &mut rig.other {
        std::mem::swap(&mut rig.relay, other);
    }
    sleep(APART).await;
    Ok(in_flight)
}
