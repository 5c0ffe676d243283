//! The load: keep-alive clients that send prepared bytes, as fast as they are answered or by a timetable.
//!
//! It shares the cores with what it measures, so it does as little as it can: no HTTP library, one thread for all
//! clients that wait for each other, nothing built for a request.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream as BlockingStream};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::callback::{self, Numbered};
use crate::clock::Instant;

/// No round takes longer.
const LIMIT: Duration = Duration::from_secs(60);
/// Clients that keep a timetable; each has one request under way at most, so together they bear a stall of a second.
const PUNCTUAL: u64 = 32;

/// Numbers for events, none of them twice in a run.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// When a round is over.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Until {
    /// So many were sent.
    Sent(u64),
    /// So long was sent.
    Elapsed(Duration),
}

/// What a round came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    pub(crate) events: u64,
    pub(crate) took: Duration,
}

impl Rate {
    pub(crate) fn per_second(self) -> f64 {
        self.events as f64 / self.took.as_secs_f64()
    }
}

/// A round's end, which all its clients look at before each request.
#[derive(Debug)]
struct Round {
    left: AtomicU64,
    end: Instant,
}

impl Round {
    fn goes_on(&self) -> bool {
        let take_one = |left: u64| left.checked_sub(1);
        Instant::now() < self.end
            && self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take_one).is_ok()
    }
}

/// That many clients, each with its next callback as soon as the last was answered 200.
pub(crate) fn closed_loop(to: SocketAddr, clients: usize, until: Until) -> Result<Rate, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("no runtime for the clients: {error}"))?;
    runtime.block_on(async {
        let mut streams = Vec::new();
        for _ in 0..clients {
            let stream = TcpStream::connect(to).await.map_err(|error| format!("cannot connect: {error}"))?;
            stream.set_nodelay(true).map_err(|error| error.to_string())?;
            streams.push(stream);
        }
        let begun = Instant::now();
        let round = Arc::new(match until {
            Until::Sent(events) => Round { left: AtomicU64::new(events), end: begun + LIMIT },
            Until::Elapsed(time) => Round { left: AtomicU64::new(u64::MAX), end: begun + time },
        });
        let request = callback::request();
        let mut tasks = JoinSet::new();
        for stream in streams {
            tasks.spawn(client(stream, request.clone(), Arc::clone(&round)));
        }
        let mut events = 0;
        while let Some(client) = tasks.join_next().await {
            events += client.map_err(|error| error.to_string())??;
        }
        match until {
            Until::Sent(wanted) if events != wanted => {
                Err(format!("only {events} of {wanted} callbacks were answered within {LIMIT:?}"))
            }
            _ => Ok(Rate { events, took: begun.elapsed() }),
        }
    })
}

async fn client(mut stream: TcpStream, mut request: Numbered, round: Arc<Round>) -> Result<u64, String> {
    let mut answer = [0; 1024];
    let mut sent = 0;
    while round.goes_on() {
        let bytes = request.with(NEXT.fetch_add(1, Ordering::Relaxed));
        stream.write_all(bytes).await.map_err(|error| format!("cannot send: {error}"))?;
        let mut read = 0;
        while !is_whole(answer.get(..read)) {
            let room = answer.get_mut(read..).unwrap_or_default();
            read += match stream.read(room).await {
                Ok(0) => return Err("a connection was closed under a request".to_owned()),
                Ok(bytes) => bytes,
                Err(error) => return Err(format!("no answer: {error}")),
            };
        }
        accepted(answer.get(..read))?;
        sent += 1;
    }
    Ok(sent)
}

/// Every answer that is waited for here is a head without a body.
fn is_whole(answer: Option<&[u8]>) -> bool {
    answer.is_some_and(|answer| answer.ends_with(b"\r\n\r\n"))
}

fn accepted(answer: Option<&[u8]>) -> Result<(), String> {
    let answer = answer.unwrap_or_default();
    if answer.starts_with(b"HTTP/1.1 200 ") {
        return Ok(());
    }
    Err(format!("a callback was not accepted: {}", String::from_utf8_lossy(answer)))
}

