//! How an image is asked for: of which host, by which signed URL, over which connection.

use jiff::Timestamp;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use vod_event::{CdnAuth, CdnAuthType, PrivateKey};
use vodrelay_core::Name;
use vodrelay_core::testing::delivery_of;

use crate::images::gif;
use crate::images_kept::{Archive, event, image};
use crate::script::{Script, answer};

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
    let listed = archive.host.address;
    let reason =
        format!("no entry of image_hosts matches 127.0.0.1:{port}; the entry {listed} means another port");
    check(other.url("/b.gif"), &reason).await;
    check(format!("http://2130706433:{port}/b.gif"), &reason).await;
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
    let long = format!("{}?{}", archive.host.url("/b.gif"), "q".repeat(70_000));
    check(long, "its URL is longer than 32KiB").await;
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
async fn a_connection_that_went_stale_unnoticed_costs_no_attempt() {
    // Closes after each answer, and does not say so.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(&image(&gif(8, 8, 1))).await;
                // Takes the next request, and goes without a word.
                let _ = stream.read(&mut [0; 4096]).await;
            });
        }
    });
    let archive = Archive::with(json!({"name": address.to_string()}), |_| Vec::new()).await;
    for number in 0..20 {
        let url = format!("http://{address}/b.gif");
        archive.sink.deliver(&event(number, &[url], &json!({}))).await.unwrap();
    }
}
