//! What a webhook sends, and what it makes of each answer.

use std::time::Duration;

use bytes::Bytes;
use expect_test::{Expect, expect};
use jiff::Timestamp;
use serde_json::{Value, json};
use vodrelay_core::config::Surroundings;
use vodrelay_core::sink::Retry;
use vodrelay_core::testing::{delivery_of, event_body, sink_contract};
use vodrelay_core::{Delivery, Name, SinkError};

use crate::build;
use crate::script::{Request, Script, answer};

const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

fn delivery(body: impl Into<Bytes>) -> Delivery {
    let received_at: Timestamp = "2024-03-05T09:13:00.25Z".parse().unwrap();
    delivery_of(body.into(), &Name::new("test").unwrap(), received_at)
}

/// Delivers to a server that takes everything, and gives back the request.
async fn sent(mut options: Value, delivery: &Delivery) -> Request {
    let server = Script::start(|_| answer("200 OK", &[], "")).await;
    options["url"] = server.url("/hook?a=b").into();
    let sink = build("webhook", options, Surroundings::default()).unwrap();
    sink.deliver(delivery).await.unwrap();
    server.requests().remove(0)
}

/// Delivers to a server that gives this answer.
async fn answered(options: Value, bytes: Vec<u8>) -> Result<u16, SinkError> {
    let server = Script::start(move |_| bytes.clone()).await;
    let mut all = json!({"url": server.url("/hook")});
    all.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
    let sink = build("webhook", all, Surroundings::default()).unwrap();
    sink.deliver(&delivery(event_body(1))).await.map(|receipt| receipt.status.unwrap())
}

#[tokio::test]
async fn it_keeps_the_contract_of_sinks_in_every_format() {
    for format in ["raw", "standard", "cloudevents"] {
        let server = Script::start(|_| answer("204 No Content", &[], "")).await;
        let options = json!({"url": server.url("/"), "format": format, "secret": SECRET});
        sink_contract(build("webhook", options, Surroundings::default()).unwrap()).await;
    }
}

#[tokio::test]
async fn raw_is_the_providers_bytes_signed_as_the_provider_would() {
    let body = Bytes::from_static(
        b"{ \"EventType\":\"DynamicImageComplete\",\t\"JobId\":\"\\u0031\",\"DynamicImageJobInfo\":null }\n",
    );
    let vod = json!({"vod_key": "Abcdef0123456789", "vod_url": "https://api.example.com/cb"});
    let request = sent(vod, &delivery(body.clone())).await;
    assert_eq!(request.body, body);
    assert!(request.head.starts_with("POST /hook?a=b HTTP/1.1\r\n"));
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert_eq!(request.header("x-vod-timestamp"), Some("1700000000"));
    let key = vod_event::PrivateKey::new("Abcdef0123456789");
    let now = Timestamp::from_second(1_700_000_000).unwrap();
    let proof = vod_event::CallbackProof::make("https://api.example.com/cb", &key, now);
    assert_eq!(request.header("x-vod-signature"), Some(proof.signature_hex().as_str()));
    assert_eq!(request.header("webhook-signature"), None);

    let without_key = sent(json!({}), &delivery(body)).await;
    assert_eq!(without_key.header("x-vod-signature"), None);
}

