//! `export` reads the journal beside a running relay, and without one.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use vodrelay_core::config::ByteSize;
use vodrelay_core::testing::{envelope_of, event_body};
use vodrelay_core::{Journal, SystemClock};
use vodrelay_journal::{RefusedBounds, SqliteJournal};

use crate::cli::{check_in, vodrelay};
use crate::receiver::Receiver;
use crate::relay::{Process, accepted, client, until};
use crate::sinks::waits;

fn lines(folder: &Path, words: &[&str]) -> Vec<Value> {
    let output = vodrelay(folder, &[&["export"], words].concat(), "");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_event_is_a_line_with_its_bytes_where_they_are_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let receiver = Receiver::start().await;
    let relay = Process::start(folder, receiver.address).await;
    let bodies = [event_body(1), event_body(2), b"\xff\x20no event".as_slice().into()];
    for body in bodies.clone() {
        accepted(&client(), relay.http, body).await;
    }
    until("the settlements", Duration::from_secs(20), || waits(folder, "hook", 0)).await;
    let beside = lines(folder, &["--since", "1h"]);
    drop(relay);
    let found = lines(folder, &["--since", "1h", "--raw"]);
    assert_eq!((beside.len(), found.len()), (3, 3));
    assert!(beside[0].get("body").is_none());
    for (line, body) in found.iter().zip(&bodies[..2]) {
        assert_eq!(line["body"].as_str().unwrap().as_bytes(), body);
        assert_eq!((&line["event"]["id"], &line["source"]), (&line["id"], &"callbacks.main".into()));
        assert_eq!(line["deliveries"], serde_json::json!([{"sink": "hook", "state": "delivered"}]));
        assert_eq!(line["is_intact"], true);
    }
    assert_eq!(
        (&found[2]["body_encoding"], &found[2]["body"]),
        (&"base64".into(), &"/yBubyBldmVudA==".into())
    );
    assert!(found[2]["event"].is_null() && found[2]["unreadable"].is_string());
    assert!(lines(folder, &["--since", "1h", "--until", "30m"]).is_empty());
    check_in(folder, &["export"], "", 64, "--since");
    check_in(
        folder,
        &["export", "--since", "1h", "--journal", "nowhere"],
        "",
        65,
        "there is no journal in nowhere",
    );
}

#[test]
fn many_are_exported_in_order_and_a_reader_that_goes_ends_it() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let many = 3_000;
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let config =
            vodrelay_journal::Config { min_free: ByteSize(0), ..vodrelay_journal::Config::default() };
        let journal =
            SqliteJournal::open(&data, config, RefusedBounds::default(), Arc::new(SystemClock)).unwrap();
        let append = |number| {
            let journal = journal.clone();
            async move {
                journal.append(&envelope_of(event_body(number), jiff::Timestamp::now()), &[]).await.unwrap()
            }
        };
        let appends: Vec<_> = (0..many).map(|number| tokio::spawn(append(number))).collect();
        for append in appends {
            append.await.unwrap();
        }
        journal.close().await.unwrap();
    });
    std::fs::write(folder.path().join("vodrelay.toml"), "data_dir = \"data\"\n").unwrap();
    let ids: std::collections::BTreeSet<String> =
        lines(folder.path(), &["--since", "1h"]).iter().map(|line| line["id"].to_string()).collect();
    assert_eq!(ids.len(), many);
    let mut child = Command::new(env!("CARGO_BIN_EXE_vodrelay"))
        .args(["export", "--since", "1h", "--raw"])
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
