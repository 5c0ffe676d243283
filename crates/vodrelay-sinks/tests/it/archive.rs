//! What the archive keeps, and where.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use expect_test::expect;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::timeout;
use vodrelay_core::config::Surroundings;
use vodrelay_core::testing::{delivery_of, event_body, sink_contract};
use vodrelay_core::{Delivery, Name, SinkError};

use crate::build;

pub(crate) fn delivery(body: impl Into<Bytes>) -> Delivery {
    let received_at: Timestamp = "2024-03-06T00:00:01.5Z".parse().unwrap();
    delivery_of(body.into(), &Name::new("test").unwrap(), received_at)
}

fn beside(folder: &Path) -> Surroundings {
    Surroundings { folder: folder.to_owned(), ..Surroundings::default() }
}

/// Every file below the folder, with its content.
pub(crate) fn files(folder: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        for entry in std::fs::read_dir(at).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                let name = entry.path().strip_prefix(folder).unwrap().display().to_string();
                found.push((name, std::fs::read_to_string(entry.path()).unwrap()));
            }
        }
    }
    found.sort();
    found
}

/// Archives the body into a folder; gives back the one key and its record.
async fn kept(body: impl Into<Bytes>) -> (String, String) {
    let folder = tempfile::tempdir().unwrap();
    let sink = build("archive", json!({"url": "file:archive"}), beside(folder.path())).unwrap();
    sink.deliver(&delivery(body)).await.unwrap();
    let mut files = files(&folder.path().join("archive"));
    assert_eq!(files.len(), 1, "{files:?}");
    files.remove(0)
}

#[tokio::test]
async fn a_folder_keeps_the_contract_of_sinks() {
    let folder = tempfile::tempdir().unwrap();
    let absolute = format!("file://{}/all", folder.path().display());
    sink_contract(build("archive", json!({"url": absolute}), Surroundings::default()).unwrap()).await;
    assert_eq!(files(&folder.path().join("all")).len(), 4, "a repeat adds no object, a check leaves none");
}