#[tokio::test]
async fn every_format_carries_the_same_headers() {
    let headers = json!({"Authorization": "Bearer t0ken", "X-Team": {"env": "TEAM"}});
    for format in ["raw", "standard", "cloudevents"] {
        let server = Script::start(|_| answer("200 OK", &[], "")).await;
        let options =
            json!({"url": server.url("/"), "format": format, "secret": [SECRET], "headers": headers});
        let environment = [("TEAM".to_owned(), "cms".to_owned())].into();
        let surroundings =
            Surroundings { environment: std::sync::Arc::new(environment), ..Surroundings::default() };
        let sink = build("webhook", options, surroundings).unwrap();
        let mut replayed = delivery(event_body(1));
        (replayed.attempt, replayed.replay) = (4, 2);
        sink.deliver(&replayed).await.unwrap();
        let request = server.requests().remove(0);
        assert_eq!(request.header("authorization"), Some("Bearer t0ken"));
        assert_eq!(request.header("x-team"), Some("cms"));
        assert_eq!(request.header("webhook-id"), Some(replayed.envelope.id.to_string().as_str()));
        assert_eq!(request.header("webhook-timestamp"), Some("1700000000"));
        assert_eq!(request.header("vodrelay-attempt"), Some("4"));
        assert_eq!(request.header("vodrelay-replay"), Some("2"));
        assert_eq!(request.header("vodrelay-received-at"), Some("2024-03-05T09:13:00.25Z"));
        assert!(request.header("webhook-signature").unwrap().starts_with("v1,"));
    }
    let first = sent(json!({}), &delivery(event_body(1))).await;
    assert_eq!(first.header("vodrelay-attempt"), Some("1"));
    assert_eq!(first.header("vodrelay-replay"), None);
}

async fn check_body(options: Value, body: &'static str, expect: Expect) {
    let request = sent(options, &delivery(body)).await;
    let json: Value = serde_json::from_slice(&request.body).unwrap();
    let head = request.header("content-type").unwrap().to_owned();
    expect.assert_eq(&format!("{head}\n{json:#}\n"));
}

const FAILED: &str = r#"{"EventType":"DynamicImageComplete","EventTime":"2019-11-05T09:12:58Z","Status":"fail","VideoId":"v1","JobId":"j1","DynamicImageJobInfo":"{\"JobId\":\"j1\",\"Status\":\"fail\"}","ErrorCode":"E","ErrorMessage":"m"}"#;
const TIMELESS: &str =
    r#"{"EventType":"AIMediaDNAComplete","MediaId":"m1","Big":123456789012345678901234567890}"#;

