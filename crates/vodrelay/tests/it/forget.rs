//! `vodrelay forget`: with a relay and without one, a video goes from the journal and from the archive.

use std::path::Path;
use std::time::Duration;

use vodrelay_core::testing::event_body;

use crate::cli::{check_in, vodrelay};
use crate::receiver::Receiver;
use crate::relay::{Process, accepted, attempt, client, configuration, free_port, until, webhook};
use crate::sinks::waits;

const PATIENCE: Duration = Duration::from_secs(20);
const ARCHIVE: &str = "[sinks.archive]\nkind = \"archive\"\noptions = { url = \"file:archive\" }\n";
/// Of `event_body(1)`.
const ID: &str = "evt_1a837bca04c4f17debab042bcffb2153d";
const VIDEO: &str = "00000000000000000000000000000001";

/// How many files below the folder have these bytes.
fn files_with(folder: &Path, bytes: &str) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().map(Result::unwrap);
    let count = |entry: std::fs::DirEntry| match entry.file_type().unwrap().is_dir() {
        true => files_with(&entry.path(), bytes),
        false => {
            let found = std::fs::read(entry.path()).unwrap_or_default();
            usize::from(found.windows(bytes.len()).any(|part| part == bytes.as_bytes()))
        }
    };
    entries.map(count).sum()
}

/// The file in the folder that names the video.
fn record_of(folder: &Path, video: &str) -> std::path::PathBuf {
    let mut files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.find(|path| std::fs::read_to_string(path).unwrap().contains(video)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_video_is_forgotten_with_and_without_a_relay() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let receiver = Receiver::start().await;
    receiver.answer_with(503);
    let (http, admin) = (free_port(), free_port());
    let config = configuration(http, admin) + &webhook(receiver.address) + ARCHIVE;
    let mut relay = Process::start_with(folder, &config, http, admin).await;
    for number in 1..=3 {
        accepted(&client(), http, event_body(number)).await;
    }
    assert_eq!(attempt(&client(), http, event_body(1), "anotherkey0000000").await, Some(401));
    until("the archive", PATIENCE, || waits(folder, "archive", 0)).await;

    let forget = ["forget", "--video", VIDEO];
    check_in(
        folder,
        &forget,
        "",
        64,
        "refused requests: 1, and all that these archives have of it: archive; say --yes",
    );
    let dry = vodrelay(folder, &[&forget[..], &["--dry-run"]].concat(), "").stdout;
    let dry = String::from_utf8(dry).unwrap();
    assert_eq!(
        dry,
        "journal  events: 1, refused requests: 1\narchive  records: 1, images: 0\nnothing was changed\n"
    );
    assert_eq!(files_with(&folder.join("archive"), VIDEO), 1);
    let forget = ["forget", "--video", VIDEO, "--yes"];
    check_in(folder, &forget, "", 0, "all of this is gone");
    assert_eq!(files_with(&folder.join("archive"), VIDEO), 0);
    check_in(folder, &["explain", ID], "", 65, "was forgotten at");
    check_in(folder, &["refused", "list", "--json"], "", 0, "[]");

    accepted(&client(), http, event_body(1)).await; // a repeat is merged
    receiver.answer_with(200);
    until("the others", PATIENCE, || waits(folder, "hook", 0)).await;
    assert!(!receiver.has(&event_body(1)), "and delivered to nobody");
    let metrics = client().get(format!("http://{admin}/metrics")).send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("vodrelay_journal_events 2"), "{metrics}");

    assert_eq!(relay.terminate(), Some(0));
    let second = ["forget", "--video", "00000000000000000000000000000002", "--yes", "--json"];
    let told = vodrelay(folder, &second, "").stdout;
    let told: serde_json::Value = serde_json::from_slice(&told).unwrap();
    assert_eq!(told["journal"], serde_json::json!({"events": 1, "refused": 0}), "{told}");
    assert_eq!(told["archives"]["archive"]["records"], 1, "{told}");
    // A record of what was received after the command was given is not meant.
    let third = "00000000000000000000000000000003";
    let later = record_of(&folder.join("archive/events/date=2024-03-05"), third);
    let mut record: serde_json::Value = serde_json::from_slice(&std::fs::read(&later).unwrap()).unwrap();
    record["receipt"]["received_at"] = "2999-01-01T00:00:00Z".into();
    std::fs::write(&later, record.to_string()).unwrap();
    let told = vodrelay(folder, &["forget", "--video", third, "--yes", "--json"], "").stdout;
    let told: serde_json::Value = serde_json::from_slice(&told).unwrap();
    assert_eq!((&told["journal"]["events"], &told["archives"]["archive"]["records"]), (&1.into(), &0.into()));
    assert!(later.exists());
    check_in(folder, &["forget", "--video", " ", "--yes"], "", 64, "is no id of a video");
    check_in(folder, &["journal", "verify"], "", 0, "");
}
