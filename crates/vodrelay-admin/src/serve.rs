//! The connections of the admin listener: few, and none for longer than it is of use.
//!
//! Whoever can reach the listener needs no token to open connections, so they must not take the descriptors and the memory
//! that callbacks and deliveries need, nor keep a probe of the relay's health out.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;
use vodrelay_core::burst::Burst;
use vodrelay_core::{Clock, Live};
use vodrelay_tls::{Identity, accept};

use crate::metrics::Metrics;
use crate::router::{AdminState, Lasting, router_of};
use crate::stall::Stalling;

/// Open connections. Beyond it the oldest of those that ask nothing is closed for the next.
const MOST_CONNECTIONS: usize = 64;
/// So long a connection may take for a head, the time before it included.
const HEAD: Duration = Duration::from_secs(30);
/// The hard limit of a head.
const BUFFER: usize = 64 << 10;
/// How long a connection that is closed may take to go, before another is.
const PATIENCE: Duration = Duration::from_millis(50);
/// What is being asked when the relay stops is answered for so long.
const DRAIN: Duration = Duration::from_secs(5);

/// Answers on the listener until `shutdown`, and then for a moment longer what is being asked.
///
/// # Errors
/// Never, as it is; the errors of single connections are borne.
pub async fn serve(
    listener: TcpListener,
    door: impl Into<Door>,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let door = door.into();
    let seats = Seats::new(MOST_CONNECTIONS, shutdown.clone());
    tokio::select! {
        never = accept_all(&listener, &door, &seats) => match never {},
        never = keep_tidy(&door) => match never {},
        () = shutdown.cancelled() => {}
    }
    drop(listener);
    seats.tasks.close();
    if timeout(DRAIN, seats.tasks.wait()).await.is_err() {
        seats.cut.cancel();
        seats.tasks.wait().await;
    }
    Ok(())
}

/// What is answered: by whichever state is there when a request comes.
#[derive(Clone, Debug)]
pub struct Door {
    metrics: Metrics,
    clock: Arc<dyn Clock>,
    lasting: Lasting,
    router: Live<Router>,
    identity: Live<Option<Identity>>,
}

impl Door {
    /// Answers by another state from now on. What is being answered is answered by the one before.
    pub fn change(&self, state: AdminState) {
        self.router.replace(router_of(state, self.lasting.clone()));
    }

    /// What connections are shown.
    #[must_use]
    pub fn shown(&self) -> Arc<Option<Identity>> {
        self.identity.current()
    }

    /// What connections are shown that come from then on; without it, they are plain.
    pub fn show(&self, identity: Option<Identity>) {
        self.identity.replace(identity);
    }
}

impl From<AdminState> for Door {
    fn from(state: AdminState) -> Self {
        let (metrics, lasting) = (state.metrics.clone(), Lasting::default());
        let clock = Arc::clone(&state.clock);
        let router = Live::new(router_of(state, lasting.clone()));
        Self { metrics, clock, lasting, router, identity: Live::new(None) }
    }
}

enum Never {}

async fn keep_tidy(door: &Door) -> Never {
    let mut tick = interval(Duration::from_secs(1));
    for second in 0_u64.. {
        tick.tick().await;
        door.metrics.turn(door.clock.now());
        if second.is_multiple_of(5) {
            door.metrics.tidy();
        }
    }
    std::future::pending().await
}

