//! What is never fetched, and what is fetched and not kept: each with the message that people get.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use vodrelay_core::config::Surroundings;
use vodrelay_core::sink::Retry;
use vodrelay_core::{Delivery, SinkError};

use crate::build;
use crate::images::{gif, webp};
use crate::images_kept::{Archive, event, image};
use crate::script::{Script, answer, plain_http};

const AGAIN: Retry = Retry::Temporary { after: None, give_up_after: Some(Duration::MAX) };
const FOR_A_DAY: Retry = Retry::Temporary { after: None, give_up_after: Some(Duration::from_hours(24)) };

/// Nothing is kept, the record says why, and the dispatcher hears the same.
#[track_caller]
fn assert_failed(archive: &Archive, error: &SinkError, cause: &str, retry: &Retry, message: &str) {
    let recorded = archive.recorded();
    let message = message.replace("HOST", &archive.host.address.to_string());
    assert_eq!(error.message, format!("image 0: {message}"));
    assert_eq!(
        (&recorded["state"], &recorded["cause"], &recorded["reason"]),
        (&json!("failed"), &json!(cause), &json!(message))
    );
    assert_eq!(&error.retry, retry);
    assert!(!archive.has_image());
}

/// Has the host give that answer to an event that tells of 8 by 8 pixels.
async fn check(sent: Vec<u8>, cause: &str, retry: Retry, message: &str) {
    check_with(json!({}), sent, cause, retry, message).await;
}

async fn check_with(entry: Value, sent: Vec<u8>, cause: &str, retry: Retry, message: &str) {
    let archive = Archive::with(entry, move |_| sent.clone()).await;
    let error = archive.deliver("/secret/path.gif?q=1", json!({"Width": 8, "Height": 8})).await.unwrap_err();
    assert_failed(&archive, &error, cause, &retry, message);
}

