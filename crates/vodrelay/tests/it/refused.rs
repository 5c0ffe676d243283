//! A key of ours that is wrong, and mended: what is genuine among what was refused comes in after all, and nothing
//! else does.
//!
//! `RUN_SLOW_TESTS=1` has the load run for a minute, or for `REFUSED_SECONDS`.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use vod_event::{CallbackProof, PrivateKey};
use vodrelay_core::testing::event_body;
use vodrelay_core::{Ledger, Name, Refusal, RefusalCause, SourceName, SystemClock};
use vodrelay_journal::{Config, Reader, RefusedBounds, SqliteJournal};

use crate::cli::{check_in, vodrelay};
use crate::receiver::Receiver;
use crate::relay::{KEY, PUBLIC_URL, Process, client, configuration, free_port, send_as_vod, until, webhook};

const WRONG_KEY: &str = "Wrong0123456789";
/// So many events a second, each tried three times, and half as many forgeries.
const RATE: usize = 40;
/// Numbers of forged events begin here.
const FORGED: usize = 1_000_000;

fn seconds() -> usize {
    let environment: HashMap<String, String> = std::env::vars().collect();
    let asked = environment.get("REFUSED_SECONDS").and_then(|text| text.parse().ok());
    let is_slow = environment.get("RUN_SLOW_TESTS").is_some_and(|value| value == "1");
    asked.unwrap_or(if is_slow { 60 } else { 2 })
}

