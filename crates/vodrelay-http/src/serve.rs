//! Serves callbacks: the door and the connections, watched over, and finished in order when the relay stops.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::{Instant, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::connections::Connections;
use crate::door::{Door, Never};
use crate::pace::Phase;
use crate::receiver::Receiver;

/// Open connections. Beyond it those that have waited longest for their client are closed for the next ones.
const MOST_CONNECTIONS: usize = 4096;
/// How often the pace of all connections is looked at, and by how much a limit may be overstayed.
const SWEEP: Duration = Duration::from_millis(250);
/// A connection without a request yet gets so long to bring one when the relay stops.
const FRESH_GRACE: Duration = Duration::from_millis(500);
/// After this a stop waits for nobody. It is longer than a budget and a stalled answer together.
const DRAIN: Duration = Duration::from_secs(9);

/// Receives callbacks on the listener until `shutdown`; then lets what is in hand finish, and leaves.
///
/// # Errors
/// If the listener is beyond use. Errors of single connections are logged and borne.
pub async fn serve(
    listener: TcpListener,
    receiver: Arc<Receiver>,
    shutdown: CancellationToken,
) -> io::Result<()> {
    for warning in &receiver.settings.warnings {
        tracing::warn!("{warning}");
    }
    let connections = Connections::new(MOST_CONNECTIONS);
    tokio::select! {
        never = Door::new(&listener, &receiver, &connections).run() => match never {},
        never = sweep(&connections) => match never {},
        () = shutdown.cancelled() => {}
    }
    receiver.drain();
    drop(listener);
    finish(&connections).await;
    Ok(())
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