#[tokio::test]
async fn a_body_that_is_no_whole_image_is_not_kept() {
    let whole = gif(8, 8, 2);
    let sent_no = |why: &str| format!("HOST sent no whole image: {why}");
    check(image(b""), "cut_short", AGAIN, &sent_no("the body is empty")).await;
    check(image(&whole[..500]), "cut_short", AGAIN, &sent_no("the GIF ends in the middle")).await;
    check(image(&webp(8, 8, 2, 0)[..50]), "cut_short", AGAIN, &sent_no("the WebP ends in the middle")).await;
    check(
        answer("200 OK", &["content-type: text/html"], "<!DOCTYPE html><title>Sign in</title>"),
        "foreign",
        AGAIN,
        &sent_no("the body is neither GIF nor WebP, it begins like HTML or XML"),
    )
    .await;
    check(
        image(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"),
        "foreign",
        AGAIN,
        &sent_no("the body is neither GIF nor WebP, it begins like PNG"),
    )
    .await;
    let polyglot = [&whole[..], b"PK\x03\x04 and an archive"].concat();
    check(image(&polyglot), "foreign", AGAIN, &sent_no("something else comes after the end of the GIF"))
        .await;
    let mut damaged = whole.clone();
    damaged[13 + 384] = b'?';
    check(
        image(&damaged),
        "foreign",
        AGAIN,
        &sent_no("the GIF is damaged: no block begins where one should"),
    )
    .await;
    check(
        image(&gif(9, 640, 1)),
        "mismatch",
        AGAIN,
        "HOST sent another image than the event tells of: it is 640 px high, and the event says 8",
    )
    .await;
}

#[tokio::test]
async fn a_body_that_was_compressed_is_not_kept() {
    let echoed = answer("200 OK", &["content-encoding: /secret/path.gif?auth_key=1-2-3-4"], "");
    let message = "HOST sends the image in an unknown encoding, though none was asked for";
    check(echoed, "encoded", AGAIN, message).await;
    let sent = answer("200 OK", &["content-encoding: gzip"], "\u{1f}");
    let message = "HOST sends the image in the encoding gzip, though none was asked for";
    check(sent, "encoded", AGAIN, message).await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_not_kept() {
    let whole = gif(8, 8, 2);
    let closed = |head: &str, body: &[u8]| {
        [format!("HTTP/1.1 200 OK\r\nconnection: close\r\n{head}\r\n").as_bytes(), body].concat()
    };
    check(
        closed("content-length: 9000\r\n", &whole),
        "cut_short",
        AGAIN,
        &format!(
            "HOST broke off after {} of 9000 bytes: end of file before message length reached",
            whole.len()
        ),
    )
    .await;
    let chunk = [&b"190\r\n"[..], &whole[..0x190], b"\r\n"].concat();
    check(
        closed("transfer-encoding: chunked\r\n", &chunk),
        "cut_short",
        AGAIN,
        "HOST broke off after 400 bytes: unexpected EOF during chunk size line",
    )
    .await;
    check(
        closed("", &whole[..500]),
        "cut_short",
        AGAIN,
        "HOST sent no whole image: the GIF ends in the middle",
    )
    .await;

    let archive = Archive::with(json!({}), move |_| closed("", &gif(8, 8, 2))).await;
    archive.deliver("/b.gif", json!({})).await.unwrap();
    check(
        Vec::new(),
        "unreachable",
        AGAIN,
        "HOST cannot be reached: connection closed before message completed",
    )
    .await;
}

#[tokio::test]
async fn an_answer_without_an_image_says_what_it_is() {
    check(
        answer("404 Not Found", &[], "<Error><Code>NoSuchKey</Code></Error>"),
        "missing",
        FOR_A_DAY,
        "HOST answered 404 Not Found: the image was deleted, or its domain points elsewhere",
    )
    .await;
    check(
        answer("410 Gone", &[], ""),
        "gone",
        Retry::Permanent,
        "HOST answered 410 Gone: the image was deleted",
    )
    .await;
    check(
        answer("503 Service Unavailable", &["retry-after: 120"], "busy"),
        "status",
        Retry::Temporary { after: Some(Duration::from_secs(120)), give_up_after: Some(Duration::MAX) },
        "HOST answered 503 Service Unavailable",
    )
    .await;
    check(answer("206 Partial Content", &[], "GIF"), "status", AGAIN, "HOST answered 206 Partial Content")
        .await;
    check(
        answer("403 Forbidden", &[], "no"),
        "denied",
        AGAIN,
        "HOST answered 403: no reason is given; most likely the CDN wants signed URLs; set auth = { type = \"A\", key = … } as in the domain's URL signing",
    )
    .await;
    let oss = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error>\n  <Code>AccessDenied</Code>\n  <Message>bucket acl</Message>\n</Error>";
    check(
        answer("403 Forbidden", &["content-type: application/xml"], oss),
        "denied",
        AGAIN,
        "HOST answered 403: the bucket is private; set auth = { type = \"oss\", … } with keys that may read it, or configure a CDN domain in VOD",
    )
    .await;
}

#[tokio::test]
async fn an_image_that_is_too_large_is_not_taken_to_its_end() {
    let message = "the image of HOST is larger than 1000B, which is max_size of the entry HOST of image_hosts; raise it, then replay the event";
    let entry = || json!({"max_size": 1000});
    let announced = b"HTTP/1.1 200 OK\r\ncontent-length: 10000000000\r\n\r\nGIF89a".to_vec();
    check_with(entry(), announced, "too_large", Retry::Permanent, message).await;
    let body = gif(200, 200, 1);
    let unannounced = [&b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n"[..], &body].concat();
    check_with(entry(), unannounced, "too_large", Retry::Permanent, message).await;
}

#[tokio::test]
async fn a_host_that_hangs_is_left() {
    let stalled = "HOST sent nothing for 100ms";
    let entry = || json!({"idle_timeout": "100ms", "min_speed": 0});
    let whole = gif(8, 8, 2);
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", whole.len());
    check_with(entry(), head.as_bytes()[..20].to_vec(), "stalled", AGAIN, stalled).await;
    check_with(entry(), head.clone().into_bytes(), "stalled", AGAIN, stalled).await;
    check_with(entry(), [head.as_bytes(), &whole[..300]].concat(), "stalled", AGAIN, stalled).await;
}

#[tokio::test]
async fn a_host_that_drips_is_left() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 1024]).await;
                let _ = stream
                    .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9000\r\n\r\nGIF89a\x08\0\x08\0\0\0\0\x21\xfe\x01")
                    .await;
                while stream.write_all(b"\x01").await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            });
        }
    });
    let archive =
        Archive::with(json!({"name": address.to_string(), "idle_timeout": "100ms"}), |_| Vec::new()).await;
    let error =
        archive.sink.deliver(&event(1, &[format!("http://{address}/b.gif")], &json!({}))).await.unwrap_err();
    let message = format!(
        "{address} sends less than 16KiB a second, which is min_speed of the entry {address} of image_hosts"
    );
    assert_failed(&archive, &error, "slow", &AGAIN, &message);
}

