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

static SERVER: LazyLock<Mutex<Server>> = LazyLock::new(|| Mutex::new(Server::start()));

struct Server {
    runtime: Runtime,
    address: SocketAddr,
    journal: Arc<MemoryJournal>,
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
        Self { runtime, address, journal }
    }

    async fn exchange(&self, request: &[u8]) -> Vec<u8> {
        let mut answer = Vec::new();
        let Ok(mut stream) = TcpStream::connect(self.address).await else { return answer };
        // It may have answered and left before everything was sent.
        let _ = stream.write_all(request).await;
        let _ = stream.shutdown().await;
        let _ = stream.read_to_end(&mut answer).await;
        answer
    }
}

fuzz_target!(|bytes: &[u8]| {
    // A journal in memory must not be what the fuzzer runs out of memory for.
    let mut server = SERVER.lock().expect("nobody goes on after a panic");
    if server.journal.events().len() > 500 {
        *server = Server::start();
    }
    let answered = server.runtime.block_on(timeout(Duration::from_secs(10), server.exchange(bytes)));
    let answer = answered.expect("a connection ends within the receiver's patience");
    let says_yes = contains(&answer, b"HTTP/1.1 200 OK");
    // The health path says 200 too; and what comes in chunks does not stand in the request as it is.
    if !says_yes || contains(bytes, b"/healthz") || contains(&bytes.to_ascii_lowercase(), b"chunked") {
        return;
    }
    let is_kept = server.journal.events().iter().any(|event| contains(bytes, &event.body));
    assert!(is_kept, "200 to what the journal does not have");
});

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    part.is_empty() || bytes.windows(part.len()).any(|window| window == part)
}
