//! The callback receiver, as a client with a socket meets it: whatever is sent, it answers or closes, and what it says
//! 200 to is in the journal.
#![no_main]

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use vodrelay_core::config::Surroundings;
use vodrelay_core::testing::{ManualClock, MemoryJournal};
use vodrelay_core::{Clock, Intake, Journal, Ledger, Routes};
use vodrelay_http::{Config, Receiver, serve};

const YES: &[u8] = b" 200 OK\r\n";

const CONFIG: &str = r#"
body_limit = "4KiB"
trusted_proxies = ["127.0.0.0/8"]
[callbacks.main]
public_url = "https://hooks.example.com/vod"
keys = ["Abcdef0123456789"]
[callbacks.open]
public_url = "https://hooks.example.com/open"
allow_unsigned = true
"#;

/// The moment that the seeds were signed at.
const NOW: i64 = 1_700_000_000;

/// After so many a receiver with an empty journal takes over: what is kept in memory, refusals too, must not be what the
/// fuzzer runs out of memory for.
const EXCHANGES_EACH: usize = 500;

static SERVER: LazyLock<Mutex<Server>> = LazyLock::new(|| Mutex::new(Server::start()));

struct Server {
    runtime: Runtime,
    address: SocketAddr,
    journal: Arc<MemoryJournal>,
    exchanges: usize,
}

impl Server {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let clock = Arc::new(ManualClock::default());
        clock.set(jiff::Timestamp::from_second(NOW).expect("a moment"));
        let journal = Arc::new(MemoryJournal::new(Arc::clone(&clock) as Arc<dyn Clock>));
        let address = runtime.block_on(async {
            let (intake, keeper) =
                Intake::new(Arc::clone(&journal) as Arc<dyn Journal>, Arc::new(Routes::default()));
            tokio::spawn(keeper.run(Arc::clone(&journal) as Arc<dyn Ledger>));
            let config: Config = toml::from_str(CONFIG).expect("a configuration");
            let settings = config.resolve(&Surroundings::default()).expect("settings");
            let receiver = Receiver::new(settings, intake, clock);
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let address = listener.local_addr().expect("an address");
            tokio::spawn(serve(listener, receiver, CancellationToken::new()));
            address
        });
        Self { runtime, address, journal, exchanges: 0 }
    }

    /// What is answered to these bytes, and what of it changed in the journal: new events, and repeats.
    fn exchange(&mut self, request: &[u8]) -> (Vec<u8>, u64, u64) {
        self.exchanges += 1;
        self.runtime.block_on(async {
            let before = self.journal.totals().await.expect("a journal that works");
            // The time limit is made inside the runtime, whose clock it needs.
            let answered = timeout(Duration::from_secs(10), ask(self.address, request)).await;
            let after = self.journal.totals().await.expect("a journal that works");
            let answer = answered.expect("a connection ends within the receiver's patience");
            (answer, after.events - before.events, after.duplicates - before.duplicates)
        })
    }
}

async fn ask(address: SocketAddr, request: &[u8]) -> Vec<u8> {
    let mut answer = Vec::new();
    let mut stream = TcpStream::connect(address).await.expect("the receiver takes connections");
    // It may have answered and left before everything was sent.
    let _ = stream.write_all(request).await;
    let _ = stream.shutdown().await;
    let _ = stream.read_to_end(&mut answer).await;
    answer
}

fuzz_target!(|bytes: &[u8]| {
    let mut server = SERVER.lock().expect("nobody goes on after a panic");
    if server.exchanges == EXCHANGES_EACH {
        *server = Server::start();
    }
    let (answer, events, repeats) = server.exchange(bytes);
    // The health path says 200 too.
    if !contains(bytes, b"/healthz") {
        let yeses = answer.windows(YES.len()).filter(|window| *window == YES).count() as u64;
        assert!(
            yeses <= events + repeats,
            "{yeses} times 200, and {events} new and {repeats} repeated events"
        );
    }
    // What comes in chunks does not stand in the request as it is.
    if events > 0 && !contains(&bytes.to_ascii_lowercase(), b"chunked") {
        let is_kept = server.journal.events().iter().any(|event| contains(bytes, &event.body));
        assert!(is_kept, "what is kept is what was sent");
    }
});

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    part.is_empty() || bytes.windows(part.len()).any(|window| window == part)
}