#[tokio::test]
async fn a_name_that_leads_to_an_address_that_is_not_public_is_not_asked() {
    let archive = Archive::with(json!({}), |_| image(&gif(8, 8, 1))).await;
    let port = archive.host.address.port();
    let name = format!("localhost:{port}");
    let surroundings =
        Surroundings { folder: archive.folder().parent().unwrap().to_owned(), ..Surroundings::default() };
    let with = |allowed: Value| {
        let entry = json!([{"name": name, "allow_addresses": allowed}]);
        build("archive", json!({"url": "file:archive", "image_hosts": entry}), surroundings.clone()).unwrap()
    };
    let delivery = event(1, &[format!("http://{name}/b.gif")], &json!({}));
    let error = with(json!(["10.0.0.0/8"])).deliver(&delivery).await.unwrap_err();
    let told = format!(
        "{name} is not asked, its address ADDRESS is loopback; where that is meant, open it in allow_addresses of the entry {name} of image_hosts"
    );
    let told = ["127.0.0.1", "::1"].map(|address| format!("image 0: {}", told.replace("ADDRESS", address)));
    assert!(told.contains(&error.message), "{error}");
    assert_eq!((error.retry, archive.recorded()["cause"].clone()), (FOR_A_DAY, json!("address")));
    assert!(archive.host.requests().is_empty());

    with(json!(["127.0.0.1", "::1"])).deliver(&delivery).await.unwrap();
    assert_eq!(archive.recorded()["state"], "kept");
}

#[tokio::test]
async fn a_redirect_is_followed_only_where_it_is_listed_and_each_hop_is_judged() {
    let to = |location: &str| answer("302 Found", &[&format!("location: {location}")], "");
    let elsewhere = Script::start(|_| image(&gif(8, 8, 1))).await;
    let there = elsewhere.address.to_string();
    check(
        to(&elsewhere.url("/b.gif")),
        "redirect",
        AGAIN,
        &format!("HOST answered 302 Found and leads to {there}, which redirects of the entry HOST of image_hosts does not list"),
    )
    .await;
    check(
        to("file:///etc/passwd"),
        "redirect",
        AGAIN,
        "HOST answered 302 Found and does not say where it leads to",
    )
    .await;
    check(
        answer("301 Moved Permanently", &[], ""),
        "redirect",
        AGAIN,
        "HOST answered 301 Moved Permanently and does not say where it leads to",
    )
    .await;
    // Listed, and still no address to fetch from.
    for (metadata, class) in [("100.100.100.200", "shared address space"), ("169.254.169.254", "link-local")]
    {
        check_with(
            json!({"redirects": [metadata]}),
            to(&format!("http://{metadata}/latest/meta-data/")),
            "address",
            FOR_A_DAY,
            &format!("{metadata} is not asked, its address {metadata} is {class}; where that is meant, open it in allow_addresses of the entry HOST of image_hosts"),
        )
        .await;
    }
    // Listed, and with a password that would be sent along.
    let with_password = to(&format!("http://:pw@{there}/b.gif"));
    check_with(
        json!({"redirects": [there]}),
        with_password,
        "redirect",
        AGAIN,
        "HOST answered 302 Found and does not say where it leads to",
    )
    .await;
    assert!(elsewhere.requests().is_empty());

    let location = elsewhere.url("/b.gif");
    let auth = json!({"type": "A", "key": "aliyunvodexp1234"});
    let archive = Archive::with(json!({"redirects": [there], "auth": auth}), move |_| to(&location)).await;
    archive.deliver("/b.gif", json!({})).await.unwrap();
    assert_eq!(archive.recorded()["state"], "kept");
    let head = &elsewhere.requests()[0].head;
    assert!(head.starts_with("GET /b.gif HTTP"), "what it leads to is not signed: {head}");
}

