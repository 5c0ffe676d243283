//! `vodrelay archive`, over archives that the built-in sink wrote.

use std::path::Path;
use std::sync::Arc;

use vodrelay_core::config::{Options, Surroundings};
use vodrelay_core::testing::{delivery_of, event_body};
use vodrelay_core::{Name, SinkFactory, SystemClock};

use crate::cli::{check_in, vodrelay};

const ID: &str = "evt_1a837bca04c4f17debab042bcffb2153d";
const KEY: &str = "events/date=2024-03-05/evt_1a837bca04c4f17debab042bcffb2153d.json";

const CONFIG: &str = r#"
[sinks.near]
kind = "archive"
options = { url = "file:near" }
[sinks.far]
kind = "archive"
options = { url = "file:far" }
[sinks.cms]
kind = "webhook"
options = { url = "http://127.0.0.1:1/" }
"#;

/// A configuration with two archives, of which the near one has a record.
fn archives(folder: &Path) {
    std::fs::write(folder.join("vodrelay.toml"), CONFIG).unwrap();
    std::fs::create_dir(folder.join("far")).unwrap();
    let surroundings = Surroundings { folder: folder.to_owned(), ..Surroundings::default() };
    let options = Options::new(serde_json::json!({"url": "file:near"}), surroundings);
    let name = Name::new("near").unwrap();
    let factory = vodrelay_sinks::archive::Factory::new(Arc::new(SystemClock));
    let sink = factory.build(name.clone(), options).unwrap();
    let delivery = delivery_of(event_body(1), &name, jiff::Timestamp::now());
    tokio::runtime::Runtime::new().unwrap().block_on(sink.deliver(&delivery)).unwrap();
}

#[test]
fn records_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    archives(folder.path());
    let reason = "no entry of image_hosts matches vod.example.com";
    let line = format!("2024-03-05T09:12:58Z {ID} DynamicImageComplete\n    linked: {reason}\n");
    check_in(folder.path(), &["archive", "list"], "", 0, &line);
    check_in(folder.path(), &["archive", "list", "--sink", "near", "--date", "2024-03-05"], "", 0, &line);
    for words in [["--sink", "far"], ["--date", "2024-03-06"]] {
        let output = vodrelay(folder.path(), &[&["archive", "list"], words.as_slice()].concat(), "");
        assert!(output.status.success() && output.stdout.is_empty(), "{words:?}: {output:?}");
    }
    let output = vodrelay(folder.path(), &["archive", "list", "--json"], "");
    let record: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let said = [&record["sink"], &record["key"], &record["id"], &record["images"][0]["state"]];
    assert_eq!(said, ["near", KEY, ID, "linked"]);
}

#[test]
fn a_mismatch_is_65_and_named() {
    let folder = tempfile::tempdir().unwrap();
    archives(folder.path());
    let whole = "1 records; images: 1 linked; mismatches: 0";
    check_in(folder.path(), &["archive", "verify"], "", 0, whole);
    let totals = r#"{"images":{"linked":1},"kept":0,"mismatches":0,"records":1}"#;
    check_in(folder.path(), &["archive", "verify", "--json"], "", 0, totals);
    let record = folder.path().join("near").join(KEY);
    let altered = std::fs::read_to_string(&record).unwrap().replace("success", "failure");
    std::fs::write(&record, altered).unwrap();
    let says = format!("MISMATCH near: {KEY} has a body with the SHA-256 ");
    check_in(folder.path(), &["archive", "verify"], "", 65, &says);
    check_in(folder.path(), &["archive", "verify", "--json"], "", 65, &format!("\"key\":\"{KEY}\""));
    check_in(
        folder.path(),
        &["archive", "verify", "--sink", "far"],
        "",
        0,
        "0 records; no images; mismatches: 0",
    );
}

#[test]
fn an_archive_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    archives(folder.path());
    let check = |words: &[&str], code: i32, says: &str| {
        check_in(folder.path(), &[&["archive"], words].concat(), "", code, says);
    };
    check(&["list", "--sink", "cms"], 78, "no sink of kind \"archive\" with the name cms is configured");
    check(&["list", "--date", "5 March"], 64, "--date");
    std::fs::remove_dir(folder.path().join("far")).unwrap();
    check(&["verify"], 78, "sinks.far.options.url: cannot use the folder ");
    let config = r#"
[sinks.a]
kind = "archive"
[sinks.a.options]
url = "s3://b"
endpoint = "http://127.0.0.1:1"
path_style = true
access_key_id = "i"
secret_access_key = "s"
"#;
    std::fs::write(folder.path().join("vodrelay.toml"), config).unwrap();
    check(&["list"], 69, "sink a: cannot list events in s3://b at http://127.0.0.1:1: Connection refused");
    check(&["verify"], 69, "sink a: cannot list events in s3://b at http://127.0.0.1:1: Connection refused");
}