#[tokio::test]
async fn a_record_is_one_line_that_says_everything() {
    let (key, record) = kept(event_body(1)).await;
    expect!["events/date=2024-03-05/evt_1a837bca04c4f17debab042bcffb2153d.json"].assert_eq(&key);
    assert_eq!(record.matches('\n').count(), 1);
    let record: Value = serde_json::from_str(&record).unwrap();
    expect![[r#"
        {
          "body": {
            "content": "{\"Status\":\"success\",\"VideoId\":\"00000000000000000000000000000001\",\"EventType\":\"DynamicImageComplete\",\"EventTime\":\"2024-03-05T09:12:58Z\",\"DynamicImageJobInfo\":\"{\\\"FileSize\\\":\\\"1834831\\\",\\\"FileURL\\\":\\\"http://vod.example.com/00000000000000000000000000000001/image/dynamic/3af1.gif\\\",\\\"Fps\\\":\\\"25\\\",\\\"Height\\\":\\\"200\\\",\\\"JobId\\\":\\\"00000000000000000000000000000001\\\",\\\"Status\\\":\\\"success\\\",\\\"Width\\\":\\\"200\\\"}\",\"JobId\":\"00000000000000000000000000000001\"}",
            "encoding": "utf-8",
            "sha256": "3199380997ca1e159e45ad50206a5b0c6ae426c42e44f1ef6ce0bffcff5820f0",
            "size_bytes": 446
          },
          "event": {
            "doubts": [],
            "error": null,
            "event_time": "2024-03-05T09:12:58Z",
            "event_type": "DynamicImageComplete",
            "extend": null,
            "fields": {},
            "id": "evt_1a837bca04c4f17debab042bcffb2153d",
            "images": [
              {
                "fps": 25,
                "height_px": 200,
                "job_id": "00000000000000000000000000000001",
                "size_bytes": 1834831,
                "status": "success",
                "url": "http://vod.example.com/00000000000000000000000000000001/image/dynamic/3af1.gif",
                "width_px": 200
              }
            ],
            "job_id": "00000000000000000000000000000001",
            "media_id": null,
            "status": "success",
            "video_id": "00000000000000000000000000000001"
          },
          "images": [
            {
              "fps": 25,
              "height_px": 200,
              "job_id": "00000000000000000000000000000001",
              "reason": "no entry of image_hosts matches vod.example.com",
              "size_bytes": 1834831,
              "state": "linked",
              "status": "success",
              "url": "http://vod.example.com/00000000000000000000000000000001/image/dynamic/3af1.gif",
              "width_px": 200
            }
          ],
          "receipt": {
            "labels": {},
            "received_at": "2024-03-06T00:00:01.5Z",
            "source": "callbacks.main"
          },
          "schema": "urn:vodrelay:record:1"
        }"#]].assert_eq(&format!("{record:#}"));
}

#[tokio::test]
async fn the_day_is_that_of_the_event_in_utc_else_that_of_acceptance() {
    let check = async |time: &str, day: &str| {
        let (key, _) = kept(format!(r#"{{"EventType":"FileUploadComplete","VideoId":"v"{time}}}"#)).await;
        assert!(key.starts_with(&format!("events/date={day}/evt_1")), "{key}");
    };
    check(r#","EventTime":"2024-03-05T23:59:59Z""#, "2024-03-05").await;
    check(r#","EventTime":"2024-03-05T03:00:00+08:00""#, "2024-03-04").await;
    check(r#","EventTime":"yesterday""#, "2024-03-06").await;
    check("", "2024-03-06").await;
}

#[tokio::test]
async fn the_body_can_be_had_again_to_the_byte() {
    let odd = "{\"EventType\":\"FileUploadComplete\",\r\n\t\"VideoId\":\"\\u0041\u{301}\"}";
    let record: Value = serde_json::from_str(&kept(odd).await.1).unwrap();
    assert_eq!((&record["body"]["encoding"], &record["body"]["content"]), (&json!("utf-8"), &json!(odd)));
}

#[tokio::test]
async fn two_relays_write_one_object_and_the_first_stays() {
    let folder = tempfile::tempdir().unwrap();
    let options = json!({"url": "file:archive"});
    let (one, other) = (
        build("archive", options.clone(), beside(folder.path())).unwrap(),
        build("archive", options, beside(folder.path())).unwrap(),
    );
    let later = Timestamp::from_second(1_800_000_000).unwrap();
    one.deliver(&delivery(event_body(1))).await.unwrap();
    let before = files(folder.path());
    other.deliver(&delivery_of(event_body(1), &Name::new("test").unwrap(), later)).await.unwrap();
    assert_eq!(files(folder.path()), before);
}

/// The sink is built, whatever the folder is like: the other sinks are not to wait for its disk.
#[tokio::test]
async fn a_folder_that_cannot_be_used_fails_the_delivery_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let sink = build("archive", json!({"url": "file:file/archive"}), beside(folder.path())).unwrap();
    for error in [sink.deliver(&delivery(event_body(1))).await.unwrap_err(), sink.check().await.unwrap_err()]
    {
        assert_eq!(error.retry, SinkError::temporary("").retry, "{error}");
        assert!(
            error.message.contains("file/archive") && error.message.contains("Not a directory"),
            "{error}"
        );
    }
}

/// A folder above that is missing may be that of a disk, and what came below it would be on another one.
#[tokio::test]
async fn the_folder_is_made_at_the_first_delivery_once_and_never_one_above_it() {
    let folder = tempfile::tempdir().unwrap();
    let (mount, archive) = (folder.path().join("mnt"), folder.path().join("mnt/archive"));
    let sink = build("archive", json!({"url": "file:mnt/archive"}), beside(folder.path())).unwrap();
    let deliver = async |n| sink.deliver(&delivery(event_body(n))).await;
    for error in [deliver(1).await.unwrap_err(), sink.check().await.unwrap_err()] {
        assert_eq!(error.retry, SinkError::temporary("").retry, "{error}");
        let says = format!("the folder above it, {}, is not there", mount.display());
        assert!(error.message.contains(&says), "{error}");
    }
    assert!(!mount.exists());
    std::fs::create_dir(&mount).unwrap();
    let remark = format!("{} is not there yet; the relay makes it at the first delivery", archive.display());
    assert_eq!(sink.check().await, Ok(vec![remark]));
    assert_eq!(std::fs::read_dir(&mount).unwrap().count(), 0, "a check makes nothing");
    deliver(1).await.unwrap();
    assert_eq!(sink.check().await, Ok(vec![]));
    let left: Vec<_> = std::fs::read_dir(&archive).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["events"], "a check leaves nothing");
    std::fs::remove_dir_all(&archive).unwrap();
    let error = deliver(2).await.unwrap_err();
    assert!(error.message.contains("is no longer there; mount it, or make it again"), "{error}");
    assert!(!archive.exists());
    std::fs::create_dir(&archive).unwrap();
    deliver(2).await.unwrap();
}

/// A FIFO that nobody writes to stands for a file system whose server is gone: whoever opens it waits.
#[cfg(unix)]
#[test]
fn a_folder_that_hangs_takes_no_thread_of_the_runtime_and_says_so() {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(1).max_blocking_threads(1).enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let sink = build("archive", json!({"url": "file:archive"}), beside(folder.path())).unwrap();
    let delivery = delivery(event_body(1));
    runtime.block_on(sink.deliver(&delivery)).unwrap();
    let record = folder.path().join("archive").join(&files(&folder.path().join("archive"))[0].0);
    std::fs::remove_file(&record).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&record).status().unwrap().success());
    let mut attempts: Vec<_> = (0..17)
        .map(|_| {
            let (sink, delivery) = (Arc::clone(&sink), delivery.clone());
            runtime.spawn(async move { sink.deliver(&delivery).await })
        })
        .collect();
    let told = runtime.block_on(async {
        let first = futures_util::future::select_all(&mut attempts);
        let (told, ..) = timeout(Duration::from_secs(25), first).await.expect("all hang, and nobody says so");
        let free = tokio::task::spawn_blocking(|| 7);
        assert_eq!(timeout(Duration::from_secs(25), free).await.expect("the threads hang").unwrap(), 7);
        told.unwrap().unwrap_err()
    });
    assert_eq!(told.retry, SinkError::temporary("").retry);
    assert!(told.message.contains("archive: the folder does not answer: 16 operations "), "{told}");
    // Lets those go who wait.
    let _ = std::fs::OpenOptions::new().write(true).open(&record).unwrap();
    attempts.iter().for_each(tokio::task::JoinHandle::abort);
}
