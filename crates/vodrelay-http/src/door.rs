//! The door: lets connections in while there are places, has room made while there are none, and turns those away that
//! would have to wait outside for too long.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout};
use vodrelay_core::Live;
use vodrelay_core::burst::Burst;

use crate::connections::Connections;
use crate::pace::WELCOME;
use crate::receiver::Receiver;

/// When no room was found, it takes so long until there may be some.
const LOOK_AGAIN: Duration = Duration::from_millis(25);
/// For so long others wait outside while no room is found. By then everybody who only waits for a client has been
/// closed, so all are at work. The kernel's queue is short, and whoever comes when it is full finds nobody to say so;
/// whoever is told 503 comes again in a second.
const PATIENCE: Duration = WELCOME.saturating_add(Duration::from_millis(500));
/// So many at a time hear that they are turned away; beyond that they find their connection closed.
const LEAVING: usize = 256;
/// For so long, since the answer is thrown away by the kernel of a client that is still sending.
const LEAVE: Duration = Duration::from_secs(1);
const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

pub(crate) enum Never {}

/// Watches over the places.
#[derive(Debug)]
pub(crate) struct Door<'a> {
    listener: &'a TcpListener,
    receiver: &'a Live<Receiver>,
    connections: &'a Connections,
    /// Since when no room was found, while there are more that want in than there are places …
    in_vain_since: Option<Instant>,
    /// … and when it was looked for last.
    looked_at: Option<Instant>,
    leaving: Arc<Semaphore>,
    failures: Burst,
}

impl<'a> Door<'a> {
    pub(crate) fn new(
        listener: &'a TcpListener,
        receiver: &'a Live<Receiver>,
        connections: &'a Connections,
    ) -> Self {
        Self {
            listener,
            receiver,
            connections,
            in_vain_since: None,
            looked_at: None,
            leaving: Arc::new(Semaphore::new(LEAVING)),
            failures: Burst::default(),
        }
    }

