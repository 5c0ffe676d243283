//! The connections that are open: each with its place, its pace and its task, and which of them may be closed for others.
//!
//! hyper is driven by hand because a general server gives no hold on a single connection: which one is idle, which
//! one is slow, and which one may be closed to make room.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;
use vodrelay_core::Live;
use vodrelay_tls::accept;

use crate::pace::{Pace, Paced, Phase};
use crate::receiver::Receiver;

/// The hard limit of a head, and the piece in which a large body is read.
const BUFFER: usize = 64 << 10;
/// This part of them makes room at a time, since to find out which ones is to look at all.
const ROOM: usize = 128;

#[derive(Debug)]
pub(crate) struct Connections {
    epoch: Instant,
    places: Arc<Semaphore>,
    /// How many make room at a time.
    room: usize,
    paces: Arc<Mutex<HashMap<u64, Arc<Pace>>>>,
    pub(crate) tasks: TaskTracker,
}

impl Connections {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            epoch: Instant::now(),
            places: Arc::new(Semaphore::new(most)),
            room: (most / ROOM).max(1),
            paces: Arc::default(),
            tasks: TaskTracker::new(),
        }
    }

    /// A place, if one is free.
    pub(crate) fn free_place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).try_acquire_owned().ok()
    }

    /// The next place that becomes free, if one does within that time.
    pub(crate) async fn next_place(&self, limit: Duration) -> Option<OwnedSemaphorePermit> {
        timeout(limit, Arc::clone(&self.places).acquire_owned()).await.ok()?.ok()
    }

    pub(crate) fn spawn(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        receiver: Live<Receiver>,
        place: OwnedSemaphorePermit,
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

    /// Closes those that have waited longest for their client, idle or in the middle of a head: a crowd that sends
    /// nothing, or next to nothing, must not keep others out. False: hardly any wait for their client.
    pub(crate) fn make_room(&self) -> bool {
        let paces = self.paces.lock().unwrap_or_else(PoisonError::into_inner);
        let (now, mut waiting) = (Instant::now(), Vec::new());
        for pace in paces.values() {
            let (phase, since) = pace.phase();
            let age = now.saturating_duration_since(since);
            if phase.welcome().is_some_and(|welcome| age >= welcome) {
                waiting.push((since, pace));
            }
        }
        waiting.sort_unstable_by_key(|(since, _)| *since);
        waiting.truncate(self.room);
        waiting.iter().for_each(|(_, pace)| pace.close());
        waiting.len() == self.room
    }

    pub(crate) fn close_where(&self, overstays: impl Fn(&Pace, Phase, Duration) -> bool) {
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
