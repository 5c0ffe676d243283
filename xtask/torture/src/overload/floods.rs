//! The floods: who comes in great numbers with nothing good, and what they get for it.

mod forged;
mod large;
mod slow;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::http::Message;
use crate::sender::{Sender, connect};

/// One kind.
#[derive(Debug)]
pub(crate) struct Flood {
    pub(crate) name: &'static str,
    /// How many of them there are at a time.
    size: usize,
    kind: Kind,
    /// What the proxy puts into the heads of valid callbacks meanwhile.
    pub(crate) proxy: &'static str,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    SlowHeads,
    SlowBodies,
    Idle,
    /// From so many addresses.
    Forged {
        addresses: usize,
    },
    /// From this address, through a proxy that names so many.
    Forwarded {
        addresses: usize,
    },
    TooLarge,
}

const VALID_BEHIND_PROXY: &str = "x-forwarded-for: 198.51.100.77\r\n";

pub(crate) const FLOODS: [Flood; 10] = [
    flood("2,000 heads that come a byte at a time", 2_000, Kind::SlowHeads),
    flood("6,000 of them", 6_000, Kind::SlowHeads),
    flood("500 proven bodies that trickle, half of them of 1 MiB", 500, Kind::SlowBodies),
    flood("5,000 idle connections, each made again once it is closed", 5_000, Kind::Idle),
    flood("forged callbacks from one address", 64, Kind::Forged { addresses: 1 }),
    flood("forged callbacks from 250 addresses", 250, Kind::Forged { addresses: 250 }),
    behind_proxy("the same through a proxy, from one address", 64, Kind::Forwarded { addresses: 1 }),
    behind_proxy("the same through a proxy, from 250 addresses", 64, Kind::Forwarded { addresses: 250 }),
    behind_proxy(
        "the same through a proxy, from 60,000 addresses",
        64,
        Kind::Forwarded { addresses: 60_000 },
    ),
    flood("heads and bodies that are too large", 64, Kind::TooLarge),
];

const fn flood(name: &'static str, size: usize, kind: Kind) -> Flood {
    Flood { name, size, kind, proxy: "" }
}

const fn behind_proxy(name: &'static str, size: usize, kind: Kind) -> Flood {
    Flood { name, size, kind, proxy: VALID_BEHIND_PROXY }
}

/// A flood that goes on until it is ended.
#[derive(Debug)]
pub(crate) struct Running {
    got: Got,
    tasks: JoinSet<()>,
}

/// What came back, each so often.
type Got = Arc<Mutex<BTreeMap<String, usize>>>;

/// One of a flood.
#[derive(Clone, Debug)]
struct Attacker {
    number: usize,
    to: SocketAddr,
    from: Option<IpAddr>,
    /// For those that have seen a proof.
    key: String,
    got: Got,
}

impl Flood {
    /// Comes over the relay that this sender sends to.
    pub(crate) fn start(&self, sender: &Sender) -> Running {
        let mut running = Running { got: Got::default(), tasks: JoinSet::new() };
        for number in 0..self.size() {
            let (to, key, got) = (sender.to, sender.key.clone(), Arc::clone(&running.got));
            let attacker = Attacker { number, to, from: None, key, got };
            self.kind.spawn(attacker, &mut running.tasks);
        }
        running
    }

    /// Scaled down, loudly, where there are not enough descriptors.
    fn size(&self) -> usize {
        const FOR_OTHERS: usize = 1_000;
        let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let most = usize::try_from(descriptors).unwrap_or(usize::MAX).saturating_sub(FOR_OTHERS);
        if self.size > most {
            println!("    ONLY {most} of \"{}\", since there are {descriptors} descriptors", self.name);
        }
        self.size.min(most)
    }
}

impl Kind {
    fn spawn(self, attacker: Attacker, tasks: &mut JoinSet<()>) {
        match self {
            Self::SlowHeads => tasks.spawn(slow::heads(attacker)),
            Self::SlowBodies => tasks.spawn(slow::bodies(attacker)),
            Self::Idle => tasks.spawn(slow::idle(attacker)),
            Self::Forged { addresses } => {
                let from = own_address(attacker.number % addresses);
                tasks.spawn(forged::flood(Attacker { from: Some(from), ..attacker }, None))
            }
            Self::Forwarded { addresses } => tasks.spawn(forged::flood(attacker, Some(addresses))),
            Self::TooLarge => tasks.spawn(large::flood(attacker)),
        };
    }
}

/// Every address that begins with 127 is this machine, and none of these is a trusted proxy.
fn own_address(number: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(Ipv4Addr::new(127, 0, 1, 1).to_bits() + number as u32))
}

impl Running {
    /// Ends it: what it got.
    pub(crate) async fn end(mut self) -> BTreeMap<String, usize> {
        self.tasks.shutdown().await;
        self.got.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Attacker {
    /// Waits where nobody takes connections, rather than ask for them in a loop.
    async fn connect(&self) -> Option<TcpStream> {
        let connected = connect(self.from, self.to).await;
        if connected.is_err() {
            self.count("no connection");
            sleep(Duration::from_millis(100)).await;
        }
        connected.ok()
    }

    fn count(&self, what: &str) {
        let mut got = self.got.lock().unwrap_or_else(PoisonError::into_inner);
        match got.get_mut(what) {
            Some(count) => *count += 1,
            None => _ = got.insert(what.to_owned(), 1),
        }
    }

    /// Sends piece for piece until there is an answer, or the connection is closed. True: it may be used again.
    async fn exchange(
        &self,
        stream: &mut TcpStream,
        pieces: impl Iterator<Item = impl AsRef<[u8]>>,
        pause: Duration,
    ) -> bool {
        let (mut reader, mut writer) = stream.split();
        let sending = async {
            for piece in pieces {
                if writer.write_all(piece.as_ref()).await.is_err() {
                    break;
                }
                if !pause.is_zero() {
                    sleep(pause).await;
                }
            }
            std::future::pending::<()>().await;
        };
        let mut buffer = Vec::new();
        let answer = tokio::select! {
            answer = Message::read(&mut reader, &mut buffer) => answer,
            () = sending => None,
        };
        match answer.as_ref().and_then(Message::status) {
            Some(status) => self.count(&status.to_string()),
            None => self.count("closed"),
        }
        answer.is_some_and(|answer| !answer.closes())
    }
}