    pub(crate) async fn run(mut self) -> Never {
        loop {
            let place = self.place().await;
            match self.accept(place.is_some()).await {
                Ok((stream, peer)) => match place.or_else(|| self.connections.free_place()) {
                    Some(place) => self.connections.spawn(stream, peer, self.receiver.clone(), place),
                    None => self.turn_away(stream),
                },
                // The client has gone already; the listener is fine.
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    // Most likely no descriptors are left; a connection that is closed gives one back.
                    if self.failures.begins(Instant::now()) {
                        tracing::error!(
                            error = %error,
                            "failed to accept a connection; it is tried ten times a second until it works, and said once"
                        );
                    }
                    self.connections.make_room();
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    /// A place for the next connection; none if it is to be turned away.
    async fn place(&mut self) -> Option<OwnedSemaphorePermit> {
        loop {
            if let Some(place) = self.connections.free_place() {
                return Some(place);
            }
            if self.looked_at.is_none_or(|at| at.elapsed() >= LOOK_AGAIN) {
                self.look_for_room();
            }
            if self.in_vain_since.is_some_and(|since| since.elapsed() >= PATIENCE) {
                return None;
            }
            if let Some(place) = self.connections.next_place(LOOK_AGAIN).await {
                return Some(place);
            }
        }
    }

    /// Where all are at work, each of them makes room once it has its answer.
    fn look_for_room(&mut self) {
        let is_made = self.connections.make_room();
        self.receiver.current().crowd(!is_made);
        let now = (!is_made).then(Instant::now);
        (self.looked_at, self.in_vain_since) = (now, now.and(self.in_vain_since.or(now)));
    }

    /// The next connection. Where it has to be waited for though there is a place, nobody stands outside any more.
    async fn accept(&mut self, has_place: bool) -> io::Result<(TcpStream, SocketAddr)> {
        poll_fn(|cx| {
            let accepted = self.listener.poll_accept(cx);
            if accepted.is_pending() && has_place {
                self.receiver.current().crowd(false);
                self.in_vain_since = None;
            }
            accepted
        })
        .await
    }

    fn turn_away(&self, stream: TcpStream) {
        let receiver = self.receiver.current();
        receiver.turned_away_unread();
        // Whoever expects TLS would not understand it.
        if receiver.identity().is_some() {
            return;
        }
        if let Ok(permit) = Arc::clone(&self.leaving).try_acquire_owned() {
            self.connections.tasks.spawn(async move {
                let _ = timeout(LEAVE, say_busy(stream)).await;
                drop(permit);
            });
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn say_busy(mut stream: TcpStream) -> io::Result<()> {
    stream.write_all(BUSY).await?;
    stream.shutdown().await?;
    let mut rest = [0; 4096];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use vodrelay_core::config::Surroundings;
    use vodrelay_core::testing::MemoryJournal;
    use vodrelay_core::{Clock, Intake, Routes, SystemClock};

    use super::*;

    const OPEN: &str =
        r#"callbacks.open = { public_url = "https://x.example.com/open", allow_unsigned = true }"#;

    /// So many places, and clients that come to them; the sweep does not run.
    async fn check<F: Future<Output = ()>>(most: usize, clients: impl FnOnce(SocketAddr) -> F) {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let journal = Arc::new(MemoryJournal::new(Arc::clone(&clock)));
        let (intake, _keeper) = Intake::new(journal, Arc::new(Routes::default()));
        let config: crate::Config = toml::from_str(OPEN).unwrap();
        let settings = config.resolve(&Surroundings::default()).unwrap();
        let receiver = Live::from(Receiver::new(settings, intake, clock));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Connections::new(most);
        tokio::select! {
            never = Door::new(&listener, &receiver, &connections).run() => match never {},
            () = clients(address) => {}
        }
    }

    async fn connect(address: SocketAddr, sends: &str) -> TcpStream {
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(sends.as_bytes()).await.unwrap();
        client
    }

    /// One request on a connection of its own, which stays.
    async fn ask(address: SocketAddr) -> TcpStream {
        let mut client = connect(address, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
        let mut answer = [0; 12];
        let read = timeout(Duration::from_secs(10), client.read_exact(&mut answer)).await;
        read.expect("there is room before long").unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
        client
    }

    #[tokio::test]
    async fn when_all_places_are_taken_the_longest_idle_connection_makes_room() {
        let clients = async |address| {
            let mut clients = Vec::new();
            for _ in 0..3 {
                clients.push(connect(address, "").await);
                sleep(Duration::from_millis(20)).await;
            }
            assert_eq!(clients[0].read(&mut [0]).await.unwrap(), 0, "the first was idle longest");
            let second = timeout(Duration::from_millis(100), clients[2].read(&mut [0])).await;
            assert!(second.is_err(), "the last is open");
        };
        check(2, clients).await;
    }

    #[tokio::test(start_paused = true)]
    async fn heads_that_do_not_end_make_room_too() {
        let clients = async |address| {
            let _slow = [connect(address, "POST /v").await, connect(address, "POST /v").await];
            ask(address).await;
        };
        check(2, clients).await;
    }

    #[tokio::test]
    async fn who_has_an_answer_makes_room_while_others_wait_outside() {
        let clients = async |address| {
            let unfinished = "POST /open HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{";
            let mut at_work = [connect(address, unfinished).await, connect(address, unfinished).await];
            sleep(Duration::from_millis(50)).await;
            let (next, ()) = tokio::join!(ask(address), async {
                sleep(Duration::from_millis(50)).await;
                at_work[0].write_all(b"}").await.unwrap();
                let mut answer = String::new();
                at_work[0].read_to_string(&mut answer).await.unwrap();
                assert!(answer.to_lowercase().contains("\r\nconnection: close\r\n"), "{answer}");
            });
            drop((next, at_work));
        };
        check(2, clients).await;
    }

    #[tokio::test(start_paused = true)]
    async fn who_finds_all_at_work_is_told_so_before_long() {
        let clients = async |address| {
            let unfinished = "POST /open HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{";
            let _at_work = [connect(address, unfinished).await, connect(address, unfinished).await];
            let came = Instant::now();
            let mut answer = String::new();
            let mut outside = connect(address, "POST /open HTTP/1.1\r\n").await;
            let read = timeout(Duration::from_secs(10), outside.read_to_string(&mut answer)).await;
            read.expect("there is an answer before long").unwrap();
            assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
            assert!(came.elapsed() < Duration::from_secs(2), "{:?} on a clock that stands", came.elapsed());
        };
        check(2, clients).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_that_is_idle_is_turned_out_as_fast_as_others_come() {
        let clients = async |address| {
            let mut idle = Vec::new();
            for _ in 0..64 {
                idle.push(connect(address, "").await);
            }
            sleep(WELCOME).await;
            let (came, mut others) = (Instant::now(), Vec::new());
            for _ in 0..64 {
                others.push(ask(address).await);
            }
            assert!(came.elapsed() < Duration::from_secs(1), "{:?} on a clock that stands", came.elapsed());
        };
        check(64, clients).await;
    }
}
