//! Another configuration for a relay that runs, by SIGHUP: taken as a whole or not at all, and nothing is lost by it.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};
use vod_event::{CallbackProof, PrivateKey};
use vodrelay_core::testing::event_body;

use crate::receiver::Receiver;
use crate::relay::{
    KEY, PUBLIC_URL, Process, accepted, attempt, client, configuration, free_port, send_as_vod, until,
    until_accepted, webhook,
};
use crate::sinks::is_gone;

const REFUSED: &str = "the reload was refused";
const TAKEN: &str = "is the one in force";

/// How often the log says that.
pub(crate) fn said(folder: &Path, what: &str) -> usize {
    std::fs::read_to_string(folder.join("log")).unwrap_or_default().matches(what).count()
}

/// Has the relay read that configuration, and waits for what it makes of it; answers whether it took it.
pub(crate) async fn reload(relay: &Process, folder: &Path, config: &str) -> bool {
    std::fs::write(folder.join("vodrelay.toml"), config).unwrap();
    let (taken, refused) = (said(folder, TAKEN), said(folder, REFUSED));
    relay.hang_up();
    let is_heard = || said(folder, TAKEN) > taken || said(folder, REFUSED) > refused;
    until("the end of the reload", Duration::from_secs(20), is_heard).await;
    said(folder, TAKEN) > taken
}

