//! The archive against a real S3 server.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use expect_test::expect;
use serde_json::{Value, json};
use vodrelay_core::config::Surroundings;
use vodrelay_core::testing::{ManualClock, event_body, sink_contract};

use crate::archive::{delivery, files};
use crate::images::{gif, webp};
use crate::images_kept::{event, image, sink};
use crate::reader::Archive;
use crate::script::{Request, Script};
use crate::server::{KEY, SECRET, Server};
use crate::{build, build_at};

const PROBE: &str = ".vodrelay-check";

/// Has an archive keep an event with two images, one of them so large that it goes in parts, and deliver it again: the
/// host is not asked for them again.
pub(crate) async fn keep_images(options: Value) {
    let (small, large) = (gif(200, 100, 3), webp(400, 300, 2, 21 << 19));
    let play = move |request: &Request| image(if request.path() == "/small.gif" { &small } else { &large });
    let host = Script::start(play).await;
    let sink = sink(Path::new("."), options, &host, &json!({}));
    let event = event(1, &[host.url("/small.gif"), host.url("/large.webp")], &json!({}));
    sink.deliver(&event).await.unwrap();
    sink.deliver(&event).await.unwrap();
    assert_eq!(host.requests().len(), 2, "one for each image");
}

#[tokio::test]
async fn a_bucket_keeps_the_contract_of_sinks() {
    let server = Server::start(&["events"]).await;
    sink_contract(build("archive", server.options("events"), Surroundings::default()).unwrap()).await;
    let files = files(&server.folder.path().join("events"));
    assert_eq!(files.len(), 4, "a repeat adds no object, a check leaves none: {files:?}");
    assert!(files.iter().all(|(key, _)| key.starts_with("some/prefix/events/date=")), "{files:?}");
}

#[tokio::test]
async fn a_store_that_heeds_conditions_gets_no_remark() {
    let server = Server::start(&["events"]).await;
    let sink = build("archive", server.options("events"), Surroundings::default()).unwrap();
    assert_eq!(sink.check().await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn images_are_kept_and_verified() {
    let server = Server::start(&["events"]).await;
    keep_images(server.options("events")).await;
    assert_eq!(Archive::of(server.options("events")).verified().await, "2 kept\n");
}

#[tokio::test]
async fn the_first_record_stays_when_its_event_comes_again() {
    let server = Server::start(&["events"]).await;
    let sink = build("archive", server.options("events"), Surroundings::default()).unwrap();
    sink.deliver(&delivery(event_body(1))).await.unwrap();
    let (key, _) = files(&server.folder.path().join("events")).remove(0);
    let file = server.folder.path().join("events").join(&key);
    let theirs = std::fs::read_to_string(&file).unwrap().replace("callbacks.main", "callbacks.theirs");
    std::fs::write(&file, &theirs).unwrap();
    sink.deliver(&delivery(event_body(1))).await.unwrap();
    assert_eq!(files(&server.folder.path().join("events")), [(key, theirs)]);
}

/// What a sink with this option changed says of a store that is there.
async fn check_wrong(key: &str, value: Value, says: &str) {
    let server = Server::start(&["events"]).await;
    let mut options = server.options("events");
    options[key] = value;
    let sink = build("archive", options, Surroundings::default()).unwrap();
    let error = sink.deliver(&delivery(event_body(1))).await.unwrap_err();
    assert!(error.message.contains(says), "{error}");
    let error = sink.check().await.unwrap_err();
    assert!(error.message.contains(says) && error.message.contains(PROBE), "{error}");
}

#[tokio::test]
async fn wrong_keys_are_named() {
    let other = || json!("another-key-id");
    check_wrong("access_key_id", other(), "the store does not know the access key another-key-id: ").await;
    let says = "the secret does not belong to the access key test-key-id: SignatureDoesNotMatch";
    check_wrong("secret_access_key", json!("another"), says).await;
}

#[tokio::test]
async fn a_store_that_is_not_there_is_named() {
    let says = "in s3://events at http://127.0.0.1:1: Connection refused";
    check_wrong("endpoint", json!("http://127.0.0.1:1"), says).await;
}

/// An endpoint whose host begins with the bucket is taken as it is, so `127` is the one bucket that needs no DNS in host
/// style. A server at a bare address takes the first part of the path for the bucket, here that of the prefix.
fn oss(server: &Server) -> Value {
    json!({"url": "oss://127/events/some", "endpoint": format!("http://127.0.0.1:{}", server.port),
           "region": "oss-cn-shanghai"})
}

#[tokio::test]
async fn keys_of_alibaba_cloud_that_the_store_refuses_are_fetched_anew() {
    let server = Server::start(&["events"]).await;
    let keys = server.folder.path().join("sts.json");
    let write = |id: &str, secret: &str| {
        let sts = json!({"AccessKeyId": id, "AccessKeySecret": secret, "SecurityToken": "token",
                         "Expiration": "2999-01-01T00:00:00Z"});
        std::fs::write(&keys, sts.to_string()).unwrap();
        // The file looks the same after the keys in it are others, so that nothing but the refusal has it read again.
        std::fs::File::options().write(true).open(&keys).unwrap().set_modified(UNIX_EPOCH).unwrap();
    };
    write("revoked-key", "another-key");
    let mut options = oss(&server);
    options["credentials"] = json!({"kind": "sts_file", "path": keys});
    let clock = Arc::new(ManualClock::default());
    let sink = build_at(Arc::clone(&clock), "archive", options, Surroundings::default()).unwrap();
    let error = sink.deliver(&delivery(event_body(1))).await.unwrap_err();
    assert!(error.message.contains("; the store does not know the access key revoked-key"), "{error}");
    write(KEY, SECRET);
    clock.advance(Duration::from_secs(10));
    sink.deliver(&delivery(event_body(1))).await.unwrap();
    let files = files(&server.folder.path().join("events"));
    assert!(files[0].0.starts_with("some/events/date=2024-03-05/evt_1"), "{files:?}");
}

#[tokio::test]
async fn a_store_that_ignores_conditions_is_named() {
    // This server knows nothing of the header by which OSS is told not to overwrite.
    let server = Server::start(&["events"]).await;
    let mut options = oss(&server);
    options["credentials"] = json!({"kind": "static", "access_key_id": KEY, "access_key_secret": SECRET});
    let sink = build("archive", options.clone(), Surroundings::default()).unwrap();
    let remarks = sink.check().await.unwrap();
    let remark = remarks.join("\n").replace(&format!(":{}", server.port), ":PORT");
    expect!["oss://127 at http://127.0.0.1:PORT does not heed the condition of a conditional write, so the relay looks before it writes; two relays that get the same event at the same moment may both write its objects, which is safe: they have the same keys and tell of the same event"].assert_eq(&remark);
    sink_contract(sink).await;
}

#[tokio::test]
async fn a_certificate_of_ones_own_is_trusted_where_its_file_is_named() {
    let (server, pem) = Server::start_tls(&["events"]).await;
    let file = server.folder.path().join("ca.pem");
    std::fs::write(&file, pem).unwrap();
    let mut options = server.options("events");
    options["endpoint"] = json!(format!("https://127.0.0.1:{}", server.port));
    let sink = build("archive", options.clone(), Surroundings::default()).unwrap();
    let error = sink.check().await.unwrap_err();
    assert!(error.message.contains(": invalid peer certificate: "), "{error}");
    options["ca_file"] = json!("ca.pem");
    let surroundings = Surroundings { folder: server.folder.path().to_owned(), ..Surroundings::default() };
    build("archive", options, surroundings).unwrap().check().await.unwrap();
}
