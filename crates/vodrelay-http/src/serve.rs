//! The connections: accepted up to a limit, each with its pace, and finished in order when the relay stops.
//!
//! hyper is driven by hand because a general server gives no hold on a single connection: which one is idle, which
//! one is slow, and which one may be closed to make room.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustix::process::Resource;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use vodrelay_core::Live;
use vodrelay_core::burst::Burst;
use vodrelay_tls::accept;

use crate::pace::{Pace, Paced, Phase};
use crate::receiver::Receiver;

/// Open connections, where the process may have as many descriptors twice. Beyond it the one that has been idle longest
/// is closed for the next.
const MOST_CONNECTIONS: usize = 4096;
/// The hard limit of a head, and the piece in which a large body is read.
const BUFFER: usize = 64 << 10;
/// How often the pace of all connections is looked at, and by how much a limit may be overstayed.
const SWEEP: Duration = Duration::from_millis(250);
/// A connection without a request yet gets so long to bring one when the relay stops.
const FRESH_GRACE: Duration = Duration::from_millis(500);
/// After this a stop waits for nobody. It is longer than a budget and a stalled answer together.
const DRAIN: Duration = Duration::from_secs(9);

/// Receives callbacks on the listener until `shutdown`, each by the receiver that is there when its head is; then lets what is in hand finish, and leaves.
///
/// # Errors
/// If the listener is beyond use. Errors of single connections are logged and borne.
pub async fn serve(
    listener: TcpListener,
    receiver: impl Into<Live<Receiver>>,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let receiver = receiver.into();
    let connections =
        Connections::new(most_connections(rustix::process::getrlimit(Resource::Nofile).current));
    tokio::select! {
        never = accept_all(&listener, &receiver, &connections) => match never {},
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

enum Never {}

async fn accept_all(listener: &TcpListener, receiver: &Live<Receiver>, connections: &Connections) -> Never {
    let mut failures = Burst::default();
    loop {
        let place = connections.place().await;
        match listener.accept().await {
            Ok((stream, peer)) => connections.spawn(stream, peer, receiver.clone(), place),
            // The client has gone already; the listener is fine.
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                // Most likely no descriptors are left; an idle connection gives one back.
                if failures.begins(Instant::now()) {
                    tracing::error!(
                        error = %error,
                        "failed to accept a connection; it is tried ten times a second until it works, and said once"
                    );
                }
                connections.close_longest_idle();
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
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

#[derive(Debug)]
struct Connections {
    epoch: Instant,
    places: Arc<Semaphore>,
    paces: Arc<Mutex<HashMap<u64, Arc<Pace>>>>,
    tasks: TaskTracker,
}

impl Connections {
    fn new(most: usize) -> Self {
        Self {
            epoch: Instant::now(),
            places: Arc::new(Semaphore::new(most)),
            paces: Arc::default(),
            tasks: TaskTracker::new(),
        }
    }

    /// Waits for a place; while there is none, closes idle connections to make one.
    async fn place(&self) -> Option<OwnedSemaphorePermit> {
        loop {
            let place = Arc::clone(&self.places).acquire_owned();
            match timeout(if self.places.available_permits() > 0 { SWEEP } else { SWEEP / 10 }, place).await {
                Ok(place) => return place.ok(),
                Err(_) => self.close_longest_idle(),
            }
        }
    }

    fn spawn(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        receiver: Live<Receiver>,
        place: Option<OwnedSemaphorePermit>,
    ) {
        let pace = Arc::new(Pace::new(self.epoch));
        let entry = Entry::new(&self.paces, &pace);
        // An answer is one small write; waiting to fill a packet would only delay it.
        let _ = stream.set_nodelay(true);
        self.tasks.spawn(async move {
            let _held = (entry, place);
            connection(stream, peer.ip(), receiver, pace).await;
        });
    }

    fn close_longest_idle(&self) {
        let paces = self.paces.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = paces.values().filter(|pace| pace.phase().0 == Phase::Idle);
        if let Some(pace) = idle.min_by_key(|pace| pace.phase().1) {
            pace.close();
        }
    }

    fn close_where(&self, overstays: impl Fn(&Pace, Phase, Duration) -> bool) {
        let paces = self.paces.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        for pace in paces.values() {
            let (phase, since) = pace.phase();
            if overstays(pace, phase, now.saturating_duration_since(since)) {
                pace.close();
            }
        }
    }
}

/// A line in the table of paces, struck out when the connection ends, however it ends.
#[derive(Debug)]
struct Entry {
    paces: Arc<Mutex<HashMap<u64, Arc<Pace>>>>,
    number: u64,
}

impl Entry {
    fn new(paces: &Arc<Mutex<HashMap<u64, Arc<Pace>>>>, pace: &Arc<Pace>) -> Self {
        let number = Arc::as_ptr(pace).addr() as u64;
        paces.lock().unwrap_or_else(PoisonError::into_inner).insert(number, Arc::clone(pace));
        Self { paces: Arc::clone(paces), number }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.paces.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.number);
    }
}

async fn connection(stream: TcpStream, peer: IpAddr, receiver: Live<Receiver>, pace: Arc<Pace>) {
    let stream = Paced::new(stream, Arc::clone(&pace));
    let closing = Arc::clone(&pace);
    // Closing drops the request in hand with its future, which is safe at every point of it.
    tokio::select! {
        () = converse(stream, peer, receiver, pace) => {}
        () = closing.closed() => tracing::debug!(http.peer = %peer, "a connection was closed"),
    }
}

async fn converse(stream: Paced<TcpStream>, peer: IpAddr, receiver: Live<Receiver>, pace: Arc<Pace>) {
    let identity = receiver.current().settings.identity.clone();
    // Under the time for a head, which begins with its first byte.
    let stream = match accept(identity.as_ref(), stream).await {
        Ok(stream) => stream,
        Err(error) => {
            return tracing::debug!(http.peer = %peer, error = %error, "a connection came to no TLS");
        }
    };
    pace.open();
    let session = Arc::new((receiver, pace));
    let service = service_fn(move |request| {
        let session = Arc::clone(&session);
        async move {
            let (receiver, pace) = &*session;
            Ok::<_, std::convert::Infallible>(receiver.current().receive(request, peer, pace).await)
        }
    });
    let mut builder = http1::Builder::new();
    builder.header_read_timeout(None).max_buf_size(BUFFER);
    if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(http.peer = %peer, error = %error, "a connection ended early");
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use vodrelay_core::config::Surroundings;
    use vodrelay_core::testing::MemoryJournal;
    use vodrelay_core::{Clock, Intake, Routes, SystemClock};

    use super::*;

    #[test]
    fn half_of_the_descriptors_are_for_connections() {
        let check = |descriptors, expect| assert_eq!(most_connections(descriptors), expect);
        check(None, 4096);
        check(Some(1 << 20), 4096);
        check(Some(1024), 512);
        check(Some(1), 1);
    }

    #[tokio::test]
    async fn when_all_places_are_taken_the_longest_idle_connection_makes_room() {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let journal = Arc::new(MemoryJournal::new(Arc::clone(&clock)));
        let (intake, _keeper) = Intake::new(journal, Arc::new(Routes::default()));
        let settings = crate::Config::default().resolve(&Surroundings::default()).unwrap();
        let receiver = Live::from(Receiver::new(settings, intake, clock));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Connections::new(2);
        let accepting = accept_all(&listener, &receiver, &connections);
        let clients = async {
            let mut clients = Vec::new();
            for _ in 0..3 {
                clients.push(TcpStream::connect(address).await.unwrap());
                sleep(Duration::from_millis(20)).await;
            }
            assert_eq!(clients[0].read(&mut [0]).await.unwrap(), 0, "the first was idle longest");
            let second = timeout(Duration::from_millis(100), clients[2].read(&mut [0])).await;
            assert!(second.is_err(), "the last is open");
        };
        tokio::select! {
            never = accepting => match never {},
            () = clients => {}
        }
    }
}
