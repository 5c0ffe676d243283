//! An image on its way into a bucket: in one piece or in parts, given up where it fails, beside other relays.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use vodrelay_core::Sink;
use vodrelay_core::sink::Retry;

use crate::bucket::Bucket;
use crate::images::{gif, webp};
use crate::images_kept::{event, image, sha256, sink};
use crate::script::{Request, Script, answer};

/// An archive in a bucket, and the host of the image.
async fn in_bucket(bucket: &Bucket, body: Vec<u8>) -> (Script, Arc<dyn Sink>) {
    let host = Script::start(move |_| image(&body)).await;
    let sink = sink(Path::new("."), bucket.options(), &host, &json!({}));
    (host, sink)
}

/// More than waits in memory.
fn large() -> Vec<u8> {
    webp(400, 300, 2, 21 << 19)
}

fn states(bucket: &Bucket) -> Vec<Value> {
    let contents = bucket.contents();
    let records = contents.objects.iter().filter(|(key, _)| key.starts_with("events/"));
    let images = records.flat_map(|(_, record)| {
        serde_json::from_slice::<Value>(record).unwrap()["images"].as_array().unwrap().clone()
    });
    images.map(|image| image["state"].clone()).collect()
}

fn has_image(bucket: &Bucket) -> bool {
    bucket.contents().objects.keys().any(|key| key.starts_with("images/"))
}

