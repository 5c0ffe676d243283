//! What is read back of an archive, and what does not match is found.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use expect_test::{Expect, expect};
use jiff::civil::Date;
use serde_json::{Value, json};
use tempfile::TempDir;
use vodrelay_core::Sink;
use vodrelay_core::SystemClock;
use vodrelay_core::config::{Options, Surroundings};
use vodrelay_core::testing::event_body;
use vodrelay_sinks::archive::Reader;

use crate::archive::{delivery, files};
use crate::build;
use crate::server::Server;

/// An archive, and the folder in which its objects are files.
pub(crate) struct Archive {
    options: Value,
    folder: PathBuf,
    _server: Option<Server>,
    _temporary: Option<TempDir>,
}

const GIF: &[u8] = b"GIF89a, as good as any";
/// SHA-256 of it.
const SHA256: &str = "658bfaef229dc86af9ffbdff697710a1f2f87432434cd40cc2aff77ccd40c516";

impl Archive {
    /// The one behind these options.
    pub(crate) fn of(options: Value) -> Self {
        Self { options, folder: PathBuf::new(), _server: None, _temporary: None }
    }

    async fn in_folder() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().join("archive");
        let options = json!({"url": format!("file://{}", folder.display())});
        Self { options, folder, _server: None, _temporary: Some(temporary) }.filled().await
    }

    async fn in_bucket() -> Self {
        let server = Server::start(&["events"]).await;
        let folder = server.folder.path().join("events/some/prefix");
        let options = server.options("events");
        Self { options, folder, _server: Some(server), _temporary: None }.filled().await
    }

    /// With two events of one day, and one of the day before.
    async fn filled(self) -> Self {
        let sink = build("archive", self.options.clone(), Surroundings::default()).unwrap();
        deliver(sink.as_ref(), event_body(1)).await;
        deliver(sink.as_ref(), event_body(2)).await;
        deliver(
            sink.as_ref(),
            r#"{"EventType":"FileUploadComplete","VideoId":"v","EventTime":"2024-03-04T00:00:00Z"}"#,
        )
        .await;
        self
    }

    fn reader(&self) -> Reader {
        let options = Options::new(self.options.clone(), Surroundings::default());
        Reader::open(&options, &(Arc::new(SystemClock) as _)).unwrap()
    }

    /// The file of the first event's record.
    fn record(&self) -> PathBuf {
        self.folder.join("events/date=2024-03-05/evt_1a837bca04c4f17debab042bcffb2153d.json")
    }

    /// Keeps the first event's image, and changes its record as told.
    fn keep(&self, change: impl FnOnce(&mut Value)) {
        let image = "images/date=2024-03-05/evt_1a837bca04c4f17debab042bcffb2153d.0.gif";
        write(&self.folder.join(image), GIF);
        let mut record: Value = serde_json::from_slice(&std::fs::read(self.record()).unwrap()).unwrap();
        let kept = json!({"state": "kept", "key": image, "sha256": SHA256, "kept_bytes": GIF.len()});
        record["images"][0].as_object_mut().unwrap().extend(kept.as_object().unwrap().clone());
        change(&mut record);
        write(&self.record(), record.to_string());
    }

    pub(crate) async fn listed(&self, day: Option<Date>) -> Vec<String> {
        let reader = self.reader();
        let mut records = reader.records(day);
        let mut listed = Vec::new();
        while let Some(found) = records.next().await.unwrap() {
            listed.push(match found.record {
                Ok(record) => format!("{} {}", found.key, serde_json::to_string(&record).unwrap()),
                Err(what) => format!("{} {what}", found.key),
            });
        }
        listed
    }

    /// How many images are kept, and each mismatch.
    pub(crate) async fn verified(&self) -> String {
        let reader = self.reader();
        let mut verdicts = reader.verdicts(None);
        let (mut kept, mut lines) = (0, Vec::new());
        while let Some(verdict) = verdicts.next().await.unwrap() {
            kept += verdict.kept;
            lines.extend(
                verdict.mismatches.iter().map(|mismatch| format!("{} {}\n", mismatch.key, mismatch.what)),
            );
        }
        format!("{kept} kept\n{}", lines.concat())
    }
}

async fn deliver(sink: &dyn Sink, body: impl Into<bytes::Bytes>) {
    sink.deliver(&delivery(body)).await.unwrap();
}

fn write(path: &Path, content: impl AsRef<[u8]>) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

