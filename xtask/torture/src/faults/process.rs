//! The relay's process ends: at once, or as it is asked to.

use crate::rig::Rig;

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
