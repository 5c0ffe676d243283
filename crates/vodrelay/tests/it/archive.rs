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
    let line = format!("2024-03-05T09:12:58Z  {ID}  DynamicImageComplete  linked      {reason}\n");
    check_in(folder.path(), &["archive", "list"], "", 0, &line);
    check_in(folder.path(), &["archive", "list", "--sink", "near", "--date", "2024-03-05"], "", 0, &line);
    for (words, says) in [
        (["--sink", "far"], "far has no record\n"),
        (["--date", "2024-03-06"], "far has no record of 2024-03-06\nnear has no record of 2024-03-06\n"),
    ] {
        let output = vodrelay(folder.path(), &[&["archive", "list"], words.as_slice()].concat(), "");
        assert!(output.status.success() && output.stdout.is_empty(), "{words:?}: {output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), says);
    }
    let output = vodrelay(folder.path(), &["archive", "list", "--json"], "");
    let record: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let said = [&record["sink"], &record["key"], &record["id"], &record["images"][0]["state"]];
    assert_eq!(said, ["near", KEY, ID, "linked"]);
    assert_eq!(record["images"][0]["doubts"], serde_json::json!([]));
}

#[test]
fn what_a_list_says_of_records_that_are_not_as_usual() {
    let folder = tempfile::tempdir().unwrap();
    archives(folder.path());
    let path = folder.path().join("near").join(KEY);
    let record = std::fs::read_to_string(&path).unwrap();
    let mut altered: serde_json::Value = serde_json::from_str(&record).unwrap();
    altered["images"][0]["state"] = "failed".into();
    altered["images"][0]["cause"] = "missing".into();
    std::fs::write(&path, altered.to_string()).unwrap();
    check_in(folder.path(), &["archive", "list"], "", 0, "failed      missing: no entry of ");
    altered["images"] = serde_json::json!([]);
    altered["event"]["status"] = "fail".into();
    std::fs::write(&path, altered.to_string()).unwrap();
    check_in(folder.path(), &["archive", "list"], "", 0, "-           no image: the event's status is fail");
    std::fs::write(&path, "{}").unwrap();
    check_in(folder.path(), &["archive", "list"], "", 65, &format!("{KEY} is no record: missing field"));
    check_in(folder.path(), &["archive", "list"], "", 65, "records that cannot be read: 1");
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
    check(
        &["list", "--sink", "cms"],
        78,
        "no sink of kind \"archive\" with the name cms is configured; there are: far, near",
    );
    check(&["list", "--date", "yesterday"], 64, "expected a day of UTC like 2026-11-24");
    std::fs::remove_dir(folder.path().join("far")).unwrap();
    check(&["verify"], 78, "sinks.far.options.url: cannot use the folder ");
    let config = r#"
[sinks.a]
kind = "archive"
[sinks.a.options]
url = "s3://media"
endpoint = "http://127.0.0.1:1"
path_style = true
access_key_id = "i"
secret_access_key = "s"
"#;
    std::fs::write(folder.path().join("vodrelay.toml"), config).unwrap();
    check(
        &["list"],
        69,
        "sink a: cannot list events in s3://media at http://127.0.0.1:1: Connection refused",
    );
    check(
        &["verify"],
        69,
        "sink a: cannot list events in s3://media at http://127.0.0.1:1: Connection refused",
    );
}

/// What `check --offline` says of the archives' options.
#[test]
fn options_that_are_most_likely_not_meant_are_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let config = r#"
data_dir = "data"
[sinks.a]
kind = "archive"
timeout = "20s"
[sinks.a.options]
url = "file:kept"
[[sinks.a.options.image_hosts]]
name = "*.example.com"
allow_addresses = ["10.0.0.0/8"]
idle_timeout = "10s"
[[sinks.a.options.image_hosts]]
name = "vod.example.com"
[sinks.b]
kind = "archive"
options = { url = "file:./kept" }
"#;
    std::fs::write(folder.path().join("vodrelay.toml"), config).unwrap();
    let place = std::fs::canonicalize(folder.path()).unwrap().join("kept");
    for says in [
        "ok         sink a: image_hosts has 2 entries; addresses that are not public are opened by allow_addresses of *.example.com\n",
        "warning    sink a: the entry vod.example.com of image_hosts is never reached: *.example.com stands before it and matches the same hosts; ",
        "warning    sink a: timeout is 20s, and idle_timeout of the entry vod.example.com of image_hosts is 30s, ",
        "ok         sink b: image_hosts has no entry, so no image is fetched, only linked\n",
        &format!("warning    sink b: writes to the same place as sink a, {}; ", place.display()),
    ] {
        check_in(folder.path(), &["check", "--offline"], "", 0, says);
    }
}

/// Whoever checks may be another user than the relay's, and a sink that is down is no matter of the configuration.
#[test]
fn a_check_makes_no_folder_and_one_that_cannot_be_made_is_a_finding_of_its_sink() {
    let folder = tempfile::tempdir().unwrap();
    let config =
        "data_dir = \"deep/data\"\n[sinks.a]\nkind = \"archive\"\noptions = { url = \"file:mnt/kept\" }\n";
    std::fs::write(folder.path().join("vodrelay.toml"), config).unwrap();
    let check = |code, says| check_in(folder.path(), &["check"], "", code, says);
    check(69, "sink a: the archive in mnt/kept: the folder above it, mnt, is not there, and is never made");
    std::fs::create_dir(folder.path().join("mnt")).unwrap();
    check(0, "warning    sink a: mnt/kept is not there yet; the relay makes it at the first delivery\n");
    let names = |folder: &Path| -> Vec<_> {
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    };
    let mut left = names(folder.path());
    left.sort();
    assert_eq!(left, ["mnt", "vodrelay.toml"]);
    assert!(names(&folder.path().join("mnt")).is_empty());
}