/// Waits until the upload is given up, which happens beside the delivery.
async fn given_up(bucket: &Bucket) {
    for _ in 0..500 {
        if bucket.log().contains(&"DELETE images?".to_owned()) {
            assert!(bucket.contents().uploads.is_empty());
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the upload is not given up: {:?}", bucket.log());
}

#[tokio::test]
async fn a_small_image_is_one_put_between_two_of_the_record() {
    let bucket = Bucket::start().await;
    let (host, sink) = in_bucket(&bucket, gif(200, 100, 3)).await;
    sink.deliver(&event(1, &[host.url("/b.gif")], &json!({}))).await.unwrap();
    assert_eq!(bucket.log(), ["PUT events", "PUT images", "PUT events"]);
    assert_eq!(states(&bucket), ["kept"]);
    let requests = bucket.requests();
    assert_eq!(requests[1].header("if-none-match"), Some("*"));
    assert!(requests[2].header("if-match").is_some());
}

#[tokio::test]
async fn a_large_image_goes_in_parts_of_one_size() {
    let body = large();
    let bucket = Bucket::start().await;
    let (host, sink) = in_bucket(&bucket, body.clone()).await;
    sink.deliver(&event(1, &[host.url("/b.gif")], &json!({}))).await.unwrap();
    assert_eq!(
        bucket.log(),
        [
            "PUT events",
            "POST images?uploads=",
            "PUT images?partNumber=1",
            "PUT images?partNumber=2",
            "PUT images?partNumber=3",
            "HEAD images",
            "POST images?",
            "PUT events"
        ]
    );
    let sizes: Vec<usize> = bucket.requests()[2..4].iter().map(|part| part.body.len()).collect();
    assert_eq!(sizes, [5 << 20, 5 << 20]);
    assert_eq!(states(&bucket), ["kept"]);
    let contents = bucket.contents();
    assert!(contents.objects.iter().any(|(key, object)| key.starts_with("images/") && *object == body));
    assert!(contents.uploads.is_empty());
}

#[tokio::test]
async fn a_large_image_that_fails_its_check_is_given_up() {
    let bucket = Bucket::start().await;
    let mut body = large();
    body.pop();
    let (host, sink) = in_bucket(&bucket, body).await;
    let error = sink.deliver(&event(1, &[host.url("/b.gif")], &json!({}))).await.unwrap_err();
    assert!(error.message.ends_with("sent no whole image: the WebP ends in the middle"), "{error}");
    given_up(&bucket).await;
    assert_eq!((states(&bucket), has_image(&bucket)), (vec![json!("failed")], false));
}

#[tokio::test]
async fn an_attempt_that_is_dropped_gives_its_upload_up() {
    let bucket = Bucket::start().await;
    let body = large();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
    let half = [head.as_bytes(), &body[..41 << 18]].concat();
    let host = Script::start(move |_| half.clone()).await;
    let sink = sink(Path::new("."), bucket.options(), &host, &json!({}));
    let delivery = event(1, &[host.url("/b.gif")], &json!({}));
    let attempt = sink.deliver(&delivery);
    let until_two_parts = async {
        while bucket.contents().uploads.values().map(|parts| parts.len()).sum::<usize>() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        _ = attempt => panic!("the image never ends"),
        () = until_two_parts => {}
    }
    given_up(&bucket).await;
    assert_eq!((states(&bucket), has_image(&bucket)), (vec![json!("pending")], false));
}

#[tokio::test]
async fn a_store_that_fails_in_the_middle_leaves_nothing_half_written() {
    let bucket = Bucket::start_with(|request, _| {
        request.head.contains("partNumber=2").then(|| answer("403 Forbidden", &[], "<Error/>"))
    })
    .await;
    let (host, sink) = in_bucket(&bucket, large()).await;
    let error = sink.deliver(&event(1, &[host.url("/b.gif")], &json!({}))).await.unwrap_err();
    assert!(error.message.starts_with("cannot write a part of images/date=2024-03-05/evt_1"), "{error}");
    assert_eq!(
        error.retry,
        Retry::Temporary { after: None, give_up_after: None },
        "the store's trouble is the sink's"
    );
    given_up(&bucket).await;
    assert_eq!((states(&bucket), has_image(&bucket)), (vec![json!("pending")], false));
}

#[tokio::test]
async fn what_another_relay_has_kept_is_not_overwritten_by_our_failure() {
    // The other relay writes the record again between our first look and our last word.
    let bucket = Bucket::start_with(|request, contents| {
        if request.header("if-match").is_some() {
            let record = contents.objects.values_mut().next().unwrap();
            let kept = String::from_utf8(record.clone())
                .unwrap()
                .replace("\"pending\"", "\"kept\",\"key\":\"theirs\"");
            *record = kept.into_bytes();
        }
        None
    })
    .await;
    let host = Script::start(|_| answer("404 Not Found", &[], "")).await;
    let sink = sink(Path::new("."), bucket.options(), &host, &json!({}));
    sink.deliver(&event(1, &[host.url("/b.gif")], &json!({}))).await.unwrap();
    assert_eq!(bucket.log(), ["PUT events", "GET images", "GET images", "PUT events", "GET events"]);
    assert_eq!(states(&bucket), ["kept"]);
    assert!(String::from_utf8_lossy(bucket.contents().objects.values().next().unwrap()).contains("theirs"));
}

#[tokio::test]
async fn what_others_note_meanwhile_is_not_lost() {
    let bucket = Bucket::start_with(|request, contents| {
        let record = contents.objects.iter_mut().find(|(key, _)| key.starts_with("events/"));
        if let (Some(_), Some((_, record))) = (request.header("if-match"), record) {
            let text = String::from_utf8(record.clone()).unwrap();
            *record = text
                .replacen("\"state\":\"pending\"}],", "\"state\":\"kept\",\"key\":\"theirs\"}],", 1)
                .into_bytes();
        }
        None
    })
    .await;
    let host = Script::start(|request| {
        if request.head.contains("/0.gif") { image(&gif(8, 8, 1)) } else { answer("500 Oops", &[], "") }
    })
    .await;
    let sink = sink(Path::new("."), bucket.options(), &host, &json!({}));
    sink.deliver(&event(1, &[host.url("/0.gif"), host.url("/1.gif")], &json!({}))).await.unwrap();
    assert_eq!(states(&bucket), ["kept", "kept"]);
}

#[tokio::test]
async fn a_repeat_after_the_record_failed_fetches_nothing() {
    let is_down = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let down = Arc::clone(&is_down);
    let bucket = Bucket::start_with(move |request, _| {
        let is_down = down.load(std::sync::atomic::Ordering::Relaxed) && request.header("if-match").is_some();
        is_down.then(|| answer("403 Forbidden", &[], ""))
    })
    .await;
    let (host, sink) = in_bucket(&bucket, gif(8, 8, 1)).await;
    let delivery = event(1, &[host.url("/b.gif")], &json!({}));
    sink.deliver(&delivery).await.unwrap_err();
    assert_eq!((states(&bucket), has_image(&bucket)), (vec![json!("pending")], true));
    is_down.store(false, std::sync::atomic::Ordering::Relaxed);
    sink.deliver(&delivery).await.unwrap();
    assert_eq!((states(&bucket), host.requests().len()), (vec![json!("kept")], 1));
}

/// Another relay keeps its image under the same key at that moment of the upload: it stays, and the record tells of it.
async fn the_first_image_stays(is_the_moment: fn(&Request) -> bool) {
    let theirs = webp(400, 300, 3, 0);
    let put = theirs.clone();
    let bucket = Bucket::start_with(move |request, contents| {
        if is_the_moment(request) {
            let key = contents.uploads.keys().next().unwrap().clone();
            contents.objects.insert(key, put.clone());
        }
        None
    })
    .await;
    let (host, sink) = in_bucket(&bucket, large()).await;
    sink.deliver(&event(1, &[host.url("/b.webp")], &json!({}))).await.unwrap();
    given_up(&bucket).await;
    let contents = bucket.contents();
    let under = |place: &str| contents.objects.iter().find(|(key, _)| key.starts_with(place)).unwrap().1;
    assert!(*under("images/date=2024-03-05/") == theirs, "the first stays");
    let record: Value = serde_json::from_slice(under("events/")).unwrap();
    assert_eq!(record["images"][0]["sha256"], sha256(&theirs));
}

#[tokio::test]
async fn an_image_that_another_relay_has_put_there_meanwhile_is_adopted() {
    the_first_image_stays(|request| request.head.contains("partNumber=3")).await;
}

/// After the look, and before the upload is completed.
#[tokio::test]
async fn an_image_that_appears_at_the_last_moment_is_spared() {
    the_first_image_stays(|request| request.method() == "POST" && request.path().contains("uploadId")).await;
}

#[tokio::test]
async fn a_store_that_cannot_complete_on_a_condition_completes_without() {
    let bucket = Bucket::start_with(|request, _| {
        let is_conditional = request.method() == "POST" && request.header("if-none-match").is_some();
        is_conditional.then(|| answer("501 Not Implemented", &[], ""))
    })
    .await;
    let (host, sink) = in_bucket(&bucket, large()).await;
    for number in [1, 2] {
        sink.deliver(&event(number, &[host.url("/b.webp")], &json!({}))).await.unwrap();
    }
    assert_eq!(states(&bucket), ["kept", "kept"]);
    let refused = bucket.server.requests().iter().filter(|request| request.head.contains("POST")).count();
    assert_eq!(refused, 2 + 3, "it is asked once only");
}

/// A store that heeds neither condition, and an event that one relay has archived; another one has just started, and
/// its host has lost the image.
#[tokio::test]
async fn where_conditions_are_ignored_a_fresh_relay_takes_nothing_back() {
    for ignored in [["if-none-match", "if-match"].as_slice(), &["if-match"]] {
        let bucket = Bucket::start_with(move |request, contents| {
            let is_put = request.method() == "PUT" && !request.path().contains('?');
            let is_ignored = ignored.iter().any(|name| request.header(name).is_some());
            (is_put && is_ignored).then(|| contents.put(request))
        })
        .await;
        let (host, first) = in_bucket(&bucket, gif(8, 8, 1)).await;
        let delivery = event(1, &[host.url("/b.gif")], &json!({}));
        first.deliver(&delivery).await.unwrap();
        let record = |bucket: &Bucket| bucket.contents().objects.iter().next().unwrap().1.clone();
        let before = record(&bucket);
        assert_eq!(states(&bucket), ["kept"]);

        let gone = Script::start(|_| answer("410 Gone", &[], "")).await;
        let fresh = sink(Path::new("."), bucket.options(), &gone, &json!({}));
        fresh.deliver(&delivery).await.unwrap();
        assert!(record(&bucket) == before, "{ignored:?}");
    }
}

/// The other relay notes the image as kept while this one asks for it, and the store heeds no versions.
#[tokio::test]
async fn where_versions_are_ignored_what_was_kept_during_a_fetch_stays() {
    let bucket =
        Bucket::start_with(|request, contents| request.header("if-match").map(|_| contents.put(request)))
            .await;
    let contents = bucket.shared();
    let host = Script::start(move |_| {
        let mut contents = contents.lock().unwrap();
        let record = contents.objects.values_mut().next().unwrap();
        let kept = String::from_utf8(record.clone()).unwrap();
        *record = kept.replace("\"pending\"", "\"kept\",\"key\":\"theirs\"").into_bytes();
        answer("410 Gone", &[], "")
    })
    .await;
    let sink = sink(Path::new("."), bucket.options(), &host, &json!({}));
    sink.deliver(&event(1, &[host.url("/b.gif")], &json!({}))).await.unwrap();
    assert_eq!(states(&bucket), ["kept"]);
}

#[tokio::test]
async fn an_event_without_an_image_is_delivered_only_when_its_record_stands() {
    let bucket = Bucket::start_with(|request, _| {
        (request.method() == "PUT").then(|| answer("412 Precondition Failed", &[], ""))
    })
    .await;
    let (_, sink) = in_bucket(&bucket, gif(8, 8, 1)).await;
    let error = sink.deliver(&event(1, &[], &json!({}))).await.unwrap_err();
    assert!(error.message.contains("was taken out of the store a moment ago"), "{error}");
}
