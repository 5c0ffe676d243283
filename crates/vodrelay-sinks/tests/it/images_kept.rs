//! The image itself: checked, kept beside its record, and never fetched twice.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use expect_test::expect;
use jiff::Timestamp;
use serde_json::{Value, json};
use tempfile::TempDir;
use vodrelay_core::config::Surroundings;
use vodrelay_core::sink::Retry;
use vodrelay_core::testing::delivery_of;
use vodrelay_core::{Delivery, Name, Sink, SinkError};

use crate::build;
use crate::images::{gif, webp};
use crate::script::{Request, Script, answer};

/// The answer with an image in it.
pub(crate) fn image(body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
}

/// An event whose images have these URLs, and say this size of themselves.
pub(crate) fn event(number: usize, urls: &[String], claims: &Value) -> Delivery {
    let image = |url: &String| {
        let mut image = json!({"JobId": format!("{number:032x}"), "Status": "success", "FileURL": url});
        image.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        image
    };
    let infos: Vec<Value> = urls.iter().map(image).collect();
    let body = json!({
        "EventType": "DynamicImageComplete", "EventTime": "2024-03-05T09:12:58Z", "Status": "success",
        "VideoId": format!("{number:032x}"), "JobId": format!("{number:032x}"), "DynamicImageJobInfo": infos,
    });
    let received_at: Timestamp = "2024-03-06T00:00:01.5Z".parse().unwrap();
    delivery_of(Bytes::from(body.to_string()), &Name::new("test").unwrap(), received_at)
}

/// An archive in a folder, and a host that images come from.
pub(crate) struct Archive {
    pub(crate) folder: TempDir,
    pub(crate) host: Script,
    pub(crate) sink: Arc<dyn Sink>,
}

impl Archive {
    /// `entry` is added to what an entry for the host needs.
    pub(crate) async fn with(
        entry: Value,
        play: impl Fn(&Request) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        let (folder, host) = (tempfile::tempdir().unwrap(), Script::start(play).await);
        let sink = sink(folder.path(), json!({"url": "file:archive"}), &host, &entry);
        Self { folder, host, sink }
    }

    /// Delivers an event with one image of the host, at that path.
    pub(crate) async fn deliver(&self, path: &str, claims: Value) -> Result<(), SinkError> {
        self.sink.deliver(&event(1, &[self.host.url(path)], &claims)).await.map(drop)
    }

    pub(crate) fn folder(&self) -> std::path::PathBuf {
        self.folder.path().join("archive")
    }

    /// The one record.
    pub(crate) fn record(&self) -> Value {
        serde_json::from_slice(&self.only(&self.folder().join("events")).1).unwrap()
    }

    pub(crate) fn recorded(&self) -> Value {
        self.record()["images"][0].clone()
    }

    /// The one file of a day below the folder, by its key.
    pub(crate) fn only(&self, folder: &Path) -> (String, Vec<u8>) {
        let mut files: Vec<_> =
            std::fs::read_dir(folder.join("date=2024-03-05")).unwrap().map(Result::unwrap).collect();
        assert_eq!(files.len(), 1);
        let path = files.remove(0).path();
        let key = path.strip_prefix(self.folder()).unwrap().display().to_string();
        (key, std::fs::read(path).unwrap())
    }

    /// Whether any image stands in the archive.
    pub(crate) fn has_image(&self) -> bool {
        self.folder().join("images").exists()
            && std::fs::read_dir(self.folder().join("images/date=2024-03-05"))
                .is_ok_and(|mut files| files.next().is_some())
    }
}

