//! How a connection keeps pace: in which phase it is, since when, and for how long it may stay there.
//!
//! hyper has one timer for a head and none for a stalled write, and counts neither from the first byte. Here the
//! transport notes what happens, at the price of two atomic stores for a request, and one sweep over all connections
//! closes those that overstay.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::Instant;

/// From the first byte of a head, the provider waits five seconds; three leave room for the way there and back.
pub(crate) const BUDGET: Duration = Duration::from_secs(3);

/// For so long no connection is closed for another one.
pub(crate) const WELCOME: Duration = Duration::from_secs(1);

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// Between two requests, or before the first.
    Idle,
    /// The first byte of a head is here, and the head is not whole.
    Head,
    /// A request is being received; whoever receives it keeps the time.
    InHand,
    /// The answer is on its way out.
    Answered,
    /// The answer is out, and what the client still sends is thrown away.
    Lingering,
}

impl Phase {
    /// For how long a connection may stay in the phase.
    pub(crate) const fn limit(self) -> Duration {
        match self {
            Self::Idle => Duration::from_secs(75),
            Self::Head => BUDGET,
            // Only a safety net: the receiver answers within the budget.
            Self::InHand => Duration::from_secs(30),
            Self::Answered => Duration::from_secs(5),
            Self::Lingering => Duration::from_secs(1),
        }
    }

    /// After what time a connection in the phase may be closed for another one, where that waits for its client alone.
    pub(crate) const fn welcome(self) -> Option<Duration> {
        match self {
            // Its request may be on the way.
            Self::Idle => Some(WELCOME),
            // A head comes in one piece, nearly always, and the rest of a body is of no use.
            Self::Head | Self::Lingering => Some(Duration::from_millis(250)),
            Self::InHand | Self::Answered => None,
        }
    }

    const fn of(number: u64) -> Self {
        match number {
            0 => Self::Idle,
            1 => Self::Head,
            2 => Self::InHand,
            3 => Self::Answered,
            _ => Self::Lingering,
        }
    }
}

/// The pace of one connection, shared by its transport, its requests and the sweep.
#[derive(Debug)]
pub(crate) struct Pace {
    epoch: Instant,
    /// Microseconds since the epoch, and the phase in the lowest three bits.
    state: AtomicU64,
    served: AtomicBool,
    lingers: AtomicBool,
    closing: Notify,
}

impl Pace {
    /// A new connection. `epoch` lies before it and is the same for all.
    pub(crate) fn new(epoch: Instant) -> Self {
        let pace = Self {
            epoch,
            state: AtomicU64::new(0),
            served: AtomicBool::new(false),
            lingers: AtomicBool::new(false),
            closing: Notify::new(),
        };
        pace.enter(Phase::Idle);
        pace
    }

    /// The phase, and since when.
    pub(crate) fn phase(&self) -> (Phase, Instant) {
        let state = self.state.load(Ordering::Relaxed);
        (Phase::of(state & 7), self.epoch + Duration::from_micros(state >> 3))
    }

    /// Whether a request was received on the connection yet.
    pub(crate) fn has_served(&self) -> bool {
        self.served.load(Ordering::Relaxed)
    }

    /// Hands have been shaken, if they had to be. What counts for a request begins after that.
    pub(crate) fn open(&self) {
        self.enter(Phase::Idle);
    }

    /// A head is whole. Answers when its first byte was here; of a pipelined one, when its turn came.
    pub(crate) fn begin(&self) -> Instant {
        let (phase, since) = self.phase();
        self.served.store(true, Ordering::Relaxed);
        self.enter(Phase::InHand);
        if phase == Phase::Head { since } else { Instant::now() }
    }

    /// The request has its answer. With `unread` the client may still be sending: closing at once would make its
    /// kernel throw the answer away, so the connection lingers.
    pub(crate) fn answered(&self, unread: bool) {
        self.lingers.store(unread, Ordering::Relaxed);
        self.enter(Phase::Answered);
    }

    /// Has the connection closed, now.
    pub(crate) fn close(&self) {
        self.closing.notify_one();
    }

    /// Waits until the connection is to be closed.
    pub(crate) async fn closed(&self) {
        self.closing.notified().await;
    }

    fn enter(&self, phase: Phase) {
        let micros = u64::try_from(self.epoch.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.state.store(micros << 3 | phase as u64, Ordering::Relaxed);
    }

    fn is(&self, phase: Phase) -> bool {
        Phase::of(self.state.load(Ordering::Relaxed) & 7) == phase
    }
}

/// A transport that notes the pace.
#[derive(Debug)]
pub(crate) struct Paced<T> {
    inner: T,
    pace: Arc<Pace>,
    /// How many bytes it still takes while lingering.
    patience: usize,
}

impl<T> Paced<T> {
    pub(crate) fn new(inner: T, pace: Arc<Pace>) -> Self {
        Self { inner, pace, patience: 4 << 20 }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Paced<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.inner).poll_read(cx, buf))?;
        if buf.filled().len() > before && this.pace.is(Phase::Idle) {
            this.pace.enter(Phase::Head);
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Paced<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.inner).poll_flush(cx))?;
        if this.pace.is(Phase::Answered) {
            this.pace.enter(Phase::Idle);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.pace.is(Phase::Lingering) {
            ready!(Pin::new(&mut this.inner).poll_shutdown(cx))?;
            if !this.pace.lingers.load(Ordering::Relaxed) {
                return Poll::Ready(Ok(()));
            }
            this.pace.enter(Phase::Lingering);
        }
        this.poll_linger(cx)
    }
}

impl<T: AsyncRead + Unpin> Paced<T> {
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut scratch = [0; 4096];
        while self.patience > 0 {
            let mut buf = ReadBuf::new(&mut scratch);
            ready!(Pin::new(&mut self.inner).poll_read(cx, &mut buf))?;
            match buf.filled().len() {
                0 => break,
                read => self.patience = self.patience.saturating_sub(read),
            }
        }
        Poll::Ready(Ok(()))
    }
}
