//! Signatures of other people's clients: the vectors, and every request that was captured from three SDKs.

use std::fs;
use std::path::PathBuf;

use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Method};
use serde_json::Value;

use super::*;

fn fixtures() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/mns"))
}

fn settings(id: &str, secret: &str) -> Settings {
    Settings { access_keys: vec![AccessKey::new(id, secret)], max_skew: None, ..Settings::default() }
}

fn check_request(request: &Request, settings: &Settings) -> Result<(), &'static str> {
    check(request, settings, Timestamp::UNIX_EPOCH).map_err(|refusal| refusal.code)
}

/// A request out of the vectors, with an authorization.
fn request(method: &str, target: &str, headers: &[(&str, &str)]) -> Request {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    let method = Method::try_from(method).unwrap();
    Request { method, target: target.to_owned(), headers: map, body: bytes::Bytes::new() }
}

/// A request as it was captured: a head, an empty line, a body.
fn captured(text: &str) -> Request {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    let words: Vec<&str> = lines.next().unwrap().split(' ').collect();
    let after_host = words[1].strip_prefix("http://").map(|rest| &rest[rest.find('/').unwrap()..]);
    let headers: Vec<(&str, &str)> =
        lines.map(|line| line.split_once(':').map(|(name, value)| (name, value.trim())).unwrap()).collect();
    let body = bytes::Bytes::from(body.trim_end_matches('\n').to_owned());
    Request { body, ..request(words[0], after_host.unwrap_or(words[1]), &headers) }
}

#[test]
fn every_vector_of_version_1_is_let_in() {
    let text = fs::read_to_string(fixtures().join("signature-vectors.json")).unwrap();
    let vectors: Value = serde_json::from_str(&text).unwrap();
    let mut checked = 0;
    for case in vectors["v1"]["cases"].as_array().unwrap() {
        let Some(headers) = case["headers"].as_object() else { continue };
        let mut headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap())).collect();
        headers.push(("authorization", case["authorization"].as_str().unwrap()));
        let request =
            request(case["method"].as_str().unwrap(), case["request_target"].as_str().unwrap(), &headers);
        assert_eq!(string_to_sign(&request), case["string_to_sign"].as_str().unwrap(), "{}", case["name"]);
        assert_eq!(check_request(&request, &settings("testAccessKeyId", "testAccessKeySecret")), Ok(()));
        checked += 1;
    }
    assert_eq!(checked, 11);
}

#[test]
fn every_captured_request_is_let_in_and_no_altered_one() {
    let settings = Settings { strict: true, ..settings("TESTAK", "TESTSECRET") };
    let mut checked = 0;
    for folder in fs::read_dir(fixtures()).unwrap().map(|entry| entry.unwrap().path()) {
        let files = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
        for file in files.filter(|file| file.to_str().unwrap().ends_with(".request.http")) {
            let mut request = captured(&fs::read_to_string(&file).unwrap());
            assert_eq!(check_request(&request, &settings), Ok(()), "{}", file.display());
            request.target.push('x');
            assert_eq!(
                check_request(&request, &settings),
                Err("SignatureDoesNotMatch"),
                "{}",
                file.display()
            );
            checked += 1;
        }
    }
    assert_eq!(checked, 53);
}

const DATE: &str = "Mon, 01 Jan 2024 00:00:00 GMT";
const LONG_POLL: &str = "MNS testAccessKeyId:wmb8LKF1pKTtBaEWA16dAUt8CyU=";

#[track_caller]
fn check_headers(headers: &[(&str, &str)], expected: Result<(), &'static str>) {
    let request = request("GET", "/queues/demo-queue/messages?waitseconds=30", headers);
    assert_eq!(check_request(&request, &settings("testAccessKeyId", "testAccessKeySecret")), expected);
}

#[test]
fn faults_of_the_headers_have_codes_of_their_own() {
    let version = ("x-mns-version", "2015-06-06");
    let date = ("date", DATE);
    let authorization = ("authorization", LONG_POLL);
    check_headers(&[version, date, authorization], Ok(()));
    check_headers(&[date, authorization], Err("MissingVersionHeader"));
    check_headers(&[("x-mns-version", "2014-07-08"), date, authorization], Err("InvalidVersionHeader"));
    check_headers(&[version, authorization], Err("MissingDateHeader"));
    check_headers(&[version, date], Err("MissingAuthorizationHeader"));
    check_headers(&[version, date, ("authorization", "Bearer x")], Err("InvalidAuthorizationHeader"));
    check_headers(&[version, date, ("authorization", "MNS other:x")], Err("InvalidAccessKeyId"));
    check_headers(&[version, date, ("authorization", "MNS testAccessKeyId:x")], Err("SignatureDoesNotMatch"));
}

#[test]
fn a_request_expires_by_the_clock_of_the_emulator() {
    let request = request(
        "GET",
        "/queues/demo-queue/messages?waitseconds=30",
        &[("x-mns-version", "2015-06-06"), ("date", DATE), ("authorization", LONG_POLL)],
    );
    let signed: Timestamp = "2024-01-01T00:00:00Z".parse().unwrap();
    let settings = Settings {
        max_skew: Settings::default().max_skew,
        ..settings("testAccessKeyId", "testAccessKeySecret")
    };
    for (seconds, expected) in [(900, Ok(())), (901, Err(408)), (-900, Ok(())), (-901, Err(408))] {
        let now = signed + jiff::SignedDuration::from_secs(seconds);
        assert_eq!(check(&request, &settings, now).map_err(|refusal| refusal.status), expected, "{seconds}");
    }
}

#[test]
fn temporary_keys_need_their_token() {
    let mut settings = settings("testAccessKeyId", "testAccessKeySecret");
    settings.access_keys[0].security_token = Some("token".to_owned());
    let mut request = request(
        "GET",
        "/queues/demo-queue/messages?waitseconds=30",
        &[("x-mns-version", "2015-06-06"), ("date", DATE), ("authorization", LONG_POLL)],
    );
    assert_eq!(check_request(&request, &settings), Err("AccessDenied"));
    request.headers.insert("security-token", HeaderValue::from_static("token"));
    assert_eq!(check_request(&request, &settings), Ok(()));
}

#[test]
fn a_strict_emulator_checks_what_describes_the_body() {
    let strict = Settings { strict: true, ..Settings::default() };
    let with = |headers: &[(&str, &str)]| Request {
        body: bytes::Bytes::from_static(b"<Queue/>"),
        ..request("PUT", "/queues/q", headers)
    };
    let xml = ("content-type", "text/xml");
    assert_eq!(check_request(&with(&[xml]), &strict), Ok(()));
    assert_eq!(check_request(&with(&[("content-type", "text/plain")]), &strict), Err("InvalidContentType"));
    assert_eq!(check_request(&with(&[xml, ("content-md5", "AAAA")]), &strict), Err("InvalidDegist"));
    assert_eq!(check_request(&with(&[("content-md5", "AAAA")]), &Settings::default()), Ok(()));
}