/// Sends that many a second for that long, by a timetable that waits for no answer, and tells how long after its time
/// in the table each was answered. So a stall counts for each request that it delayed.
pub(crate) fn open_loop(to: SocketAddr, per_second: u64, time: Duration) -> Result<Vec<Duration>, String> {
    let (interval, slots) = timetable(per_second, time);
    let ready = Arc::new(Barrier::new(PUNCTUAL as usize));
    let request = callback::request();
    let clients: Vec<_> = (0..PUNCTUAL)
        .map(|client| {
            let (ready, request) = (Arc::clone(&ready), request.clone());
            let slots = (client..slots).step_by(PUNCTUAL as usize);
            let due = slots.map(move |slot| interval * u32::try_from(slot).unwrap_or(u32::MAX));
            thread::spawn(move || punctual(to, request, due, &ready))
        })
        .collect();
    let mut latencies = Vec::new();
    for client in clients {
        latencies.extend(client.join().map_err(|_| "a client panicked".to_owned())??);
    }
    Ok(latencies)
}

fn timetable(per_second: u64, time: Duration) -> (Duration, u64) {
    (Duration::from_secs(1).div_f64(per_second as f64), (time.as_secs_f64() * per_second as f64) as u64)
}

fn punctual(
    to: SocketAddr,
    mut request: Numbered,
    due: impl Iterator<Item = Duration>,
    ready: &Barrier,
) -> Result<Vec<Duration>, String> {
    let connected = connect(to);
    ready.wait();
    let (mut stream, begun) = (connected?, Instant::now());
    let mut latencies = Vec::new();
    for due in due {
        thread::sleep(due.saturating_sub(begun.elapsed()));
        exchange(&mut stream, request.with(NEXT.fetch_add(1, Ordering::Relaxed)))?;
        latencies.push(begun.elapsed().saturating_sub(due));
    }
    Ok(latencies)
}

/// A connection that gives up after [`LIMIT`].
pub(crate) fn connect(to: SocketAddr) -> Result<BlockingStream, String> {
    let connect = || {
        let stream = BlockingStream::connect(to)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LIMIT))?;
        Ok(stream)
    };
    connect().map_err(|error: std::io::Error| format!("cannot connect: {error}"))
}

/// Sends one callback and waits for its 200.
pub(crate) fn exchange(stream: &mut BlockingStream, request: &[u8]) -> Result<(), String> {
    stream.write_all(request).map_err(|error| format!("cannot send: {error}"))?;
    let mut answer = [0; 1024];
    let mut read = 0;
    while !is_whole(answer.get(..read)) {
        let room = answer.get_mut(read..).unwrap_or_default();
        read += match stream.read(room) {
            Ok(0) => return Err("a connection was closed under a request".to_owned()),
            Ok(bytes) => bytes,
            Err(error) => return Err(format!("no answer: {error}")),
        };
    }
    accepted(answer.get(..read))
}

/// Appends a body to a file and syncs it, that often a second for that long; tells how long each took.
pub(crate) fn raw_syncs(folder: &Path, per_second: u64, time: Duration) -> Result<Vec<Duration>, String> {
    let append = || {
        let path = folder.join("raw");
        let mut file = std::fs::File::create(&path)?;
        let (interval, slots) = timetable(per_second, time);
        let (mut body, begun) = (callback::body(), Instant::now());
        let mut latencies = Vec::new();
        for slot in 0..slots {
            let due = interval * u32::try_from(slot).unwrap_or(u32::MAX);
            thread::sleep(due.saturating_sub(begun.elapsed()));
            let started = Instant::now();
            file.write_all(body.with(slot))?;
            file.sync_data()?;
            latencies.push(started.elapsed());
        }
        std::fs::remove_file(path)?;
        Ok(latencies)
    };
    append().map_err(|error: std::io::Error| format!("cannot append to a file: {error}"))
}

/// A number that no event has had yet.
pub(crate) fn next_number() -> u64 {
    NEXT.fetch_add(1, Ordering::Relaxed)
}
