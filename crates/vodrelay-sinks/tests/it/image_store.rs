//! What people see of an archive: the images of an event, and no other object whatever a record names.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use vodrelay_core::config::{Options, Surroundings};
use vodrelay_core::testing::ManualClock;
use vodrelay_core::{Envelope, ImageError, ImageStore};

use crate::images::gif;
use crate::images_kept::{Archive, event, image};

fn store(folder: &Path) -> Arc<dyn ImageStore> {
    let factories = vodrelay_sinks::factories(Arc::new(ManualClock::default()));
    let factory = factories.iter().find(|factory| factory.kind() == "archive").unwrap();
    let surroundings = Surroundings { folder: folder.to_owned(), ..Surroundings::default() };
    factory.images(&Options::new(json!({"url": "file:archive"}), surroundings)).unwrap().unwrap()
}

/// An archive that has the first image of an event, and not the second.
async fn archive() -> (Archive, Envelope, Vec<u8>) {
    let body = gif(200, 100, 7);
    let sent = image(&body);
    let archive = Archive::with(json!({}), move |request| match request.head.starts_with("GET /a.gif") {
        true => sent.clone(),
        false => b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_vec(),
    })
    .await;
    let delivery = event(1, &[archive.host.url("/a.gif"), archive.host.url("/b.gif")], &json!({}));
    let _ = archive.sink.deliver(&delivery).await;
    let envelope = Envelope::clone(&delivery.envelope);
    (archive, envelope, body)
}

async fn check(store: &dyn ImageStore, event: &Envelope, place: usize, most: u64, expect: &str) {
    let said = match store.image(event, place, most).await {
        Ok(bytes) => format!("{} bytes", bytes.len()),
        Err(ImageError::NotKept(why)) => format!("not kept: {why}"),
        Err(ImageError::TooLarge(bytes)) => format!("too large: {bytes}"),
        Err(error) => format!("failed: {error}"),
    };
    assert!(said.starts_with(expect), "{place}: {said}, and {expect} was expected");
}

#[tokio::test]
async fn what_is_kept_is_seen_and_what_is_not_is_explained() {
    let (archive, event, body) = archive().await;
    let store = store(archive.folder.path());
    assert_eq!(store.image(&event, 0, 1 << 20).await.unwrap(), body);
    let images = store.images(&event).await.unwrap();
    assert_eq!((images[0].state.as_str(), images[0].bytes), ("kept", Some(body.len() as u64)));
    assert_eq!((images[1].state.as_str(), images[1].bytes), ("failed", None));
    assert!(images[1].reason.as_ref().unwrap().contains("404"), "{images:?}");

    let store = store.as_ref();
    check(store, &event, 1, 1 << 20, "not kept: the archive calls it failed: ").await;
    check(store, &event, 2, 1 << 20, "not kept: the archive knows 2 images of it").await;
    check(store, &event, 0, body.len() as u64, &format!("{} bytes", body.len())).await;
    check(store, &event, 0, body.len() as u64 - 1, &format!("too large: {}", body.len())).await;
    let other = Envelope::clone(&self::event(2, &[], &json!({})).envelope);
    assert_eq!(store.images(&other).await.unwrap(), []);
    check(store, &other, 0, 1 << 20, "not kept: the archive knows 0 images of it").await;
    let (key, _) = archive.only(&archive.folder().join("images"));
    std::fs::remove_file(archive.folder().join(key)).unwrap();
    check(store, &event, 0, 1 << 20, "not kept: the archive's record calls it kept, and ").await;
}

#[tokio::test]
async fn a_record_leads_to_no_other_object() {
    let (archive, event, _) = archive().await;
    let store = store(archive.folder.path());
    let (key, record) = archive.only(&archive.folder().join("events"));
    let record: Value = serde_json::from_slice(&record).unwrap();
    std::fs::write(archive.folder.path().join("secret"), "GIF89a").unwrap();
    for named in [json!("../secret"), json!("/etc/passwd"), json!(key), json!(""), Value::Null] {
        let mut record = record.clone();
        record["images"][0]["key"] = named;
        std::fs::write(archive.folder().join(&key), record.to_string()).unwrap();
        check(store.as_ref(), &event, 0, 1 << 20, "not kept: the archive's record names a key that is not")
            .await;
    }
    std::fs::write(archive.folder().join(&key), "no record").unwrap();
    check(store.as_ref(), &event, 0, 1 << 20, "failed: what stands at events/").await;
}
