//! What waits, and what must not: records behind images, images behind other images, those that are kept behind those
//! that never come.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};
use vodrelay_core::sink::Retry;
use vodrelay_core::testing::{delivery_of, event_body};
use vodrelay_core::{Delivery, Name, Sink, SinkError};

use crate::bucket::Bucket;
use crate::images::gif;
use crate::images_kept::{Archive, event, image, sink};
use crate::script::{Script, answer};

/// The head of an answer whose body never comes.
fn hanging() -> Vec<u8> {
    b"HTTP/1.1 200 OK\r\ncontent-length: 9000\r\n\r\nGIF89a".to_vec()
}

fn of_path(slow: &'static str) -> impl Fn(&crate::script::Request) -> Vec<u8> + Send + Sync + 'static {
    move |request| if request.path() == slow { hanging() } else { image(&gif(8, 8, 1)) }
}

fn states(record: &Value) -> Vec<String> {
    let images = record["images"].as_array().unwrap();
    images.iter().map(|image| image["state"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_slow_image_starves_no_other() {
    let archive = Archive::with(json!({}), of_path("/1.gif")).await;
    let urls = ["/0.gif", "/1.gif", "/2.gif"].map(|path| archive.host.url(path));
    let mut delivery = event(1, &urls, &json!({}));
    let expected =
        [["kept", "pending", "pending"], ["kept", "pending", "pending"], ["kept", "pending", "kept"]];
    for (expected, attempt) in expected.into_iter().zip(1..) {
        delivery.attempt = attempt;
        // As the dispatcher does at the sink's time limit.
        timeout(Duration::from_millis(1500), archive.sink.deliver(&delivery)).await.unwrap_err();
        assert_eq!(states(&archive.record()), expected, "attempt {attempt}");
    }
    let asked: Vec<String> =
        archive.host.requests().iter().map(|request| request.path().to_owned()).collect();
    assert_eq!(asked, ["/0.gif", "/1.gif", "/1.gif", "/2.gif", "/1.gif"]);
}

#[tokio::test]
async fn what_is_kept_is_noted_before_a_trouble_of_the_store_is_told() {
    let bucket = Bucket::start_with(|request, _| {
        request.path().contains(".1.gif").then(|| answer("403 Forbidden", &[], "<Error/>"))
    })
    .await;
    let host = Script::start(|_| image(&gif(8, 8, 1))).await;
    let sink = sink(std::path::Path::new("."), bucket.options(), &host, &json!({}));
    let urls = [host.url("/0.gif"), host.url("/1.gif")];
    let error = sink.deliver(&event(1, &urls, &json!({}))).await.unwrap_err();
    assert_eq!(error.retry, Retry::Temporary { after: None, give_up_after: None }, "{error}");
    let contents = bucket.contents();
    let (_, record) = contents.objects.iter().find(|(key, _)| key.starts_with("events/")).unwrap();
    assert_eq!(states(&serde_json::from_slice(record).unwrap()), ["kept", "pending"]);
}

/// Deliveries that hang for as long as the test runs.
async fn hold(archive: &Archive, sink: &Arc<dyn Sink>, numbers: std::ops::Range<usize>) {
    let before = archive.host.requests().len();
    for number in numbers.clone() {
        let (sink, delivery) =
            (Arc::clone(sink), event(number, &[archive.host.url("/slow.gif")], &json!({})));
        tokio::spawn(async move { sink.deliver(&delivery).await });
    }
    while archive.host.requests().len() < before + numbers.len() {
        sleep(Duration::from_millis(5)).await;
    }
}

fn postponed(result: Result<vodrelay_core::Receipt, SinkError>) -> Duration {
    match result.unwrap_err().retry {
        Retry::Postponed { after } => after,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn no_record_waits_behind_the_images_of_others() {
    let archive = Archive::with(json!({}), of_path("/slow.gif")).await;
    let sink = &archive.sink;
    hold(&archive, sink, 0..3).await;
    let started = Instant::now();
    let fast = |number| event(number, &[archive.host.url("/b.gif"), archive.host.url("/c.gif")], &json!({}));
    let timed = async |delivery: Delivery| (postponed(sink.deliver(&delivery).await), started.elapsed());
    let (one, other) = tokio::join!(timed(fast(10)), timed(fast(11)));
    let (sooner, later) = (one.1.min(other.1), one.1.max(other.1));
    assert!(sooner < Duration::from_millis(900), "only one waits for a place: {sooner:?}");
    assert!((1000..2000).contains(&later.as_millis()), "and not for long: {later:?}");
    assert!(
        [one.0, other.0].iter().all(|wait| (1900..3000).contains(&wait.as_millis())),
        "{one:?} {other:?}"
    );
    assert_eq!(archive.host.requests().len(), 3);

    let without = delivery_of(event_body(12), &Name::new("test").unwrap(), jiff::Timestamp::UNIX_EPOCH);
    sink.deliver(&without).await.unwrap();
    let records = std::fs::read_dir(archive.folder().join("events/date=2024-03-05")).unwrap().count();
    assert_eq!(records, 3 + 2 + 1, "each has its record");
}

#[tokio::test]
async fn the_next_in_line_takes_the_place_that_becomes_free() {
    let archive = Archive::with(json!({"idle_timeout": "500ms", "min_speed": 0}), of_path("/slow.gif")).await;
    hold(&archive, &archive.sink, 0..3).await;
    archive.deliver("/b.gif", json!({})).await.unwrap();
}

#[tokio::test]
async fn fetches_says_how_many_at_a_time() {
    let archive = Archive::with(json!({}), of_path("/slow.gif")).await;
    let one = sink(
        archive.folder.path(),
        json!({"url": "file:archive", "fetches": "1"}),
        &archive.host,
        &json!({}),
    );
    hold(&archive, &one, 0..1).await;
    postponed(one.deliver(&event(2, &[archive.host.url("/b.gif")], &json!({}))).await);
    for (odd, expect) in
        [(json!(0), "expected a number, 1 or more"), (json!("a"), "expected a number, 1 or more")]
    {
        let options = json!({"url": "file:archive", "fetches": odd});
        let error = crate::build("archive", options, Default::default()).unwrap_err();
        assert!(error.contains("fetches") && error.contains(expect), "{error}");
    }
}

#[tokio::test]
async fn an_image_whose_host_rests_is_left_for_later_and_the_others_are_fetched() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let host = Script::start(|_| image(&gif(8, 8, 1))).await;
    let entries = json!([{"name": "127.0.0.1:".to_owned() + &free.port().to_string(), "allow_addresses": ["127.0.0.1"]},
                         {"name": host.address.to_string(), "allow_addresses": ["127.0.0.1"]}]);
    let surroundings =
        vodrelay_core::config::Surroundings { folder: folder.path().to_owned(), ..Default::default() };
    let options = json!({"url": "file:archive", "image_hosts": entries});
    let sink = crate::build("archive", options, surroundings).unwrap();
    let dead = format!("http://{free}/b.gif");
    for number in 0..5 {
        sink.deliver(&event(number, std::slice::from_ref(&dead), &json!({}))).await.unwrap_err();
    }
    let delivery = event(9, &[dead.clone(), host.url("/b.gif")], &json!({}));
    assert_eq!(postponed(sink.deliver(&delivery).await), Duration::from_secs(2));
    let record = folder.path().join(format!("archive/events/date=2024-03-05/{}.json", delivery.envelope.id));
    let record: Value = serde_json::from_slice(&std::fs::read(record).unwrap()).unwrap();
    assert_eq!(states(&record), ["pending", "kept"]);

    // A failure of this attempt is one, and the image that waits is not given up with it.
    let gone = event(8, &[dead, host.url("/b.gif")], &json!({"Width": 800}));
    let error = sink.deliver(&gone).await.unwrap_err();
    assert!(matches!(error.retry, Retry::Temporary { give_up_after: Some(Duration::MAX), .. }), "{error:?}");
    assert!(
        error.message.contains("image 1: ") && error.message.contains("failed for several images"),
        "{error}"
    );
}
