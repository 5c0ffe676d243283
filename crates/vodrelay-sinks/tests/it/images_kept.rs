//! The image itself: fetched as its host wants it, checked, kept beside its record, and never fetched twice.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use expect_test::expect;
use jiff::Timestamp;
use serde_json::{Value, json};
use tempfile::TempDir;
use vod_event::{CdnAuth, CdnAuthType, PrivateKey};
use vodrelay_core::config::Surroundings;
use vodrelay_core::sink::Retry;
use vodrelay_core::testing::delivery_of;
use vodrelay_core::{Delivery, Name, Sink, SinkError};

use crate::bucket::Bucket;
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
    folder: TempDir,
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

fn sha256(bytes: &[u8]) -> String {
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
async fn every_type_of_the_cdn_is_signed_with_the_clock_of_the_sink() {
    let now = Timestamp::from_second(1_700_000_000).unwrap();
    for auth_type in ["A", "B", "C", "C1", "C2"] {
        let auth = json!({"type": auth_type, "key": "aliyunvodexp1234"});
        let archive = Archive::with(json!({"auth": auth}), move |_| image(&gif(8, 8, 1))).await;
        archive.deliver("/a/b%20c.gif?x=1", json!({})).await.unwrap();
        let auth =
            CdnAuth::new(auth_type.parse::<CdnAuthType>().unwrap(), PrivateKey::new("aliyunvodexp1234"));
        let signed = auth.sign(&archive.host.url("/a/b%20c.gif?x=1"), now).unwrap();
        let path = signed.strip_prefix(&archive.host.url("")).unwrap();
        let head = &archive.host.requests()[0].head;
        assert!(head.starts_with(&format!("GET {path} HTTP/1.1\r\n")), "{head}");
        assert_eq!(
            archive.recorded()["url"],
            archive.host.url("/a/b%20c.gif?x=1"),
            "the record has no signature"
        );
    }
}

#[tokio::test]
async fn where_the_first_key_is_denied_the_second_is_tried() {
    let second = CdnAuth::new(CdnAuthType::A, PrivateKey::new("Second0123456789"));
    let signed = second.sign("http://h/b.gif", Timestamp::from_second(1_700_000_000).unwrap()).unwrap();
    let path = signed.strip_prefix("http://h").unwrap().to_owned();
    let keys = json!({"auth": {"type": "A", "keys": ["First00123456789", "Second0123456789"]}});
    let archive = Archive::with(keys.clone(), move |request| {
        if request.head.starts_with(&format!("GET {path} ")) {
            image(&gif(8, 8, 1))
        } else {
            invalid_signature()
        }
    })
    .await;
    archive.deliver("/b.gif", json!({})).await.unwrap();
    assert_eq!((archive.host.requests().len(), &archive.recorded()["state"]), (2, &json!("kept")));

    let archive = Archive::with(keys, |_| invalid_signature()).await;
    let error = archive.deliver("/b.gif", json!({})).await.unwrap_err();
    assert_eq!(archive.host.requests().len(), 2);
    assert!(error.message.contains("the CDN takes the signature of neither key"), "{error}");
    let told = format!("{error} {} {:?}", archive.record(), archive.sink);
    for secret in ["First0", "Second0", "d41d8cd9", "auth_key"] {
        assert!(!told.contains(secret), "{secret} in {told}");
    }
}

fn invalid_signature() -> Vec<u8> {
    let why = "x-tengine-error: denied by req auth: invalid md5hash=d41d8cd98f00b204e9800998ecf8427e";
    answer("403 Forbidden", &[why], "denied")
}

#[tokio::test]
async fn an_origin_bucket_is_asked_with_a_pre_signed_url() {
    let auth = json!({"type": "oss", "access_key_id": "id", "access_key_secret": "very-secret",
                      "security_token": "a token", "bucket": "example", "region": "cn-shanghai"});
    let archive = Archive::with(json!({"auth": auth}), move |_| image(&gif(8, 8, 1))).await;
    archive.deliver("/a/b.gif", json!({})).await.unwrap();
    let head = &archive.host.requests()[0].head;
    for part in [
        "GET /a/b.gif?",
        "x-oss-credential=id%2F20231114%2Fcn-shanghai%2Foss",
        "x-oss-security-token=a%20token",
        "x-oss-signature=",
    ] {
        assert!(head.contains(part), "{part} in {head}");
    }
    assert!(!format!("{:?}", archive.sink).contains("very-secret"));
}

#[tokio::test]
async fn a_host_that_no_entry_matches_is_never_asked() {
    let archive = Archive::with(json!({}), |_| image(&gif(8, 8, 1))).await;
    let other = Script::start(|_| image(&gif(8, 8, 1))).await;
    let port = other.address.port();
    let check = async |url: String, reason: &str| {
        let delivery = event(2, std::slice::from_ref(&url), &json!({}));
        archive.sink.deliver(&delivery).await.unwrap();
        let recorded = archive.recorded();
        assert_eq!((&recorded["state"], &recorded["reason"]), (&json!("linked"), &json!(reason)), "{url}");
        std::fs::remove_dir_all(archive.folder()).unwrap();
        std::fs::create_dir(archive.folder()).unwrap();
    };
    check(other.url("/b.gif"), &format!("no entry of image_hosts matches 127.0.0.1:{port}")).await;
    check(
        format!("http://2130706433:{port}/b.gif"),
        &format!("no entry of image_hosts matches 127.0.0.1:{port}"),
    )
    .await;
    check(
        format!("http://LOCALHOST:{port}/b.gif"),
        &format!("no entry of image_hosts matches localhost:{port}"),
    )
    .await;
    check("http://100.100.100.200/b.gif".to_owned(), "no entry of image_hosts matches 100.100.100.200").await;
    check("ftp://127.0.0.1/b.gif".to_owned(), "its URL is neither http nor https").await;
    check("file:///etc/passwd".to_owned(), "its URL is neither http nor https").await;
    let named = archive.host.url("/b.gif").replace("http://", "http://user@");
    check(named, "its URL has a user name in it").await;
    check("http://".to_owned(), "its URL cannot be read: empty host").await;
    assert!(other.requests().is_empty() && archive.host.requests().is_empty());
}

#[tokio::test]
async fn an_event_that_names_no_url_is_delivered() {
    let archive = Archive::with(json!({}), |_| image(&gif(8, 8, 1))).await;
    let body = r#"{"EventType":"DynamicImageComplete","EventTime":"2024-03-05T09:12:58Z","Status":"fail","VideoId":"v","JobId":"j","DynamicImageJobInfo":{"JobId":"j","Status":"fail"}}"#;
    let received_at = Timestamp::from_second(1_700_000_000).unwrap();
    archive.sink.deliver(&delivery_of(body.into(), &Name::new("test").unwrap(), received_at)).await.unwrap();
    assert_eq!(archive.recorded()["reason"], "the event has no URL for it");
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
    std::fs::remove_dir_all(archive.folder().join("images")).unwrap();
    archive.sink.deliver(&delivery).await.unwrap();
    assert_eq!(archive.host.requests().len(), 2, "the record's word counts, and nothing is read for it");
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
async fn connections_to_a_host_serve_again() {
    let archive = Archive::with(json!({}), |request| {
        if request.head.contains("missing") {
            answer("404 Not Found", &[], "a page")
        } else {
            image(&gif(8, 8, 1))
        }
    })
    .await;
    for number in 0..10 {
        let path = if number % 2 == 0 { "/b.gif" } else { "/missing.gif" };
        let _ = archive.sink.deliver(&event(number, &[archive.host.url(path)], &json!({}))).await;
    }
    assert_eq!((archive.host.requests().len(), archive.host.connections()), (10, 1));
}

#[tokio::test]
async fn an_image_that_another_relay_has_put_there_meanwhile_is_adopted() {
    let (theirs, at) = (webp(400, 300, 3, 0), "images/date=2024-03-05/");
    let put = theirs.clone();
    let bucket = Bucket::start_with(move |request, contents| {
        if request.head.contains("partNumber=3") {
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
    let (_, kept) = contents.objects.iter().find(|(key, _)| key.starts_with(at)).unwrap();
    assert!(*kept == theirs, "the first stays");
    let (_, record) = contents.objects.iter().find(|(key, _)| key.starts_with("events/")).unwrap();
    let record: Value = serde_json::from_slice(record).unwrap();
    assert_eq!(record["images"][0]["sha256"], sha256(&theirs));
}

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
async fn a_large_image_in_a_folder_is_kept_whole() {
    let body = large();
    let sent = image(&body);
    let archive = Archive::with(json!({}), move |_| sent.clone()).await;
    archive.deliver("/b.webp", json!({"Width": 400, "Height": 300})).await.unwrap();
    assert!(archive.only(&archive.folder().join("images")).1 == body);
    assert_eq!(archive.recorded()["sha256"], sha256(&body));
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

fn has_image(bucket: &Bucket) -> bool {
    bucket.contents().objects.keys().any(|key| key.starts_with("images/"))
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
    assert_eq!(bucket.log(), ["PUT events", "PUT events", "GET events"]);
    assert_eq!(states(&bucket), ["kept"]);
    assert!(String::from_utf8_lossy(bucket.contents().objects.values().next().unwrap()).contains("theirs"));
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

#[tokio::test]
async fn a_record_that_is_none_is_named_and_left_alone() {
    let archive = Archive::with(json!({}), move |_| image(&gif(8, 8, 1))).await;
    archive.deliver("/b.gif", json!({})).await.unwrap();
    let (key, _) = archive.only(&archive.folder().join("events"));
    std::fs::write(archive.folder().join(&key), "{}").unwrap();
    let error = archive.deliver("/b.gif", json!({})).await.unwrap_err();
    assert_eq!(error.retry, Retry::Permanent);
    assert_eq!(
        error.message,
        format!(
            "what stands at {key} is no record of this event: its schema is not urn:vodrelay:record:1; move it away, then replay the event"
        )
    );
}