/// Runs a command against the relay of the folder, and answers what it prints as JSON.
fn ask(folder: &Path, words: &[&str]) -> Value {
    let words = [words, &["--json", "--config", "vodrelay.toml"]].concat();
    let output = vodrelay(folder, &words, "");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{words:?}: {said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A request with that proof, or with none.
async fn send(client: &reqwest::Client, to: SocketAddr, body: Bytes, proof: Option<CallbackProof>) {
    let mut request = client.post(format!("http://{to}/vod/callback")).body(body);
    if let Some(proof) = proof {
        request = request
            .header(CallbackProof::TIMESTAMP_HEADER, proof.timestamp().to_owned())
            .header(CallbackProof::SIGNATURE_HEADER, proof.signature_hex());
    }
    assert_eq!(request.send().await.unwrap().status(), 401);
}

/// In turn: unsigned, signed with a key that is nobody's, signed rightly for another URL.
async fn forge(client: reqwest::Client, to: SocketAddr, number: usize) {
    let proof =
        |url: &str, key: &str| Some(CallbackProof::make(url, &PrivateKey::new(key), jiff::Timestamp::now()));
    let proof = match number % 3 {
        0 => None,
        1 => proof(PUBLIC_URL, "Nobody0123456789"),
        _ => proof("https://relay.example.com/elsewhere", KEY),
    };
    send(&client, to, event_body(FORGED + number), proof).await;
}

/// Sends events and forgeries for a while; answers how many of each.
async fn load(to: SocketAddr, seconds: usize) -> (usize, usize) {
    let (client, events) = (client(), RATE * seconds);
    let mut sending = JoinSet::new();
    let mut tick = tokio::time::interval(Duration::from_secs(1) / u32::try_from(RATE).unwrap());
    for number in 0..events {
        tick.tick().await;
        let of_vod = client.clone();
        sending.spawn(async move {
            let accepted = send_as_vod(&of_vod, to, event_body(number)).await;
            assert!(!accepted, "the key is wrong");
        });
        if number % 2 == 0 {
            sending.spawn(forge(client.clone(), to, number / 2));
        }
    }
    while let Some(sent) = sending.join_next().await {
        sent.unwrap();
    }
    (events, events.div_ceil(2))
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_wrong_key_every_genuine_event_is_delivered_and_no_forged_one() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    let (http, admin) = (free_port(), free_port());
    let right = configuration(http, admin) + &webhook(receiver.address);
    let wrong = right.replace(KEY, WRONG_KEY);
    let mut relay = Process::start_with(folder.path(), &wrong, http, admin).await;
    let begun = jiff::Timestamp::now();
    let (events, forgeries) = load(http, seconds()).await;
    assert_eq!(relay.terminate(), Some(0));
    let wrong_again =
        ask_after_start(folder.path(), &wrong, http, admin, &["refused", "accept", "--callback", "main"])
            .await;
    assert_eq!((&wrong_again["accepted"], &wrong_again["merged"]), (&0.into(), &0.into()));

    let _relay = Process::start_with(folder.path(), &right, http, admin).await;
    explained(folder.path());
    let dry_run = ask(folder.path(), &["refused", "accept", "--callback", "main", "--dry-run"]);
    let mut summary = ask(folder.path(), &["refused", "accept", "--callback", "main"]);
    println!("{events} events, {forgeries} forgeries: {summary}");
    assert_eq!(summary["accepted"], events, "every genuine event, once");
    assert_eq!(summary["merged"], events * 2, "and its two other tries");
    let left = &summary["left"];
    assert_eq!(left["missing"], forgeries.div_ceil(3));
    assert_eq!(left["mismatch"], forgeries - forgeries.div_ceil(3));
    summary["dry_run"] = true.into();
    assert_eq!(dry_run, summary, "the dry run said so");

    until("the deliveries", Duration::from_secs(60), || receiver.count() >= events).await;
    assert!((0..events).all(|number| receiver.has(&event_body(number))), "byte for byte");
    sleep(Duration::from_millis(500)).await;
    assert_eq!(receiver.deliveries(), events, "each once, and none that is forged");
    nothing_tells_a_signature(folder.path(), begun);
    purged(folder.path(), forgeries);
}

async fn ask_after_start(
    folder: &Path,
    config: &str,
    http: SocketAddr,
    admin: SocketAddr,
    words: &[&str],
) -> Value {
    let mut relay = Process::start_with(folder, config, http, admin).await;
    let said = ask(folder, words);
    assert_eq!(relay.terminate(), Some(0));
    said
}

/// The first ones are of each kind; each is explained, without its signature.
fn explained(folder: &Path) {
    let found: Vec<Value> =
        (1..=16).map(|id| ask(folder, &["refused", "explain", &id.to_string()])).collect();
    assert!(found.iter().all(|found| found.get("signature").is_none()));
    for (judgement, says) in [
        ("proven", "takes it as evt_1"),
        ("mismatch", "leaves it: the signature matches none of the keys"),
        ("mismatch", "no other spelling of public_url matches either"),
        ("missing", "leaves it: the request has no proof"),
    ] {
        let one = found.iter().find(|found| found.pointer("/today/judgement").unwrap() == judgement).unwrap();
        let id = one["id"].to_string();
        check_in(folder, &["refused", "explain", &id, "--config", "vodrelay.toml"], "", 0, says);
        let listed = ask(folder, &["refused", "list", "--cause", one["cause"].as_str().unwrap()]);
        assert!(listed.pointer("/refused/0").is_some());
    }
    check_in(folder, &["refused", "explain", "999999999", "--config", "vodrelay.toml"], "", 65, "no refusal");
}

/// All events of a second carry the same signature; none of them is in the log, in a list or in an explanation.
fn nothing_tells_a_signature(folder: &Path, begun: jiff::Timestamp) {
    let listed = ask(folder, &["refused", "list", "--limit", "1000"]);
    let id = listed.pointer("/refused/0/id").unwrap().to_string();
    let explained = ask(folder, &["refused", "explain", &id]);
    let log = std::fs::read_to_string(folder.join("log")).unwrap();
    assert!(log.contains("a callback was refused"));
    let said = format!("{log}{listed}{explained}");
    for second in begun.as_second()..=jiff::Timestamp::now().as_second() {
        let moment = jiff::Timestamp::from_second(second).unwrap();
        let proof = CallbackProof::make(PUBLIC_URL, &PrivateKey::new(KEY), moment);
        assert!(!said.contains(&proof.signature_hex()), "the signature of {moment} was told");
    }
    assert!(!said.contains(KEY) && !said.contains(WRONG_KEY));
}

fn purged(folder: &Path, forgeries: usize) {
    let config = ["--config", "vodrelay.toml"];
    let accept = ["refused", "accept", "--callback", "main"];
    check_in(folder, &[&accept[..], &config].concat(), "", 0, "tells why one is left");
    let would = format!("this removes refused requests for good: {forgeries}; say --yes to do it");
    check_in(folder, &[&["refused", "purge"][..], &config].concat(), "y\n", 64, &would);
    let gone = format!("purged refused requests: {forgeries}");
    check_in(folder, &[&["refused", "purge", "--yes"][..], &config].concat(), "", 0, &gone);
    check_in(folder, &[&["refused", "purge"][..], &config].concat(), "", 0, "purged refused requests: 0");
    check_in(folder, &[&["refused", "list"][..], &config].concat(), "", 0, "no refused request is kept");
    let unknown = ["refused", "accept", "--callback", "other"];
    check_in(folder, &[&unknown[..], &config].concat(), "", 64, "it has: main");
}

/// Puts genuine refusals into the journal, as a relay with a wrong key would have.
async fn refuse(folder: &Path, events: usize) {
    let clock = Arc::new(SystemClock);
    let config = Config { min_free: vodrelay_core::config::ByteSize(0), ..Config::default() };
    let journal = SqliteJournal::open(&folder.join("data"), config, RefusedBounds::default(), clock).unwrap();
    let received_at = jiff::Timestamp::now();
    let proof = CallbackProof::make(PUBLIC_URL, &PrivateKey::new(KEY), received_at);
    let refusal = |number| Refusal {
        source: SourceName::callback(&Name::new("main").unwrap()),
        cause: RefusalCause::Mismatch,
        detail: "the key was wrong".to_owned(),
        received_at,
        address: "192.0.2.1".to_owned(),
        timestamp: Some(proof.timestamp().to_owned()),
        signature: Some(proof.signature_hex()),
        body: event_body(number),
        cut_short: false,
    };
    journal.refuse((0..events).map(refusal).collect()).await.unwrap();
    journal.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_in_the_middle_of_accepting_loses_and_doubles_nothing() {
    const EVENTS: u64 = 6_000;
    let folder = tempfile::tempdir().unwrap();
    refuse(folder.path(), 6_000).await;
    let mut relay = Process::start_without_sinks(folder.path()).await;
    let (http, admin) = (relay.http, relay.admin);
    let mut accepting = Command::new(env!("CARGO_BIN_EXE_vodrelay"))
        .args(["refused", "accept", "--callback", "main", "--config", "vodrelay.toml"])
        .current_dir(folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let reader = Reader::open(&folder.path().join("data")).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while reader.totals().unwrap().refusals > EVENTS * 2 / 3 {
        assert!(Instant::now() < deadline, "accepting does not get on");
        sleep(Duration::from_millis(1)).await;
    }
    relay.kill_9();
    assert_eq!(accepting.wait().unwrap().code(), Some(69));
    let struck = reader.totals().unwrap();
    println!("kill -9 with {} events accepted and {} refusals left", struck.events, struck.refusals);
    assert!(struck.refusals > 0, "the kill struck in the middle");
    assert!(struck.events + struck.refusals >= EVENTS, "a refusal goes only after its event is durable");
    drop(reader);

    let _relay = Process::start_with(folder.path(), &configuration(http, admin), http, admin).await;
    // What was under way at the kill may have been durable all the same.
    let struck = Reader::open(&folder.path().join("data")).unwrap().totals().unwrap();
    let summary = ask(folder.path(), &["refused", "accept", "--callback", "main"]);
    let totals = Reader::open(&folder.path().join("data")).unwrap().totals().unwrap();
    assert_eq!((totals.events, totals.refusals), (EVENTS, 0), "{summary}");
    assert_eq!(summary["accepted"], EVENTS - struck.events);
}