async fn accept_all(listener: &TcpListener, door: &Door, seats: &Arc<Seats>) -> Never {
    let mut failures = Burst::default();
    loop {
        let place = seats.place().await;
        match listener.accept().await {
            Ok((stream, peer)) => seats.spawn(stream, peer, door.clone(), place),
            Err(error) => {
                // Most likely no descriptors are left; a connection that asks nothing gives one back.
                if failures.begins(Instant::now()) {
                    tracing::error!(
                        error = %error,
                        "failed to accept a connection of the admin listener; it is tried again until it works, and said once"
                    );
                }
                seats.close_oldest_idle();
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

#[derive(Debug)]
struct Seats {
    places: Arc<Semaphore>,
    /// In the order in which they came.
    taken: Mutex<BTreeMap<u64, Arc<Seat>>>,
    tasks: TaskTracker,
    /// Connections answer what is being asked, and end.
    stop: CancellationToken,
    /// Connections end.
    cut: CancellationToken,
}

/// One connection.
#[derive(Debug)]
struct Seat {
    /// Between the head of a request and the end of its answer.
    is_asking: AtomicBool,
    close: CancellationToken,
}

impl Seats {
    fn new(most: usize, stop: CancellationToken) -> Arc<Self> {
        Arc::new(Self {
            places: Arc::new(Semaphore::new(most)),
            taken: Mutex::default(),
            tasks: TaskTracker::new(),
            stop,
            cut: CancellationToken::new(),
        })
    }

    /// Waits for a place; while there is none, closes connections that ask nothing to make one.
    async fn place(&self) -> Option<OwnedSemaphorePermit> {
        while self.places.available_permits() == 0 {
            self.close_oldest_idle();
            if let Ok(place) = timeout(PATIENCE, Arc::clone(&self.places).acquire_owned()).await {
                return place.ok();
            }
        }
        Arc::clone(&self.places).acquire_owned().await.ok()
    }

    fn close_oldest_idle(&self) {
        let taken = self.taken();
        // One that asks now and then would be closed like one that never does; its client connects again.
        let idle =
            taken.values().find(|seat| !seat.is_asking.load(Ordering::Relaxed) && !seat.close.is_cancelled());
        if let Some(seat) = idle {
            seat.close.cancel();
        }
    }

    fn spawn(
        self: &Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        door: Door,
        place: Option<OwnedSemaphorePermit>,
    ) {
        let seat = Arc::new(Seat { is_asking: AtomicBool::new(false), close: self.cut.child_token() });
        let number = {
            let mut taken = self.taken();
            let number = taken.last_key_value().map_or(0, |(last, _)| last + 1);
            taken.insert(number, Arc::clone(&seat));
            number
        };
        let seats = Arc::clone(self);
        self.tasks.spawn(async move {
            let _place = place;
            tokio::select! {
                () = connection(stream, peer, door, &seat, &seats.stop) => {}
                () = seat.close.cancelled() => {}
            }
            seats.taken().remove(&number);
        });
    }

    fn taken(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Seat>>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    door: Door,
    seat: &Arc<Seat>,
    stop: &CancellationToken,
) {
    let identity = door.identity.current();
    let shaken = timeout(HEAD, accept(identity.as_ref().as_ref(), Stalling::new(stream))).await;
    let stream = match shaken {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            return tracing::debug!(http.peer = %peer, error = %error, "a connection of the admin listener came to no TLS");
        }
        Err(_) => return,
    };
    let service = service_fn(|request| {
        answer(request, peer, Router::clone(&door.router.current()), Asking::begin(seat))
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(BUFFER);
    let mut serving = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let mut is_stopping = false;
    loop {
        tokio::select! {
            ended = serving.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(http.peer = %peer, error = %error, "a connection of the admin listener ended early");
                }
                return;
            }
            () = stop.cancelled(), if !is_stopping => {
                serving.as_mut().graceful_shutdown();
                is_stopping = true;
            }
        }
    }
}

async fn answer(
    mut request: Request<Incoming>,
    peer: SocketAddr,
    router: Router,
    asking: Asking,
) -> Result<Response<Body>, Infallible> {
    request.extensions_mut().insert(ConnectInfo(peer));
    let answer = router.oneshot(request).await?;
    // It goes with the body, which may be a stream that lasts.
    let held = move |body: Body| {
        Body::new(body.map_frame(move |frame| {
            let _ = &asking;
            frame
        }))
    };
    Ok(answer.map(held))
}

/// While it is there, its connection is asking.
struct Asking(Arc<Seat>);

impl Asking {
    fn begin(seat: &Arc<Seat>) -> Self {
        seat.is_asking.store(true, Ordering::Relaxed);
        Self(Arc::clone(seat))
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.is_asking.store(false, Ordering::Relaxed);
    }
}
