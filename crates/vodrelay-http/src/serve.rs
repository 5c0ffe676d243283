//! Serves callbacks: the door and the connections, watched over, and finished in order when the relay stops.

use std::io;
use std::time::Duration;

use rustix::process::Resource;
use tokio::net::TcpListener;
use tokio::time::{Instant, interval, timeout};
use tokio_util::sync::CancellationToken;
use vodrelay_core::Live;

use crate::connections::Connections;
use crate::door::{Door, Never};
use crate::pace::Phase;
use crate::receiver::Receiver;

/// Open connections, where the process may have as many descriptors twice. Beyond it those that have waited longest for
/// their client are closed for the next ones.
const MOST_CONNECTIONS: usize = 4096;
/// How often the pace of all connections is looked at, and by how much a limit may be overstayed.
const SWEEP: Duration = Duration::from_millis(250);
/// A connection without a request yet gets so long to bring one when the relay stops.
const FRESH_GRACE: Duration = Duration::from_millis(500);
/// After this a stop waits for nobody. It is longer than a budget and a stalled answer together.
const DRAIN: Duration = Duration::from_secs(9);

/// Receives callbacks on the listener until `shutdown`, each by the receiver that is there when its head is; then lets
/// what is in hand finish, and leaves.
///
/// # Errors
/// If the listener is beyond use. Errors of single connections are logged and borne.
pub async fn serve(
    listener: TcpListener,
    receiver: impl Into<Live<Receiver>>,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let receiver = receiver.into();
    let descriptors = rustix::process::getrlimit(Resource::Nofile).current;
    let connections = Connections::new(most_connections(descriptors));
    tokio::select! {
        never = Door::new(&listener, &receiver, &connections).run() => match never {},
        never = sweep(&connections) => match never {},
        () = shutdown.cancelled() => {}
    }
    receiver.current().drain();
    drop(listener);
    finish(&connections).await;
    Ok(())
}

/// Half of the descriptors are for what the relay does with what it receives: sinks, journal, queues.
fn most_connections(descriptors: Option<u64>) -> usize {
    let half = descriptors.and_then(|limit| usize::try_from(limit / 2).ok());
    half.map_or(MOST_CONNECTIONS, |half| half.clamp(1, MOST_CONNECTIONS))
}

/// Closes connections that overstay.
async fn sweep(connections: &Connections) -> Never {
    let mut tick = interval(SWEEP);
    loop {
        tick.tick().await;
        connections.close_where(|_, phase, age| age > phase.limit());
    }
}

/// Idle connections go at once, fresh ones get a moment, and the others end with their answer.
async fn finish(connections: &Connections) {
    let began = Instant::now();
    connections.tasks.close();
    while timeout(SWEEP / 5, connections.tasks.wait()).await.is_err() {
        let grace_is_over = began.elapsed() > FRESH_GRACE;
        if began.elapsed() > DRAIN {
            tracing::warn!(
                connections = connections.tasks.len(),
                "connections were cut off at the end of the drain time"
            );
            connections.close_where(|_, _, _| true);
            connections.tasks.wait().await;
            return;
        }
        connections.close_where(|pace, phase, age| match phase {
            Phase::Idle => pace.has_served() || grace_is_over,
            _ => age > phase.limit(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_descriptors_are_for_connections() {
        let check = |descriptors, expect| assert_eq!(most_connections(descriptors), expect);
        check(None, 4096);
        check(Some(1 << 20), 4096);
        check(Some(1024), 512);
        check(Some(1), 1);
    }
}
