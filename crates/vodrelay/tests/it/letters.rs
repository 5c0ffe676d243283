//! Dead letters and replays, as their users type them.
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking, in its helpers too")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use vodrelay_core::testing::event_body;

use crate::cli::{check_in, vodrelay};
use crate::receiver::Receiver;
use crate::relay::{Process, accepted, client, configuration, free_port, until, webhook};
use crate::sinks::waits;

const PATIENCE: Duration = Duration::from_secs(20);

/// What a command prints with `--json`.
fn json(folder: &Path, words: &[&str]) -> Value {
    let output = vodrelay(folder, words, "");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{words:?}: {told}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn letters(folder: &Path) -> Vec<Value> {
    json(folder, &["dead-letters", "list", "--json"])["dead_letters"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_given_up_is_listed_exported_replayed_and_purged() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let receiver = Receiver::start().await;
    receiver.answer_with(410);
    let relay = Process::start(folder, receiver.address).await;
    let client = client();
    for number in 1..=3 {
        accepted(&client, relay.http, event_body(number)).await;
    }
    let noise = Bytes::from_static(b"\xff no event");
    accepted(&client, relay.http, noise).await;
    until("four dead letters", PATIENCE, || letters(folder).len() == 4).await;

    check_in(folder, &["dead-letters", "list"], "", 0, "hook         1  the receiver answered 410 Gone");
    check_in(folder, &["dead-letters", "list"], "", 0, "cannot be read, and is of no sink");
    check_in(folder, &["dead-letters", "list", "--reason", "busy"], "", 0, "no dead letter matches");
    check_in(folder, &["dead-letters", "list", "--until", "1h"], "", 0, "no dead letter matches");
    check_in(folder, &["dead-letters", "list", "--limit", "2"], "", 0, "go on with --after");
    check_in(folder, &["dead-letters", "list", "--since", "yesterday"], "", 64, "a span before now like");
    check_in(folder, &["check", "--offline"], "", 0, "`vodrelay replay --dead-letters` tries them again");
    let page = json(folder, &["dead-letters", "list", "--limit", "2", "--json"]);
    let next = page["next"].to_string();
    let rest = json(folder, &["dead-letters", "list", "--after", &next, "--json"]);
    assert_eq!(rest["dead_letters"].as_array().unwrap(), &letters(folder)[2..]);

    exported_whole(folder);
    let first = letters(folder)[0]["event_id"].as_str().unwrap().to_owned();
    check_in(folder, &["explain", &first], "", 0, &format!("`vodrelay replay {first}` tries again"));
    let unreadable = letters(folder)[3]["event_id"].as_str().unwrap().to_owned();
    check_in(folder, &["explain", &unreadable], "", 65, "`vodrelay replay --unreadable` reads it again");
    check_in(folder, &["explain", &unreadable], "", 65, "from callbacks.main\n");
    let dry = ["replay", "--dead-letters", "--dry-run"];
    check_in(folder, &dry, "", 0, "would replay deliveries: 3 again, 0 added");
    check_in(folder, &dry, "", 0, &format!("{first}  hook  again\n"));
    assert_eq!(letters(folder).len(), 4, "a dry run changes nothing");

    receiver.answer_with(200);
    check_in(folder, &["replay", &first], "", 0, "replayed deliveries: 1 again, 0 added");
    until("the first", PATIENCE, || receiver.count() == 1).await;
    assert!(receiver.has(&event_body(1)));
    until_settled(folder, "hook").await;
    check_in(folder, &["replay", &first], "", 0, "left alone: 1 were delivered");
    check_in(folder, &["replay", "--dead-letters", "--sink", "hook"], "", 0, "replayed deliveries: 2 again");
    until("the others", PATIENCE, || receiver.count() == 3).await;
    assert_eq!(receiver.replays(), ["1", "1", "1"]);
    check_in(folder, &["replay", "--unreadable"], "", 0, "left alone: 1 still cannot be read");
    check_in(folder, &["replay", &first, "--all"], "", 0, "replayed deliveries: 1 again");
    until("the first once more", PATIENCE, || receiver.deliveries() == 4).await;
    assert_eq!(receiver.replays()[3], "2");

    let unknown = "evt_100000000000000000000000000000000";
    check_in(folder, &["replay", unknown], "", 65, "named events that are not in the journal: 1");
    check_in(folder, &["replay"], "", 64, "nothing is named");
    check_in(folder, &["replay", "--dead-letters", "--sink", "none"], "", 64, "sink none is not configured");

    check_in(folder, &["dead-letters", "purge"], "", 64, "this purges dead letters: 1");
    assert_eq!(letters(folder).len(), 1);
    check_in(folder, &["dead-letters", "purge", unknown, "--yes"], "", 0, "purged dead letters: 0");
    check_in(folder, &["dead-letters", "purge", "--yes"], "", 0, "purged dead letters: 1");
    check_in(folder, &["dead-letters", "list"], "", 0, "no dead letter matches");
    let log = std::fs::read_to_string(folder.join("log")).unwrap();
    assert!(log.contains("dead letters were purged") && log.contains("127.0.0.1:"), "{log}");
    drop(relay);
    check_in(folder, &["dead-letters", "list"], "", 69, "does not answer");
}

fn exported_whole(folder: &Path) {
    let output = vodrelay(folder, &["dead-letters", "export"], "");
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 4);
    let body = event_body(1);
    let first = &lines[0];
    assert_eq!(first["body"].as_str().unwrap().as_bytes(), body);
    assert_eq!((&first["body_encoding"], &first["sink"]), (&"utf-8".into(), &"hook".into()));
    assert_eq!(first["event"]["id"], first["event_id"]);
    assert_eq!(first["failed_attempts"][0]["status"], 410);
    let last = &lines[3];
    assert_eq!((&last["body_encoding"], &last["body"]), (&"base64".into(), &"/yBubyBldmVudA==".into()));
    assert!(last["event"].is_null() && last["unreadable"].is_string() && last["sink"].is_null(), "{last}");
    let sha256 = "sha256";
    assert_eq!(last[sha256].as_str().unwrap().len(), 64);
}

/// A receiver has an event a moment before the journal has its answer.
async fn until_settled(folder: &Path, sink: &str) {
    until("the settlement", PATIENCE, || waits(folder, sink, 0)).await;
}

/// The configuration with these sinks.
fn config(http: std::net::SocketAddr, admin: std::net::SocketAddr, sinks: &[(&str, &Receiver)]) -> String {
    let sinks = sinks.iter().map(|(name, receiver)| {
        webhook(receiver.address).replace("hook]", &format!("{name}]")).replace("hook.", &format!("{name}."))
    });
    configuration(http, admin) + &sinks.collect::<String>()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_is_added_gets_what_came_before_it() {
    let folder: tempfile::TempDir = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().to_owned();
    let (http, admin) = (free_port(), free_port());
    let (early, late) = (Receiver::start().await, Receiver::start().await);
    let mut relay = Process::start_with(&path, &configuration(http, admin), http, admin).await;
    let client = client();
    accepted(&client, http, event_body(1)).await;
    assert_eq!(relay.terminate(), Some(0));

    let mut relay = Process::start_with(&path, &config(http, admin, &[("early", &early)]), http, admin).await;
    check_in(&path, &["replay", "--unrouted"], "", 0, "replayed deliveries: 0 again, 1 added");
    until("the unrouted one", PATIENCE, || early.count() == 1).await;
    accepted(&client, http, event_body(2)).await;
    until("the second", PATIENCE, || early.count() == 2).await;
    assert_eq!(relay.terminate(), Some(0));

    let both = config(http, admin, &[("early", &early), ("late", &late)]);
    let _relay = Process::start_with(&path, &both, http, admin).await;
    check_in(&path, &["replay", "--sink", "late"], "", 64, "needs --since TIME");
    let fill = ["replay", "--sink", "late", "--since", "1h"];
    check_in(&path, &fill, "", 0, "replayed deliveries: 0 again, 2 added");
    until("both", PATIENCE, || late.count() == 2).await;
    until_settled(&path, "late").await;
    check_in(&path, &fill, "", 0, "left alone: 2 were delivered");
    assert_eq!(late.replays(), [] as [String; 0], "it never had them before");
    assert_eq!((early.deliveries(), late.deliveries()), (2, 2), "the other sink gets nothing twice");
}