#[tokio::test]
async fn standard_is_type_timestamp_and_data() {
    check_body(
        json!({"format": "standard"}),
        FAILED,
        expect![[r#"
        application/json
        {
          "data": {
            "doubts": [],
            "error": {
              "code": "E",
              "message": "m"
            },
            "event_time": "2019-11-05T09:12:58Z",
            "event_type": "DynamicImageComplete",
            "extend": null,
            "fields": {},
            "id": "evt_14e509898c83f5947b9742c15bd17124f",
            "images": [
              {
                "fps": null,
                "height_px": null,
                "job_id": "j1",
                "size_bytes": null,
                "status": "fail",
                "url": null,
                "width_px": null
              }
            ],
            "job_id": "j1",
            "media_id": null,
            "status": "fail",
            "video_id": "v1"
          },
          "timestamp": "2019-11-05T09:12:58Z",
          "type": "vod.dynamic_image.complete"
        }
    "#]],
    )
    .await;
    check_body(
        json!({"format": "standard"}),
        r#"{"EventType":"FileUploadComplete","VideoId":"v2"}"#,
        expect![[r#"
            application/json
            {
              "data": {
                "doubts": [],
                "error": null,
                "event_time": null,
                "event_type": "FileUploadComplete",
                "extend": null,
                "fields": {},
                "id": "evt_1f9c55cc1fc94ce930c6ff6d3a89301e9",
                "images": [],
                "job_id": null,
                "media_id": null,
                "status": null,
                "video_id": "v2"
              },
              "timestamp": "2024-03-05T09:13:00.25Z",
              "type": "vod.file_upload.complete"
            }
        "#]],
    )
    .await;
}

#[tokio::test]
async fn cloudevents_are_structured_and_leave_out_what_is_not_known() {
    check_body(
        json!({"format": "cloudevents"}),
        FAILED,
        expect![[r#"
        application/cloudevents+json
        {
          "data": {
            "doubts": [],
            "error": {
              "code": "E",
              "message": "m"
            },
            "event_time": "2019-11-05T09:12:58Z",
            "event_type": "DynamicImageComplete",
            "extend": null,
            "fields": {},
            "id": "evt_14e509898c83f5947b9742c15bd17124f",
            "images": [
              {
                "fps": null,
                "height_px": null,
                "job_id": "j1",
                "size_bytes": null,
                "status": "fail",
                "url": null,
                "width_px": null
              }
            ],
            "job_id": "j1",
            "media_id": null,
            "status": "fail",
            "video_id": "v1"
          },
          "datacontenttype": "application/json",
          "dataschema": "urn:vodrelay:event:1",
          "id": "evt_14e509898c83f5947b9742c15bd17124f",
          "source": "//vod.aliyuncs.com",
          "specversion": "1.0",
          "subject": "videos/v1/dynamic-images/j1",
          "time": "2019-11-05T09:12:58Z",
          "type": "com.aliyun.vod.DynamicImageComplete"
        }
    "#]],
    )
    .await;
    check_body(
        json!({"format": "cloudevents", "source": "//vod.aliyuncs.com/cn-shanghai/1"}),
        r#"{"EventType":"AIMediaDNAComplete","MediaId":"m1"}"#,
        expect![[r#"
            application/cloudevents+json
            {
              "data": {
                "doubts": [],
                "error": null,
                "event_time": null,
                "event_type": "AIMediaDNAComplete",
                "extend": null,
                "fields": {},
                "id": "evt_167fc088accfbbe754ef661cf9dcdaa06",
                "images": [],
                "job_id": null,
                "media_id": "m1",
                "status": null,
                "video_id": null
              },
              "datacontenttype": "application/json",
              "dataschema": "urn:vodrelay:event:1",
              "id": "evt_167fc088accfbbe754ef661cf9dcdaa06",
              "source": "//vod.aliyuncs.com/cn-shanghai/1",
              "specversion": "1.0",
              "subject": "media/m1",
              "type": "com.aliyun.vod.AIMediaDNAComplete"
            }
        "#]],
    )
    .await;
}

#[tokio::test]
async fn numbers_of_any_length_stay_themselves() {
    for format in ["standard", "cloudevents"] {
        let request = sent(json!({"format": format}), &delivery(TIMELESS)).await;
        let text = String::from_utf8(request.body).unwrap();
        assert!(text.contains(r#""Big":123456789012345678901234567890"#), "{text}");
    }
}

#[tokio::test]
async fn a_body_that_cannot_be_read_goes_out_raw_and_in_no_other_format() {
    let body = b"\xff\xfe not json".as_slice();
    assert_eq!(sent(json!({}), &delivery(body)).await.body, body);
    let server = Script::start(|_| answer("200 OK", &[], "")).await;
    let options = json!({"url": server.url("/"), "format": "standard"});
    let sink = build("webhook", options, Surroundings::default()).unwrap();
    let error = sink.deliver(&delivery(body)).await.unwrap_err();
    assert_eq!(error.retry, Retry::Permanent);
    assert!(server.requests().is_empty());
}

const HOUR: Duration = Duration::from_hours(1);

#[tokio::test]
async fn answers_are_judged_by_the_lists() {
    let check = async |status: &'static str, options: Value, expected: Result<u16, Retry>| {
        let outcome = answered(options, answer(status, &[], "")).await.map_err(|error| error.retry);
        assert_eq!(outcome, expected, "{status}");
    };
    let again = |give_up_after| Err(Retry::Temporary { after: None, give_up_after });
    check("200 OK", json!({}), Ok(200)).await;
    check("202 Accepted", json!({}), Ok(202)).await;
    check("200 OK", json!({"success": ["202"]}), again(None)).await;
    check("410 Gone", json!({}), Err(Retry::Permanent)).await;
    check("410 Gone", json!({"permanent": []}), again(None)).await;
    check("404 Not Found", json!({}), again(None)).await;
    check("400 Bad Request", json!({}), again(Some(24 * HOUR))).await;
    check("400 Bad Request", json!({"short": {"age": "1h"}}), again(Some(HOUR))).await;
    check("400 Bad Request", json!({"short": {"status": []}}), again(None)).await;
    check("503 Service Unavailable", json!({}), again(None)).await;
}

#[tokio::test]
async fn a_redirect_is_named_and_not_followed() {
    let elsewhere = Script::start(|_| answer("200 OK", &[], "a login page")).await;
    let location = format!("location: {}", elsewhere.url("/login"));
    let error = answered(json!({}), answer("302 Found", &[&location], "")).await.unwrap_err();
    expect!["the receiver answered 302 Found, and redirects are not followed"].assert_eq(&error.message);
    assert!(elsewhere.requests().is_empty());
}

#[tokio::test]
async fn retry_after_is_passed_on_and_the_body_quoted() {
    let busy = answer("429 Too Many Requests", &["retry-after: 120"], "slow\r\n\x07down, please");
    let error = answered(json!({}), busy).await.unwrap_err();
    assert_eq!(error.retry, Retry::Temporary { after: Some(Duration::from_secs(120)), give_up_after: None });
    assert_eq!(error.status, Some(429));
    expect!["the receiver answered 429 Too Many Requests: slow down, please"].assert_eq(&error.message);
}

#[tokio::test]
async fn a_huge_answer_is_cut_and_a_hanging_body_does_not_undo_its_status() {
    let error = answered(json!({}), answer("500 Oops", &[], &"x".repeat(1 << 20))).await.unwrap_err();
    assert_eq!(error.message.matches('x').count(), 512);
    let hanging = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf".to_vec();
    assert_eq!(answered(json!({}), hanging).await, Ok(200));
}

#[tokio::test]
async fn a_receiver_that_is_gone_or_hangs_up_is_named_without_the_urls_secrets() {
    let error = answered(json!({}), Vec::new()).await.unwrap_err();
    assert!(error.message.starts_with("no answer from http://127.0.0.1:"), "{error}");
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let options = json!({"url": format!("http://user:pass@{free}/hook?token=s3cret")});
    let sink = build("webhook", options, Surroundings::default()).unwrap();
    for error in [sink.check().await.unwrap_err(), sink.deliver(&delivery(event_body(1))).await.unwrap_err()]
    {
        assert!(error.message.starts_with(&format!("cannot connect to http://{free}: ")), "{error}");
        assert!(error.message.contains("refused"), "{error}");
        let printed = format!("{error:?} {sink:?}");
        assert!(!printed.contains("s3cret") && !printed.contains("pass"), "{printed}");
    }
}

#[tokio::test]
async fn connections_serve_again() {
    for status in ["200 OK", "500 Oops"] {
        let server = Script::start(|_| answer(status, &[], "a body that must be read")).await;
        let sink = build("webhook", json!({"url": server.url("/")}), Surroundings::default()).unwrap();
        for number in 0..20 {
            let result = sink.deliver(&delivery(event_body(number))).await;
            assert_eq!(result.is_ok(), status == "200 OK");
        }
        assert_eq!((server.requests().len(), server.connections()), (20, 1), "{status}");
    }
}

#[tokio::test]
async fn the_check_sends_nothing_that_a_handler_could_take_for_an_event() {
    let server = Script::start(|_| answer("405 Method Not Allowed", &[], "")).await;
    let sink =
        build("webhook", json!({"url": server.url("/"), "vod_key": "Aa1"}), Surroundings::default()).unwrap();
    sink.check().await.unwrap();
    let request = server.requests().remove(0);
    assert_eq!(
        (request.method(), request.body.len(), request.header("x-vod-signature")),
        ("OPTIONS", 0, None)
    );
}