#[tokio::test]
async fn records_are_listed_by_day() {
    let (folder, bucket) = (Archive::in_folder().await, Archive::in_bucket().await);
    let listed = bucket.listed(None).await;
    let mut in_folder = folder.listed(None).await;
    // Within a day a folder has no order.
    in_folder[1..].sort();
    assert_eq!(in_folder, listed);
    for archive in [folder, bucket] {
        assert_eq!(archive.listed(Some("2024-03-04".parse().unwrap())).await, listed[..1]);
        assert!(archive.listed(Some("1999-12-31".parse().unwrap())).await.is_empty());
    }
    expect![[r#"
        events/date=2024-03-04/evt_1afa881fe4fc99b17abebc2219dc12194.json {"id":"evt_1afa881fe4fc99b17abebc2219dc12194","event_type":"FileUploadComplete","status":null,"video_id":"v","media_id":null,"received_at":"2024-03-06T00:00:01.5Z","time":"2024-03-04T00:00:00Z","images":[]}
        events/date=2024-03-05/evt_171faa24a9cdbe31316da17ae207f3c31.json {"id":"evt_171faa24a9cdbe31316da17ae207f3c31","event_type":"DynamicImageComplete","status":"success","video_id":"00000000000000000000000000000002","media_id":null,"received_at":"2024-03-06T00:00:01.5Z","time":"2024-03-05T09:12:58Z","images":[{"state":"linked","cause":null,"reason":"no entry of image_hosts matches vod.example.com","key":null,"sha256":null,"kept_bytes":null,"doubts":[]}]}
        events/date=2024-03-05/evt_1a837bca04c4f17debab042bcffb2153d.json {"id":"evt_1a837bca04c4f17debab042bcffb2153d","event_type":"DynamicImageComplete","status":"success","video_id":"00000000000000000000000000000001","media_id":null,"received_at":"2024-03-06T00:00:01.5Z","time":"2024-03-05T09:12:58Z","images":[{"state":"linked","cause":null,"reason":"no entry of image_hosts matches vod.example.com","key":null,"sha256":null,"kept_bytes":null,"doubts":[]}]}"#]].assert_eq(&listed.join("\n"));
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_not_made() {
    let folder = std::env::temp_dir().join("vodrelay-no-such-archive");
    let options = json!({"url": format!("file://{}", folder.display())});
    let options = Options::new(options, Surroundings::default());
    let error = Reader::open(&options, &(Arc::new(SystemClock) as _)).unwrap_err();
    assert!(error.to_string().contains("vodrelay-no-such-archive"), "{error}");
    assert!(!folder.exists());
}

#[tokio::test]
async fn a_bucket_that_is_not_there_is_an_error() {
    let server = Server::start(&["events"]).await;
    let options = Options::new(server.options("missing"), Surroundings::default());
    let reader = Reader::open(&options, &(Arc::new(SystemClock) as _)).unwrap();
    let error = reader.records(None).next().await.unwrap_err();
    let error = error.to_string().replace(&format!(":{}", server.port), ":PORT");
    expect!["cannot list some/prefix/events in s3://missing at http://127.0.0.1:PORT; there is no such bucket at this endpoint; make it, or correct url: NoSuchBucket"].assert_eq(&error);
}

/// Removes what the archive has of the second event, and says which objects are left.
pub(crate) async fn remove_second(archive: &Archive) {
    let reader = archive.reader();
    let mut records = reader.records(None);
    while let Some(found) = records.next().await.unwrap() {
        let record = found.record.unwrap();
        if record.video_id == Some(format!("{:032x}", 2)) {
            reader.remove(&found.key, &record).await.unwrap();
            // As after one that was interrupted, when nothing is left of it.
            reader.remove(&found.key, &record).await.unwrap();
        }
    }
}

#[tokio::test]
async fn what_is_removed_is_gone_with_its_images() {
    for archive in [Archive::in_folder().await, Archive::in_bucket().await] {
        archive.keep(|_| {});
        let image = "images/date=2024-03-05/evt_171faa24a9cdbe31316da17ae207f3c31.0.webp";
        write(&archive.folder.join(image), "of which the record does not tell");
        let record = "events/date=2024-03-05/evt_171faa24a9cdbe31316da17ae207f3c31.json";
        if archive._server.is_none() {
            write(&archive.folder.join(format!("{record}#1")), "as a writer that was killed leaves it");
        }
        let names = || files(&archive.folder).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        let mut rest = names();
        remove_second(&archive).await;
        rest.retain(|name| !name.contains("evt_171faa24a9cdbe31316da17ae207f3c31"));
        assert_eq!(names(), rest);
        assert_eq!(archive.verified().await, "1 kept\n");
    }
}

async fn check(change: impl FnOnce(&Archive), expect: &Expect) {
    let archive = Archive::in_folder().await;
    change(&archive);
    expect.assert_eq(&archive.verified().await);
}

#[tokio::test]
async fn what_is_kept_is_held_against_its_record() {
    for archive in [Archive::in_folder().await, Archive::in_bucket().await] {
        assert_eq!(archive.verified().await, "0 kept\n");
        archive.keep(|_| ());
        assert_eq!(archive.verified().await, "1 kept\n");
        let image = files(&archive.folder.join("images"));
        write(&archive.folder.join("images").join(&image[0].0), "GIF89a, as good as none");
        let found = archive.verified().await;
        assert!(found.contains(" has 23 bytes, and its record says 22"), "{found}");
    }
}

#[tokio::test]
async fn each_mismatch_is_named() {
    check(|archive| archive.keep(|record| record["images"][0]["sha256"] = json!("00")), &expect![[r#"
        1 kept
        images/date=2024-03-05/evt_1a837bca04c4f17debab042bcffb2153d.0.gif has the SHA-256 658bfaef229dc86af9ffbdff697710a1f2f87432434cd40cc2aff77ccd40c516, and its record says 00
    "#]]).await;
    check(
        |archive| archive.keep(|record| record["images"][0]["key"] = json!("images/gone.gif")),
        &expect![[r#"
        1 kept
        images/gone.gif is not there, and its record says that it is kept
    "#]],
    )
    .await;
    check(|archive| archive.keep(|record| record["images"][0]["key"] = json!("../images/x")), &expect![[r#"
        1 kept
        events/date=2024-03-05/evt_1a837bca04c4f17debab042bcffb2153d.json says that image 0 is kept, without a key under images/, a SHA-256 and a size
    "#]]).await;
    check(
        |archive| archive.keep(|record| record["images"][0]["key"] = json!("images/../events/x")),
        &expect![[r#"
        1 kept
        images/../events/x is not there, and its record says that it is kept
    "#]],
    )
    .await;
    check(|archive| archive.keep(|record| record["images"][0]["kept_bytes"] = json!(null)), &expect![[r#"
        1 kept
        events/date=2024-03-05/evt_1a837bca04c4f17debab042bcffb2153d.json says that image 0 is kept, without a key under images/, a SHA-256 and a size
    "#]]).await;
    check(
        |archive| archive.keep(|record| record["body"]["content"] = json!("{}")),
        &expect![[r#"
        1 kept
        events/date=2024-03-05/evt_1a837bca04c4f17debab042bcffb2153d.json has a body of 2 bytes, and says 446
    "#]],
    )
    .await;
    check(|archive| archive.keep(|record| record["body"]["sha256"] = json!("00")), &expect![[r#"
        1 kept
        events/date=2024-03-05/evt_1a837bca04c4f17debab042bcffb2153d.json has a body with the SHA-256 3199380997ca1e159e45ad50206a5b0c6ae426c42e44f1ef6ce0bffcff5820f0, and says 00
    "#]]).await;
    check(|archive| archive.keep(|record| record["body"]["encoding"] = json!("base64")), &expect![[r#"
        1 kept
        events/date=2024-03-05/evt_1a837bca04c4f17debab042bcffb2153d.json has a body that is no Base64: Invalid symbol 123, offset 0.
    "#]]).await;
    check(
        |archive| archive.keep(|record| record["event"]["id"] = json!("evt_1")),
        &expect![[r#"
        1 kept
        events/date=2024-03-05/evt_1a837bca04c4f17debab042bcffb2153d.json tells of another event, evt_1
    "#]],
    )
    .await;
    check(|archive| archive.keep(|record| record["schema"] = json!("urn:vodrelay:record:9")), &expect![[r#"
        0 kept
        events/date=2024-03-05/evt_1a837bca04c4f17debab042bcffb2153d.json has the schema "urn:vodrelay:record:9"; this version reads "urn:vodrelay:record:1"
    "#]]).await;
    check(|archive| write(&archive.record(), "{\"schema\": \"urn:vodrelay:rec"), &expect![[r#"
        0 kept
        events/date=2024-03-05/evt_1a837bca04c4f17debab042bcffb2153d.json is no record: EOF while parsing a string at line 1 column 28
    "#]]).await;
    check(|archive| write(&archive.record(), ""), &expect![[r#"
        0 kept
        events/date=2024-03-05/evt_1a837bca04c4f17debab042bcffb2153d.json is no record: EOF while parsing a value at line 1 column 0
    "#]]).await;
}

#[tokio::test]
async fn what_is_no_record_by_its_name_is_left_alone() {
    for archive in [Archive::in_folder().await, Archive::in_bucket().await] {
        let before = archive.listed(None).await.len();
        for foreign in ["events/date=2024-03-05/readme.txt", "events/date=2024-03-05/notes.json"] {
            write(&archive.folder.join(foreign), "not ours");
        }
        assert_eq!(archive.listed(None).await.len(), before);
        assert_eq!(archive.verified().await, "0 kept\n");
    }
}

#[tokio::test]
async fn doubts_and_causes_are_listed() {
    let archive = Archive::in_folder().await;
    let doubts = json!([{"field": "Width", "what": "201, and the image is 200 px wide"}]);
    archive.keep(|record| record["images"][0]["doubts"] = doubts.clone());
    let listed = archive.listed(None).await.join("\n");
    assert!(listed.contains(&format!("\"doubts\":{doubts}")), "{listed}");
    archive.keep(|record| record["images"][0]["cause"] = json!("missing"));
    assert!(archive.listed(None).await.join("\n").contains("\"cause\":\"missing\""));
}

#[tokio::test]
async fn states_that_nobody_knows_yet_are_shown_as_they_are() {
    let archive = Archive::in_folder().await;
    archive.keep(|record| record["images"][0]["state"] = json!("thawing"));
    let listed = archive.listed(None).await.join("\n");
    assert!(listed.contains(r#""state":"thawing""#), "{listed}");
    assert_eq!(archive.verified().await, "0 kept\n");
}