/// A sink with an entry for the host's address, which is not public.
pub(crate) fn sink(folder: &Path, mut options: Value, host: &Script, entry: &Value) -> Arc<dyn Sink> {
    let mut whole = json!({"name": host.address.to_string(), "allow_addresses": ["127.0.0.1"]});
    whole.as_object_mut().unwrap().extend(entry.as_object().unwrap().clone());
    options["image_hosts"] = json!([whole]);
    let surroundings = Surroundings { folder: folder.to_owned(), ..Surroundings::default() };
    build("archive", options, surroundings).unwrap()
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn a_gif_is_kept_beside_its_record_with_what_it_is() {
    let body = gif(200, 100, 7);
    let sent = image(&body);
    let archive = Archive::with(json!({}), move |_| sent.clone()).await;
    archive
        .deliver("/a/b.gif", json!({"FileSize": body.len(), "Width": "200", "Height": 100}))
        .await
        .unwrap();
    let (key, kept) = archive.only(&archive.folder().join("images"));
    assert!(kept == body);
    let mut recorded = archive.recorded();
    assert_eq!(recorded["key"], key);
    assert_eq!(recorded["sha256"], sha256(&body));
    for changing in ["url", "sha256", "key"] {
        recorded.as_object_mut().unwrap().remove(changing);
    }
    expect![[r#"
        {
          "doubts": [],
          "format": "gif",
          "fps": null,
          "frames": 7,
          "height_px": 100,
          "job_id": "00000000000000000000000000000001",
          "kept_bytes": 142524,
          "kept_height_px": 100,
          "kept_width_px": 200,
          "size_bytes": 142524,
          "state": "kept",
          "status": "success",
          "width_px": 200
        }"#]]
    .assert_eq(&format!("{recorded:#}"));
    let requests = archive.host.requests();
    assert_eq!(requests.len(), 1);
    assert!(requests[0].head.starts_with("GET /a/b.gif HTTP/1.1\r\n"), "{}", requests[0].head);
    assert_eq!(requests[0].header("accept-encoding"), Some("identity"));
}

#[tokio::test]
async fn the_ending_of_a_key_is_what_the_image_is() {
    let archive = Archive::with(json!({}), move |_| image(&webp(40, 30, 5, 9))).await;
    archive.deliver("/a/b.gif", json!({})).await.unwrap();
    let (key, kept) = archive.only(&archive.folder().join("images"));
    assert!(key.ends_with(".0.webp") && kept == webp(40, 30, 5, 9), "{key}");
    let recorded = archive.recorded();
    assert_eq!((&recorded["format"], &recorded["frames"]), (&json!("webp"), &json!(5)));
}

#[tokio::test]
async fn what_may_be_rounding_is_a_doubt() {
    let archive = Archive::with(json!({}), move |_| image(&gif(200, 100, 1))).await;
    archive.deliver("/b.gif", json!({"FileSize": "7", "Width": 201, "Height": 100})).await.unwrap();
    expect![[r#"
        [
          {
            "field": "Width",
            "what": "201, and the image is 200 px wide"
          },
          {
            "field": "FileSize",
            "what": "7, and the image has 20718 bytes"
          }
        ]"#]]
    .assert_eq(&format!("{:#}", archive.recorded()["doubts"]));
}

#[tokio::test]
async fn what_is_kept_is_not_fetched_again() {
    let archive = Archive::with(json!({}), move |_| image(&gif(8, 8, 1))).await;
    let urls = [archive.host.url("/0.gif"), archive.host.url("/1.gif")];
    let delivery = event(1, &urls, &json!({}));
    archive.sink.deliver(&delivery).await.unwrap();
    let before = archive.record();
    let replay = Delivery { replay: 1, attempt: 2, ..delivery.clone() };
    archive.sink.deliver(&replay).await.unwrap();
    let other = sink(archive.folder.path(), json!({"url": "file:archive"}), &archive.host, &json!({}));
    other.deliver(&delivery).await.unwrap();
    assert_eq!(archive.host.requests().len(), 2);
    assert_eq!(archive.record(), before);
    assert_eq!([&before["images"][0]["state"], &before["images"][1]["state"]], ["kept", "kept"]);
}

#[tokio::test]
async fn what_is_no_longer_there_is_fetched_anew_by_a_replay() {
    let is_gone = Arc::new(AtomicBool::new(false));
    let gone = Arc::clone(&is_gone);
    let archive = Archive::with(json!({}), move |_| {
        if gone.load(Ordering::Relaxed) { answer("410 Gone", &[], "") } else { image(&gif(8, 8, 1)) }
    })
    .await;
    let deliver = async || archive.deliver("/b.gif", json!({})).await;
    deliver().await.unwrap();
    let before = archive.record();
    let take_away = |what: &str| std::fs::remove_dir_all(archive.folder().join(what)).unwrap();

    take_away("images");
    deliver().await.unwrap();
    assert_eq!((archive.record(), archive.has_image()), (before.clone(), true), "the image alone");
    take_away("events");
    deliver().await.unwrap();
    assert_eq!((archive.record(), archive.has_image()), (before.clone(), true), "the record alone");
    take_away("events");
    take_away("images");
    deliver().await.unwrap();
    assert_eq!((archive.record(), archive.has_image()), (before.clone(), true), "both");

    is_gone.store(true, Ordering::Relaxed);
    take_away("events");
    deliver().await.unwrap();
    assert_eq!(archive.record(), before, "the record alone, where the host has the image no longer");
    take_away("images");
    assert!(deliver().await.unwrap_err().message.contains("410 Gone"));
    let recorded = archive.recorded();
    assert_eq!(
        (&recorded["state"], &recorded["cause"], recorded.get("key")),
        (&json!("failed"), &json!("gone"), None)
    );
}

#[tokio::test]
async fn what_has_failed_is_fetched_on_a_replay() {
    let is_mended = Arc::new(AtomicBool::new(false));
    let mended = Arc::clone(&is_mended);
    let archive = Archive::with(json!({}), move |_| {
        if mended.load(Ordering::Relaxed) { image(&gif(8, 8, 1)) } else { answer("410 Gone", &[], "") }
    })
    .await;
    let other = Script::start(|_| image(&gif(8, 8, 1))).await;
    // One fails, the other is linked, for its host is not listed.
    let delivery = event(1, &[archive.host.url("/0.gif"), other.url("/1.gif")], &json!({}));
    assert_eq!(archive.sink.deliver(&delivery).await.unwrap_err().retry, Retry::Permanent);
    let states = || {
        let record = archive.record();
        [0, 1].map(|place| record["images"][place]["state"].as_str().unwrap().to_owned())
    };
    assert_eq!(states(), ["failed", "linked"]);
    is_mended.store(true, Ordering::Relaxed);
    let entry = |host: &Script| json!({"name": host.address.to_string(), "allow_addresses": ["127.0.0.1"]});
    let options = json!({"url": "file:archive", "image_hosts": [entry(&archive.host), entry(&other)]});
    let surroundings = Surroundings { folder: archive.folder.path().to_owned(), ..Surroundings::default() };
    let sink = build("archive", options, surroundings).unwrap();
    sink.deliver(&Delivery { replay: 1, ..delivery }).await.unwrap();
    assert_eq!(states(), ["kept", "kept"]);
    let record = archive.record();
    for image in record["images"].as_array().unwrap() {
        assert!(image.get("cause").is_none() && image.get("reason").is_none(), "{image}");
    }
}

#[tokio::test]
async fn an_entry_added_later_fetches_on_a_replay() {
    let archive = Archive::with(json!({}), move |_| image(&gif(8, 8, 1))).await;
    let delivery = event(1, &[archive.host.url("/b.gif")], &json!({}));
    let surroundings = Surroundings { folder: archive.folder.path().to_owned(), ..Surroundings::default() };
    let without = build("archive", json!({"url": "file:archive"}), surroundings).unwrap();
    without.deliver(&delivery).await.unwrap();
    assert_eq!(archive.recorded()["state"], "linked");
    archive.sink.deliver(&delivery).await.unwrap();
    let recorded = archive.recorded();
    assert_eq!((&recorded["state"], recorded.get("reason")), (&json!("kept"), None));
}

#[tokio::test]
async fn an_image_that_was_left_without_a_word_is_adopted() {
    let archive = Archive::with(json!({}), move |_| image(&webp(8, 8, 3, 0))).await;
    archive.deliver("/b.webp", json!({})).await.unwrap();
    let kept = archive.record();
    let (key, _) = archive.only(&archive.folder().join("events"));
    // As a relay leaves it that is killed between the image and the record.
    let mut before = kept.clone();
    let as_it_was = before["images"][0].as_object_mut().unwrap();
    as_it_was.retain(|name, _| {
        !["key", "sha256", "kept_bytes", "format", "frames", "kept_width_px", "kept_height_px", "doubts"]
            .contains(&name.as_str())
    });
    as_it_was["state"] = json!("pending");
    std::fs::write(archive.folder().join(&key), before.to_string()).unwrap();
    archive.deliver("/b.webp", json!({})).await.unwrap();
    assert_eq!(archive.host.requests().len(), 1, "it is not fetched again");
    assert_eq!(archive.record(), kept);
}

#[tokio::test]
async fn something_else_at_the_key_is_left_alone() {
    let archive = Archive::with(json!({}), move |_| image(&gif(8, 8, 1))).await;
    archive.deliver("/b.gif", json!({})).await.unwrap();
    let (key, _) = archive.only(&archive.folder().join("images"));
    std::fs::remove_dir_all(archive.folder().join("events")).unwrap();
    std::fs::write(archive.folder().join(&key), "notes").unwrap();
    let error = archive.deliver("/b.gif", json!({})).await.unwrap_err();
    assert_eq!(error.retry, Retry::Permanent);
    let told = format!(
        "what stands at {key} in the store is not this image: the body is neither GIF nor WebP; move it away, then replay the event"
    );
    assert_eq!(error.message, format!("image 0: {told}"));
    assert_eq!(
        (&archive.recorded()["cause"], &archive.recorded()["reason"]),
        (&json!("occupied"), &json!(told))
    );
    assert_eq!(archive.only(&archive.folder().join("images")).1, b"notes");

    std::fs::remove_dir_all(archive.folder().join("events")).unwrap();
    std::fs::write(archive.folder().join(&key), gif(8, 8, 2)).unwrap();
    archive.deliver("/b.gif", json!({})).await.unwrap();
    assert_eq!(archive.recorded()["sha256"], sha256(&gif(8, 8, 2)), "a whole image that was first stays");
}

#[tokio::test]
async fn the_first_writers_words_stay_when_the_record_is_written_again() {
    let archive = Archive::with(json!({}), move |_| image(&gif(8, 8, 1))).await;
    let body = format!(
        r#"{{"EventType":"DynamicImageComplete","EventTime":"2024-03-05T09:12:58Z","Status":"success","VideoId":"v","JobId":"j","Big":123456789012345678901234567890.10,"DynamicImageJobInfo":{{"JobId":"j","Status":"success","FileURL":"{}","Fps":25.50}}}}"#,
        archive.host.url("/b.gif")
    );
    let received_at: Timestamp = "2024-03-06T00:00:01.5Z".parse().unwrap();
    archive.sink.deliver(&delivery_of(body.into(), &Name::new("test").unwrap(), received_at)).await.unwrap();
    let record = String::from_utf8(archive.only(&archive.folder().join("events")).1).unwrap();
    assert!(record.contains(r#""Big":123456789012345678901234567890.10"#), "{record}");
    assert!(record.ends_with("}\n") && record.matches('\n').count() == 1);
    let order: Vec<usize> = [
        "\"schema\"",
        "\"event\"",
        "\"images\":[{\"job_id\":\"j\",\"status\"",
        "\"state\":\"kept\"",
        "\"body\"",
        "\"receipt\"",
    ]
    .iter()
    .map(|member| record.rfind(member).unwrap_or_else(|| panic!("{member} in {record}")))
    .collect();
    assert!(order.is_sorted(), "{order:?}");
}

#[tokio::test]
async fn a_large_image_in_a_folder_is_kept_whole() {
    let body = webp(400, 300, 2, 21 << 19);
    let sent = image(&body);
    let archive = Archive::with(json!({}), move |_| sent.clone()).await;
    archive.deliver("/b.webp", json!({"Width": 400, "Height": 300})).await.unwrap();
    assert!(archive.only(&archive.folder().join("images")).1 == body);
    assert_eq!(archive.recorded()["sha256"], sha256(&body));
}

#[tokio::test]
async fn in_a_folder_as_well_what_another_relay_has_kept_stays() {
    let folder = tempfile::tempdir().unwrap();
    let events = folder.path().join("archive/events/date=2024-03-05");
    let host = Script::start(move |_| {
        let path = std::fs::read_dir(&events).unwrap().next().unwrap().unwrap().path();
        let record = std::fs::read_to_string(&path).unwrap();
        std::fs::write(path, record.replace("\"pending\"", "\"kept\",\"key\":\"theirs\"")).unwrap();
        answer("404 Not Found", &[], "")
    })
    .await;
    let sink = sink(folder.path(), json!({"url": "file:archive"}), &host, &json!({}));
    let delivery = event(1, &[host.url("/b.gif")], &json!({}));
    sink.deliver(&delivery).await.unwrap();
    let record = folder.path().join(format!("archive/events/date=2024-03-05/{}.json", delivery.envelope.id));
    assert!(std::fs::read_to_string(record).unwrap().contains("theirs"));
}

#[tokio::test]
async fn a_record_that_is_none_is_named_and_left_alone() {
    let archive = Archive::with(json!({}), move |_| image(&gif(8, 8, 1))).await;
    archive.deliver("/b.gif", json!({})).await.unwrap();
    let (key, _) = archive.only(&archive.folder().join("events"));
    std::fs::write(archive.folder().join(&key), "{}").unwrap();
    let error = archive.deliver("/b.gif", json!({})).await.unwrap_err();
    assert_eq!(error.retry, SinkError::temporary_for_this_event("").retry, "the reading may have been cut");
    assert_eq!(
        error.message,
        format!(
            "what stands at {key} is no record of this event: its schema is not urn:vodrelay:record:1; where that stays so, move it away, and the event is tried again"
        )
    );
    let other = event(2, &[], &json!({}));
    archive.sink.deliver(&other).await.unwrap();
    let id = other.envelope.id.to_string();
    let theirs = std::fs::read(archive.folder().join(format!("events/date=2024-03-05/{id}.json"))).unwrap();
    std::fs::write(archive.folder().join(&key), theirs).unwrap();
    let error = archive.deliver("/b.gif", json!({})).await.unwrap_err();
    assert!(error.message.contains("it is of another event"), "{error}");
}

#[tokio::test]
async fn a_standing_image_that_ends_in_the_middle_is_read_again_later() {
    let archive = Archive::with(json!({}), move |_| image(&gif(8, 8, 1))).await;
    archive.deliver("/b.gif", json!({})).await.unwrap();
    let (key, whole) = archive.only(&archive.folder().join("images"));
    std::fs::remove_dir_all(archive.folder().join("events")).unwrap();
    std::fs::write(archive.folder().join(&key), &whole[..whole.len() / 2]).unwrap();
    let error = archive.deliver("/b.gif", json!({})).await.unwrap_err();
    assert_eq!(error.retry, SinkError::temporary_for_this_event("").retry);
    assert!(error.message.contains("ends in the middle; where that stays so, move it away"), "{error}");
    std::fs::write(archive.folder().join(&key), &whole).unwrap();
    archive.deliver("/b.gif", json!({})).await.unwrap();
    assert_eq!(archive.recorded()["state"], "kept");
}

/// Two relays get the same event, and the host has another large image for each; both images end at the same moment.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_large_images_in_a_folder_the_record_tells_of_the_one_that_stands() {
    for round in 0..10 {
        let folder = tempfile::tempdir().unwrap();
        let turn = std::sync::atomic::AtomicU16::new(0);
        let host = Script::start(move |_| {
            let turn = turn.fetch_add(1, Ordering::SeqCst);
            image(&webp(400, 300, 2 + turn, 17 << 19))
        })
        .await;
        let open = || sink(folder.path(), json!({"url": "file:archive"}), &host, &json!({}));
        let delivery = event(round, &[host.url("/b.webp")], &json!({}));
        let (one, other) = (open(), open());
        let (one, other) = tokio::join!(one.deliver(&delivery), other.deliver(&delivery));
        one.unwrap();
        other.unwrap();
        let archive = folder.path().join("archive");
        let record = archive.join(format!("events/date=2024-03-05/{}.json", delivery.envelope.id));
        let record: Value = serde_json::from_slice(&std::fs::read(record).unwrap()).unwrap();
        let kept = &record["images"][0];
        let standing = std::fs::read(archive.join(kept["key"].as_str().unwrap())).unwrap();
        assert_eq!(kept["sha256"], sha256(&standing), "round {round}");
        assert_eq!(std::fs::read_dir(archive.join(".staged")).unwrap().count(), 0);
    }
}