#[tokio::test]
async fn redirects_in_a_circle_end() {
    let archive = Archive::with(json!({"redirects": ["127.0.0.1"]}), |_| Vec::new()).await;
    let circle = Script::start(|_| answer("307 Temporary Redirect", &["location: /again"], "")).await;
    let address = circle.address.to_string();
    let entry = json!([{"name": address, "allow_addresses": ["127.0.0.1"], "redirects": [address]}]);
    let surroundings =
        Surroundings { folder: archive.folder().parent().unwrap().to_owned(), ..Surroundings::default() };
    let sink = build("archive", json!({"url": "file:archive", "image_hosts": entry}), surroundings).unwrap();
    let error = sink.deliver(&event(1, &[circle.url("/b.gif")], &json!({}))).await.unwrap_err();
    assert_failed(&archive, &error, "redirect", &AGAIN, &format!("{address} leads on after 3 redirects"));
    assert_eq!(circle.requests().len(), 4);
}

#[tokio::test]
async fn a_host_that_wants_https_is_told_how() {
    let archive = Archive::with(json!({}), |request| {
        let host = request.header("host").unwrap().to_owned();
        answer("301 Moved Permanently", &[&format!("location: https://{host}/b.gif")], "")
    })
    .await;
    let error = archive.deliver("/b.gif", json!({})).await.unwrap_err();
    let message = "HOST answered 301 Moved Permanently and wants https; set scheme = \"https\" in the entry HOST of image_hosts";
    assert_failed(&archive, &error, "redirect", &AGAIN, message);
}

#[tokio::test]
async fn https_is_asked_for_where_the_entry_says_so() {
    let host = plain_http().await;
    let archive = Archive::with(json!({"scheme": "https", "name": host.to_string()}), |_| Vec::new()).await;
    let delivery = event(1, &[format!("http://{host}/b.gif")], &json!({}));
    let error = archive.sink.deliver(&delivery).await.unwrap_err();
    let message = format!(
        "{host} is asked by https, and it speaks plain HTTP there; see scheme of the entry {host} of image_hosts"
    );
    assert_failed(&archive, &error, "unreachable", &AGAIN, &message);
}

#[tokio::test]
async fn a_host_that_is_gone_is_named() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let archive = Archive::with(json!({"name": free.to_string()}), |_| Vec::new()).await;
    let url = format!("http://{free}/secret/path.gif?token=s3cret");
    let error = archive.sink.deliver(&event(1, &[url], &json!({}))).await.unwrap_err();
    assert!(error.message.starts_with(&format!("image 0: {free} cannot be reached: ")), "{error}");
    assert!(error.message.contains("refused") && !error.message.contains("secret"), "{error}");
    assert_eq!(error.retry, AGAIN);
}

#[tokio::test]
async fn a_host_that_fails_for_every_image_rests_and_the_records_go_on() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let archive = Archive::with(json!({"name": free.to_string()}), |_| Vec::new()).await;
    let deliver = async |number: usize| {
        let delivery = event(number, &[format!("http://{free}/b.gif")], &json!({}));
        (archive.sink.deliver(&delivery).await.unwrap_err(), delivery.envelope.id)
    };
    for number in 0..5 {
        assert!(deliver(number).await.0.message.contains("cannot be reached"));
    }
    let (error, id) = deliver(9).await;
    assert_eq!(
        error.message,
        format!("{free} failed for several images; it is asked for one at a time until it answers")
    );
    assert_eq!(error.retry, Retry::Postponed { after: Duration::from_secs(2) });
    let record = std::fs::read(archive.folder().join(format!("events/date=2024-03-05/{id}.json"))).unwrap();
    let record: Value = serde_json::from_slice(&record).unwrap();
    assert_eq!(record["images"][0]["state"], "pending");
}