/// A webhook besides.
fn second(address: SocketAddr) -> String {
    webhook(address).replace("sinks.hook", "sinks.second")
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_reloads_under_load_lose_nothing_and_give_no_callback_up() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (first, other) = (Receiver::start().await, Receiver::start().await);
    let (http, admin) = (free_port(), free_port());
    let base = configuration(http, admin) + &webhook(first.address);
    let mut relay = Process::start_with(folder, &base, http, admin).await;

    let over = Arc::new(AtomicBool::new(false));
    let sender = |number: usize| {
        let over = Arc::clone(&over);
        tokio::spawn(async move {
            let client = client();
            let mut sent = Vec::new();
            for count in 0.. {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                let body = event_body(number * 1_000_000 + count);
                assert!(send_as_vod(&client, http, body.clone()).await, "a callback was given up");
                sent.push(body);
                sleep(Duration::from_millis(2)).await;
            }
            sent
        })
    };
    let senders: Vec<_> = (0..4).map(sender).collect();
    for round in 0..20 {
        sleep(Duration::from_millis(100)).await;
        // The key that is used stays among those that are changed, and every other time there is a sink more.
        let keys = format!(r#"keys = ["{KEY}", "Another{round:04}Key"]"#);
        let mut config = base.replace(&format!(r#"keys = ["{KEY}"]"#), &keys);
        if round % 2 == 0 {
            config += &second(other.address);
        }
        // A sink is not taken out while something waits for it, which it does only where the disk stalls.
        let deadline = Instant::now() + Duration::from_secs(60);
        while !reload(&relay, folder, &config).await {
            let has_stalled = said(folder, "their three seconds would not do") > 0;
            assert!(has_stalled && said(folder, "sinks.second: ") > 0, "round {round}: {}", log(folder));
            assert!(Instant::now() < deadline, "round {round}: {}", log(folder));
        }
    }
    over.store(true, Ordering::Relaxed);
    let mut sent = Vec::new();
    for sender in senders {
        sent.extend(sender.await.unwrap());
    }
    let all = sent.len();
    until("all deliveries", Duration::from_secs(30), || first.count() == all).await;
    assert!(sent.iter().all(|body| first.has(body)));
    assert_eq!(first.deliveries(), all, "nothing twice, since nothing crashed");
    assert!(other.count() > 0 && other.bodies().iter().all(|body| sent.contains(body)));
    assert_eq!(other.deliveries(), other.count());
    let is_done = || is_gone(folder, "second");
    until("the end of what the sink had that was taken out", Duration::from_secs(20), is_done).await;
    assert_eq!(relay.terminate(), Some(0));
}

pub(crate) fn log(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("log")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_in_a_file_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (http, admin) = (free_port(), free_port());
    let config = configuration(http, admin).replace(&format!(r#"["{KEY}"]"#), r#"[{ file = "key" }]"#);
    std::fs::write(folder.join("key"), KEY).unwrap();
    let relay = Process::start_with(folder, &config, http, admin).await;
    let client = client();
    accepted(&client, http, event_body(1)).await;
    std::fs::write(folder.join("key"), "Rotated20261125Key").unwrap();
    assert_eq!(attempt(&client, http, event_body(2), "Rotated20261125Key").await, Some(401));
    assert!(reload(&relay, folder, &config).await, "{}", log(folder));
    until_accepted(async || attempt(&client, http, event_body(2), "Rotated20261125Key").await).await;
    assert_eq!(attempt(&client, http, event_body(3), KEY).await, Some(401));
    assert_eq!(said(folder, "http.callbacks.main.keys[0] (what its file holds)"), 1, "{}", log(folder));
    assert_eq!(said(folder, r#""changed":"nothing""#), 0, "{}", log(folder));
    assert!(reload(&relay, folder, &config).await, "{}", log(folder));
    assert_eq!(said(folder, r#""changed":"nothing""#), 1, "{}", log(folder));
    assert_eq!(said(folder, "Rotated20261125Key"), 0, "a secret stands in the log");

    let fixed = config.replace(&http.to_string(), &free_port().to_string());
    assert!(!reload(&relay, folder, &fixed).await, "{}", log(folder));
    let mut audit = serde_json::Value::Null;
    for _ in 0..100 {
        let asked = client.get(format!("http://{admin}/api/v1/audit")).send().await.unwrap();
        audit = serde_json::from_str(&asked.text().await.unwrap()).unwrap();
        if audit["audit"].as_array().is_some_and(|deeds| deeds.len() == 3) {
            break;
        }
        sleep(Duration::from_millis(50)).await;
    }
    let [refused, nothing, first] = [0, 1, 2].map(|number| &audit["audit"][number]);
    assert_eq!(first["action"], "reload", "{audit}");
    assert_eq!(first["result"]["changed"][0], "http.callbacks.main.keys[0] (what its file holds)");
    assert_eq!((&nothing["status"], &nothing["result"]["changed"]), (&200.into(), &serde_json::json!([])));
    assert_eq!(refused["status"], 409, "{audit}");
}

/// A callback whose head was received, and whose body was not sent yet.
struct InHand {
    connection: TcpStream,
    body: Bytes,
}

impl InHand {
    async fn begin(to: SocketAddr, body: Bytes) -> Self {
        let proof = CallbackProof::make(PUBLIC_URL, &PrivateKey::new(KEY), jiff::Timestamp::now());
        let head = format!(
            "POST /vod/callback HTTP/1.1\r\nhost: x\r\nconnection: close\r\nexpect: 100-continue\r\n\
             content-length: {}\r\n{}: {}\r\n{}: {}\r\n\r\n",
            body.len(),
            CallbackProof::TIMESTAMP_HEADER,
            proof.timestamp,
            CallbackProof::SIGNATURE_HEADER,
            proof.signature_hex()
        );
        let mut connection = TcpStream::connect(to).await.unwrap();
        connection.write_all(head.as_bytes()).await.unwrap();
        // It is sent by whoever begins to read the body.
        let mut answer = [0; 25];
        connection.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 100 Continue\r\n\r\n");
        Self { connection, body }
    }

    /// Sends the body, and answers how the answer begins.
    async fn end(mut self) -> String {
        self.connection.write_all(&self.body).await.unwrap();
        let mut answer = String::new();
        self.connection.read_to_string(&mut answer).await.unwrap();
        answer.chars().take("HTTP/1.1 200".len()).collect()
    }
}

/// Two tenants, each with a callback and a sink of its own; whose callback has which name is another matter.
fn tenants(http: SocketAddr, admin: SocketAddr, sinks: [SocketAddr; 2], names: [&str; 2]) -> String {
    let [of_x, of_y] = names;
    let mut config = configuration(http, admin).replace("callbacks.main", &format!("callbacks.{of_x}"));
    let other_url = PUBLIC_URL.replace("/vod/callback", "/other");
    write!(config, "[http.callbacks.{of_y}]\npublic_url = \"{other_url}\"\nkeys = [\"{KEY}\"]\n").unwrap();
    for (sink, (name, callback)) in sinks.into_iter().zip([("x", of_x), ("y", of_y)]) {
        let only = format!("[sinks.{name}]\nsources = [\"callbacks.{callback}\"]");
        config +=
            &webhook(sink).replace("[sinks.hook]", &only).replace("sinks.hook", &format!("sinks.{name}"));
    }
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_in_hand_is_routed_as_it_would_have_been_before() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (x, y) = (Receiver::start().await, Receiver::start().await);
    let (http, admin) = (free_port(), free_port());
    let named = |names| tenants(http, admin, [x.address, y.address], names);
    let relay = Process::start_with(folder, &named(["first", "second"]), http, admin).await;

    let in_hand = InHand::begin(http, event_body(1)).await;
    assert!(reload(&relay, folder, &named(["second", "first"])).await, "{}", log(folder));
    assert_eq!(in_hand.end().await, "HTTP/1.1 200");
    accepted(&client(), http, event_body(2)).await;
    until("both deliveries", Duration::from_secs(10), || x.count() + y.count() == 2).await;
    assert_eq!((x.count(), y.count()), (2, 0), "an event of one tenant came to the other");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_is_taken_out_gets_what_was_in_hand_two_reloads_ago() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (stays, gone) = (Receiver::start().await, Receiver::start().await);
    let (http, admin) = (free_port(), free_port());
    let base = configuration(http, admin) + &webhook(stays.address);
    let both = base.clone() + &second(gone.address);
    let relay = Process::start_with(folder, &both, http, admin).await;

    let in_hand = InHand::begin(http, event_body(1)).await;
    assert!(reload(&relay, folder, &both.replace("[http]", "[http]\nbody_limit = \"2MiB\"")).await);
    assert!(reload(&relay, folder, &base).await, "{}", log(folder));
    // Long enough for a sink that is waited for too little.
    sleep(Duration::from_millis(300)).await;
    assert_eq!(in_hand.end().await, "HTTP/1.1 200");
    until("both deliveries", Duration::from_secs(20), || stays.count() + gone.count() == 2).await;
    assert_eq!((stays.count(), gone.count()), (1, 1));
    let is_let_go = || said(folder, "the sink that was taken out has got all that was its") == 1;
    until("the end of the sink", Duration::from_secs(20), is_let_go).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_missing_for_a_moment_is_neither_another_nor_none() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (http, admin) = (free_port(), free_port());
    let file = folder.join("vodrelay.toml");
    std::fs::write(&file, configuration(http, admin)).unwrap();
    // With these in the environment, a relay without any file would be a relay without any callback.
    let child = Command::new(env!("CARGO_BIN_EXE_vodrelay"))
        .arg("serve")
        .current_dir(folder)
        .env("STATE_DIRECTORY", folder.join("data"))
        .env("VODRELAY__HTTP__LISTEN", http.to_string())
        .env("VODRELAY__ADMIN__LISTEN", admin.to_string())
        .env("VODRELAY__JOURNAL__MIN_FREE", "256MiB")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(folder.join("log")).unwrap())
        .spawn()
        .unwrap();
    let relay = Process::of(child);
    until("the relay", Duration::from_secs(20), || said(folder, "the relay is ready") == 1).await;

    std::fs::rename(&file, folder.join("moved")).unwrap();
    relay.hang_up();
    let is_heard = || said(folder, REFUSED) + said(folder, TAKEN) == 1;
    until("the end of the reload", Duration::from_secs(20), is_heard).await;
    assert_eq!(said(folder, REFUSED), 1, "{}", log(folder));
    accepted(&client(), http, event_body(1)).await;
    std::fs::rename(folder.join("moved"), &file).unwrap();
    relay.hang_up();
    until("a reload", Duration::from_secs(20), || said(folder, TAKEN) == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_when_its_token_is_gone_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (http, admin) = (free_port(), free_port());
    let base = configuration(http, admin);
    let with_token = |name: &str| format!("[admin.tokens.{name}]\ntoken = \"of-{name}\"\nrole = \"read\"\n");
    let both = base.clone() + &with_token("stays") + &with_token("goes");
    let relay = Process::start_with(folder, &both, http, admin).await;
    let client = client();
    let listen = async |name: &str| {
        let asked = client.get(format!("http://{admin}/api/v1/stream")).bearer_auth(format!("of-{name}"));
        let answer = asked.timeout(Duration::from_secs(60)).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer
    };
    let (mut stays, goes) = (listen("stays").await, listen("goes").await);

    assert!(reload(&relay, folder, &(base + &with_token("stays"))).await, "{}", log(folder));
    let told = goes.text().await.unwrap();
    assert!(told.ends_with("event: end\ndata: {\"reason\":\"token_gone\"}\n\n"), "{told}");
    accepted(&client, http, event_body(1)).await;
    let mut told = String::new();
    while !told.contains("event: accepted") {
        let piece = stays.chunk().await.unwrap().unwrap_or_else(|| panic!("it ended: {told}"));
        told += std::str::from_utf8(&piece).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_that_is_refused_leaves_all_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (http, admin, nobody) = (free_port(), free_port(), free_port());
    let plain = configuration(http, admin);
    let base = plain.clone() + &webhook(nobody);
    let relay = Process::start_with(folder, &base, http, admin).await;
    let client = client();
    for number in 0..8 {
        accepted(&client, http, event_body(number)).await;
    }
    // Five failures in a row open the breaker: the sink does not keep up.
    until("the breaker", Duration::from_secs(20), || said(folder, "fails for every event") > 0).await;

    let with_another_key = |config: &str| config.replace(KEY, "Another0000Key");
    let mut elsewhere = with_another_key(&base);
    write!(elsewhere, "\n[http.refused]\nkeep = \"1MiB\"\n").unwrap();
    for (config, why) in [
        (with_another_key(&base).replace("webhook", "webhoook"), "sinks.hook.kind"),
        (with_another_key(&base) + "[http.callbacks.main.lables]", "lables"),
        (elsewhere, "http.refused.keep"),
        (with_another_key(&base).replace(&http.to_string(), "127.0.0.1:1"), "http.listen"),
        (with_another_key(&plain), "sinks.hook: 8 wait"),
    ] {
        assert!(!reload(&relay, folder, &config).await, "{why}: {}", log(folder));
        assert!(said(folder, why) > 0, "{why}: {}", log(folder));
        accepted(&client, http, event_body(1)).await;
    }
    let receiver = Receiver::start().await;
    let mended = plain + &webhook(receiver.address);
    assert!(reload(&relay, folder, &mended).await, "{}", log(folder));
    until("what waited, at the new address", Duration::from_secs(60), || receiver.count() == 8).await;
}
