//! What the archive keeps, and where.

use std::path::Path;

use bytes::Bytes;
use expect_test::expect;
use jiff::Timestamp;
use serde_json::{Value, json};
use vodrelay_core::config::Surroundings;
use vodrelay_core::testing::{delivery_of, event_body, sink_contract};
use vodrelay_core::{Delivery, Name};

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
    let sink = build("archive", json!({"url": "file:archive/all"}), beside(folder.path())).unwrap();
    sink.deliver(&delivery(body)).await.unwrap();
    let mut files = files(&folder.path().join("archive/all"));
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

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let error = build("archive", json!({"url": "file:file/archive"}), beside(folder.path())).unwrap_err();
    assert!(error.starts_with("url: cannot create the folder ") && error.contains("file/archive"), "{error}");
}