#[tokio::test]
async fn of_several_images_each_goes_its_own_way() {
    let archive = Archive::with(json!({}), |request| match request.head.split(' ').nth(1).unwrap() {
        "/0.gif" => answer("410 Gone", &[], ""),
        "/1.gif" => image(&gif(8, 8, 1)),
        _ => answer("500 Oops", &[], ""),
    })
    .await;
    let urls = ["/0.gif", "/1.gif", "/2.gif"].map(|path| archive.host.url(path));
    let delivery = event(1, &urls, &json!({}));
    let error = archive.sink.deliver(&delivery).await.unwrap_err();
    let host = archive.host.address;
    assert_eq!(
        error.message,
        format!(
            "image 0: {host} answered 410 Gone: the image was deleted; image 2: {host} answered 500 Internal Server Error"
        )
    );
    assert_eq!((&error.retry, error.status), (&AGAIN, Some(500)));
    let states = |archive: &Archive| {
        let images = archive.record()["images"].as_array().unwrap().clone();
        images.iter().map(|image| image["state"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(states(&archive), ["failed", "kept", "failed"]);
    archive.sink.deliver(&delivery).await.unwrap_err();
    assert_eq!(
        archive.host.requests().len(),
        4,
        "the one that is kept is not fetched again, nor that which is gone"
    );
}

#[tokio::test]
async fn what_no_attempt_can_mend_is_fetched_again_only_on_a_replay() {
    let archive = Archive::with(json!({"max_size": 1000}), |request| match request.path() {
        "/0.gif" => image(&gif(200, 200, 1)),
        _ => answer("404 Not Found", &[], ""),
    })
    .await;
    let urls = ["/0.gif", "/1.gif"].map(|path| archive.host.url(path));
    let delivery = event(1, &urls, &json!({}));
    let large = || archive.host.requests().iter().filter(|request| request.path() == "/0.gif").count();
    let first = archive.sink.deliver(&delivery).await.unwrap_err();
    let again = Delivery { attempt: 2, tries: 1, ..delivery.clone() };
    let second = archive.sink.deliver(&again).await.unwrap_err();
    assert_eq!((large(), archive.host.requests().len()), (1, 3));
    assert_eq!((&second, &second.retry), (&first, &FOR_A_DAY), "all are told of all the same");
    assert!(second.message.starts_with("image 0: the image of "), "{second}");
    let replayed = Delivery { attempt: 3, tries: 0, replay: 1, ..delivery.clone() };
    archive.sink.deliver(&replayed).await.unwrap_err();
    assert_eq!(large(), 2);
    archive.sink.deliver(&Delivery { attempt: 4, tries: 1, ..replayed }).await.unwrap_err();
    assert_eq!(large(), 2, "and once only");
}

#[tokio::test]
async fn what_is_no_http_is_an_answer_all_the_same() {
    let odd = b"HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n".to_vec();
    let message = "HOST does not answer as HTTP has it: invalid content-length parsed";
    check(odd, "garbled", AGAIN, message).await;
    let archive = Archive::with(json!({}), |request| match request.path() {
        "/odd.gif" => b"SSH-2.0-OpenSSH\r\n".to_vec(),
        _ => image(&gif(8, 8, 1)),
    })
    .await;
    for number in 0..8 {
        let delivery = event(number, &[archive.host.url("/odd.gif")], &json!({}));
        let error = archive.sink.deliver(&delivery).await.unwrap_err();
        assert!(error.message.contains("does not answer as HTTP has it"), "{error}");
    }
    archive.sink.deliver(&event(9, &[archive.host.url("/b.gif")], &json!({}))).await.unwrap();
}
