//! Our requests beside those that published clients were seen to send, in all that the protocol fixes.

use std::fs;

use aliyun_credentials::Secret;
use jiff::fmt::rfc2822::DateTimeParser;
use percent_encoding::percent_decode_str;
use proptest::prelude::*;

use super::*;
use crate::config::Endpoint;
use crate::message::{Property, PropertyKind};

/// A captured request.
struct Captured {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Captured {
    fn load(name: &str) -> Self {
        let path = format!("{}/../../fixtures/mns/{name}.request.http", env!("CARGO_MANIFEST_DIR"));
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
        let mut lines = head.lines();
        let words: Vec<&str> = lines.next().unwrap().split(' ').collect();
        let host = "http://1234567890.mns.cn-hangzhou.aliyuncs.com";
        let headers = lines.map(|line| line.split_once(':').unwrap());
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()));
        Self {
            method: words[0].to_owned(),
            target: words[1].trim_start_matches(host).to_owned(),
            headers: headers.collect(),
            body: body.trim_end_matches('\n').to_owned(),
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// One prolog and one namespace, as `@alicloud/mns` and we have them; clients write them differently, or not at all.
fn in_our_spelling(body: &str) -> String {
    if body.is_empty() {
        return String::new();
    }
    let prolog = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>";
    let body = body.replace("encoding=\"utf-8\"", "encoding=\"UTF-8\"");
    let body = body.strip_prefix(prolog).unwrap_or(&body);
    let namespace = " xmlns=\"http://mns.aliyuncs.com/doc/v1/\"";
    if body.contains(namespace) {
        return format!("{prolog}{body}");
    }
    let end = body.find('>').unwrap();
    format!("{prolog}{}{namespace}{}", &body[..end], &body[end..])
}

/// Compares; says whether even the signature is the same.
#[track_caller]
fn check(name: &str, ours: &Request) -> bool {
    let theirs = Captured::load(name);
    assert_eq!(ours.method.as_str(), theirs.method);
    // Some send the equals signs of a handle as they are; the service takes both.
    let decoded = |target: &str| percent_decode_str(target).decode_utf8().unwrap().into_owned();
    let target = theirs.target.replace("receiptHandle=", "ReceiptHandle=");
    let target = target.replace("visibilityTimeout=", "VisibilityTimeout=");
    assert_eq!(decoded(&ours.target), target);
    assert_eq!(ours.body.clone().unwrap_or_default(), in_our_spelling(&theirs.body));

    let now = DateTimeParser::new().parse_timestamp(theirs.header("date").unwrap()).unwrap();
    let mut credentials = Credentials::new("TESTAK", "TESTSECRET");
    credentials.security_token = theirs.header("security-token").map(Secret::new);
    let headers = ours.headers(&credentials, now);
    let header = |name: &str| headers.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str());
    for name in ["date", "x-mns-version", "x-mns-prefix", "x-mns-ret-number", "security-token"] {
        assert_eq!(header(name), theirs.header(name), "{name}");
    }
    if ours.body.is_some() {
        assert!(theirs.header("content-md5").is_some() && header("content-md5").is_some());
        assert!(theirs.header("content-type").unwrap().starts_with("text/xml"));
    } else {
        assert_eq!((header("content-md5"), header("content-type")), (None, None));
    }
    header("authorization") == theirs.header("authorization")
}

fn queue() -> QueueName {
    QueueName::new("demo-q").unwrap()
}

fn handle(text: &str) -> ReceiptHandle {
    ReceiptHandle::new(text)
}

#[test]
fn requests_without_a_body_are_those_of_the_python_client_down_to_the_signature() {
    let check = |name: &str, ours: &Request| {
        assert!(check(&format!("python-aliyun-mns-sdk-1.3.0/{name}"), ours), "{name}: another signature");
    };
    check("04_get_queue_attributes", &Request::attributes(&queue()));
    check("24_get_queue_attributes_sts", &Request::attributes(&queue()));
    check("06_list_queue", &Request::list_queues(Some("demo"), None, Some(10)));
    check("13_peek_message", &Request::peek(&queue(), None));
    check("17_batch_peek_message", &Request::peek(&queue(), Some(4)));
    check("14_receive_message", &Request::receive(&queue(), None, 2));
    check("18_batch_receive_message", &Request::receive(&queue(), Some(16), 3));
    check("22_receive_message_empty_long_poll", &Request::receive(&queue(), None, 1));
    check("25_delete_queue", &Request::delete_queue(&queue()));
}

#[test]
fn requests_with_a_body_or_a_handle_say_what_the_python_client_says() {
    let check = |name: &str, ours: &Request| check(&format!("python-aliyun-mns-sdk-1.3.0/{name}"), ours);
    let attributes = |visibility_timeout, polling_wait_seconds| AttributeChanges {
        visibility_timeout: Some(visibility_timeout),
        polling_wait_seconds,
        ..AttributeChanges::default()
    };
    check("01_create_queue", &Request::create_queue(&queue(), &attributes(30, Some(0))));
    check("03_create_queue_conflict", &Request::create_queue(&queue(), &attributes(60, None)));
    check("05_set_queue_attributes", &Request::set_attributes(&queue(), &attributes(25, None)));
    check("07_send_message", &Request::send(&queue(), &Outgoing::new("aGVsbG8gPOS4lueVjD4gJiAieCI=")));
    let delayed =
        Outgoing { delay: Some(Duration::from_secs(5)), priority: Some(1), ..Outgoing::new("bGF0ZXI=") };
    check("08_send_message_delayed", &Request::send(&queue(), &delayed));
    let binary = Property { name: "bin".to_owned(), value: "AP8=".to_owned(), kind: PropertyKind::Binary };
    let with_properties = Outgoing {
        message_group_id: Some("g1".to_owned()),
        user_properties: vec![Property::text("k1", "v1"), binary],
        ..Outgoing::new("d2l0aHByb3Bz")
    };
    check("09_send_message_properties", &Request::send(&queue(), &with_properties));
    let batch = [Outgoing::new("YjA="), Outgoing::new("YjE=")];
    check("10_batch_send_message", &Request::send_batch(&queue(), &batch));
    check("12_send_message_raw", &Request::send(&queue(), &Outgoing::new("raw & <xml> ok")));
    let first = "2CCD965BF65DDA43031DEB68E5789948-OSAxNzk1MzgzNjYwODgyIDI1MDAwIDIgMCBlbXUtMCAwIDl8YWJjZGU=";
    check("15_change_message_visibility", &Request::change_visibility(&queue(), &handle(first), 40));
    check("16_delete_message_stale_handle", &Request::delete(&queue(), &handle(first)));
    let second =
        "8197F589F37EC49492D00CC0E8FFBFB7-MTIgMTc5NTM4MzY2MDg4NCAyNTAwMCAyIDAgZW11LTAgMCAxMnxhYmNkZQ==";
    let handles = [handle(second), handle("bogus")];
    check("20_batch_delete_message_partial_failure", &Request::delete_batch(&queue(), &handles));
}

#[test]
fn other_clients_are_told_apart_only_by_what_the_protocol_leaves_open() {
    let alicloud = |name: &str, ours: &Request| check(&format!("node-alicloud-mns-1.2.0/{name}"), ours);
    alicloud("04_send_message", &Request::send(&queue(), &Outgoing::new("hello")));
    let batch = [Outgoing::new("m1"), Outgoing::new("m2")];
    alicloud("06_batch_send_message", &Request::send_batch(&queue(), &batch));
    alicloud("12_batch_receive_message", &Request::receive(&queue(), Some(16), 2));
    let first = "0250BEFE565899A357DDAF6B490330CF-NSAxNzk1MzgzNzIzMzEwIDMwMDAwIDIgMCBlbXUtMCAwIDV8YWJjZGU=";
    alicloud("10_change_message_visibility", &Request::change_visibility(&queue(), &handle(first), 40));
    let ali = |name: &str, ours: &Request| check(&format!("node-ali-mns-2.6.8/{name}"), ours);
    let timeout = AttributeChanges { visibility_timeout: Some(30), ..AttributeChanges::default() };
    ali("01_create_queue", &Request::create_queue(&queue(), &timeout));
    ali("05_receive_message", &Request::receive(&queue(), None, 2));
    let last = "DF6967EA3C13AD0C36E9D029BD6DC085-NyAxNzk1MzgzNzI0NjQyIDMwMDAwIDIgMCBlbXUtMCAwIDd8YWJjZGU=";
    ali("10_batch_delete_message", &Request::delete_batch(&queue(), &[handle(last)]));
}

#[test]
fn a_send_is_the_published_vector() {
    let queue = QueueName::new("demo-queue").unwrap();
    let request = Request::send(&queue, &Outgoing::new("aGVsbG8="));
    let now = "2024-01-01T00:00:00Z".parse().unwrap();
    let headers = request.headers(&Credentials::new("testAccessKeyId", "testAccessKeySecret"), now);
    assert!(headers.contains(&("content-md5", "YWY5ZGUyOTUwMDgyMzdiNTYyZjY3MjVhMWRmMmZhNjA=".to_owned())));
    let authorization = "MNS testAccessKeyId:iJWEoHgSA7IXcj6fNtYsdYfGwRc=".to_owned();
    assert!(headers.contains(&("authorization", authorization)), "{headers:?}");
}

#[test]
fn begun_seconds_are_whole() {
    let check =
        |milliseconds, expected| assert_eq!(whole_seconds(Duration::from_millis(milliseconds)), expected);
    check(0, 0);
    check(1, 1);
    check(1000, 1);
    check(1001, 2);
}

proptest! {
    #[test]
    fn whatever_a_handle_holds_the_target_goes_out_as_it_was_signed(text in any::<String>()) {
        let endpoint: Endpoint = "http://127.0.0.1:8400".parse().unwrap();
        let request = Request::delete(&queue(), &handle(&text));
        let url = endpoint.url(&request.target).unwrap();
        prop_assert_eq!(&url[url::Position::BeforePath..], request.target.as_str());
        let sent = request.target.split_once("ReceiptHandle=").unwrap().1;
        prop_assert_eq!(percent_decode_str(sent).decode_utf8().unwrap(), text);
    }
}
