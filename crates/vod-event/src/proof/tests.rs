//! Proofs made, read and judged. The digests themselves are compared with the vectors in `fixtures/callbacks/`.

use std::time::Duration;

use jiff::Timestamp;

use super::*;

const URL: &str = "https://hooks.example.com/vod";
const KEY: &str = "Abcdef0123456789";
const SENT_AT: &[u8] = b"1700000000";
const SIGNATURE: &[u8] = b"ad8020183abed515d47b1ae0f92e453f";
const FIVE_MINUTES: Duration = Duration::from_secs(300);

fn endpoint(url: &str, keys: &[&str]) -> Endpoint {
    let named =
        |(index, key): (usize, &&str)| NamedKey { name: format!("k{index}"), key: PrivateKey::new(*key) };
    Endpoint { url: url.to_owned(), keys: keys.iter().enumerate().map(named).collect() }
}

fn proof() -> CallbackProof {
    from_headers(&[SENT_AT], &[SIGNATURE]).unwrap()
}

fn from_headers(timestamp: &[&[u8]], signature: &[&[u8]]) -> Result<CallbackProof, ProofError> {
    CallbackProof::from_headers(timestamp.iter().copied(), signature.iter().copied())
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

#[test]
fn what_is_made_matches() {
    let made = CallbackProof::make(URL, &PrivateKey::new(KEY), at(1_700_000_000));
    assert_eq!(made, proof());
    assert_eq!(made.timestamp().as_bytes(), SENT_AT);
    assert_eq!(made.signature_hex().as_bytes(), SIGNATURE);
    assert!(made.matches(URL, &PrivateKey::new(KEY)));
    assert!(!made.matches(URL, &PrivateKey::new("Other0123")));
}

#[test]
fn headers_are_read_strictly() {
    let cause =
        |timestamp: &[&[u8]], signature: &[&[u8]]| from_headers(timestamp, signature).unwrap_err().cause();
    assert_eq!(cause(&[], &[]), "missing");
    assert_eq!(cause(&[SENT_AT], &[]), "incomplete");
    assert_eq!(cause(&[], &[SIGNATURE]), "incomplete");
    assert_eq!(cause(&[SENT_AT, SENT_AT], &[SIGNATURE]), "doubled");
    assert_eq!(cause(&[SENT_AT], &[SIGNATURE, b""]), "doubled");
    for timestamp in
        [&b""[..], b"-5", b"+1700000000", b"1.7e9", b"17000000x0", b"1234567890123456789", b"\xff"]
    {
        assert_eq!(cause(&[timestamp], &[SIGNATURE]), "malformed");
    }
    for signature in
        [&b""[..], b"abc", b"zd8020183abed515d47b1ae0f92e453f", b"ad8020183abed515d47b1ae0f92e453f0"]
    {
        assert_eq!(cause(&[SENT_AT], &[signature]), "malformed");
    }
    assert_eq!(from_headers(&[b" 1700000000 "], &[&SIGNATURE.to_ascii_uppercase()]), Ok(proof()));
}

#[test]
fn any_key_may_match() {
    let keys = endpoint(URL, &["Other0123", KEY, KEY]);
    assert_eq!(keys.verify(&proof(), at(1_700_000_001), FIVE_MINUTES).unwrap().name, "k1");
    let none = endpoint(URL, &["Other0123"]).verify(&proof(), at(1_700_000_001), FIVE_MINUTES).unwrap_err();
    assert_eq!(none, ProofError::Mismatch);
    let no_keys = endpoint(URL, &[]).verify(&proof(), at(1_700_000_001), FIVE_MINUTES).unwrap_err();
    assert_eq!(no_keys, ProofError::Mismatch);
}

#[test]
fn time_is_judged_after_the_digest() {
    let endpoint = endpoint(URL, &[KEY]);
    let off_by = |received_at| match endpoint.verify(&proof(), at(received_at), FIVE_MINUTES) {
        Ok(_) => 0,
        Err(ProofError::Stale { off_by_seconds }) => off_by_seconds,
        Err(other) => panic!("{other}"),
    };
    assert_eq!(off_by(1_700_000_300), 0);
    assert_eq!(off_by(1_699_999_700), 0);
    assert_eq!(off_by(1_700_000_301), -301);
    assert_eq!(off_by(1_699_999_699), 301);

    let year_9999 = from_headers(&[b"253402300799"], &[SIGNATURE]).unwrap();
    assert_eq!(
        endpoint.verify(&year_9999, at(1_700_000_000), FIVE_MINUTES).unwrap_err(),
        ProofError::Mismatch
    );
    let far = CallbackProof::make(URL, &PrivateKey::new(KEY), Timestamp::MAX);
    assert_eq!(endpoint.verify(&far, at(1_700_000_000), FIVE_MINUTES).unwrap_err().cause(), "stale");
}

#[test]
fn a_near_miss_names_the_difference() {
    #[track_caller]
    fn check(configured: &str, at_vod: &str, expect: &[&str]) {
        let proof = CallbackProof::make(at_vod, &PrivateKey::new(KEY), at(1_700_000_000));
        let near_miss = endpoint(configured, &["Other0123", KEY]).near_miss(&proof).unwrap();
        assert_eq!((near_miss.url.as_str(), near_miss.key.as_str()), (at_vod, "k1"));
        assert_eq!(near_miss.differences, expect);
    }
    check(URL, "http://hooks.example.com/vod", &["http instead of https"]);
    check("http://hooks.example.com/vod", URL, &["https instead of http"]);
    check(URL, "https://hooks.example.com/vod/", &["with a slash at the end"]);
    check("https://a.example.com/", "https://a.example.com", &["without the slash at the end"]);
    check(
        "https://a.example.com/vod/?t=1",
        "https://a.example.com/vod?t=1",
        &["without the slash at the end"],
    );
    check("https://a.example.com/vod?t=1", "https://a.example.com/vod", &["without the query"]);
    check(URL, "https://hooks.example.com:443/vod", &["with the port"]);
    check("http://a.example.com:80/", "http://a.example.com/", &["without the port"]);
    check("https://A.Example.com/Vod", "https://a.example.com/Vod", &["the host in lower case"]);
    check("https://a.example.com/%e6", "https://a.example.com/%E6", &["percent escapes in upper case"]);
    check(" https://a.example.com/vod\n", "https://a.example.com/vod", &["without the blanks around it"]);
    check(
        "https://a.example.com:443/vod",
        "http://a.example.com/vod/",
        &["http instead of https", "without the port", "with a slash at the end"],
    );
}

#[test]
fn a_near_miss_of_a_padded_key() {
    let padded = format!("{KEY}\n");
    let near_miss = endpoint(URL, &[&padded]).near_miss(&proof()).unwrap();
    assert_eq!(near_miss.differences, ["the key without the blanks around it"]);
}

#[test]
fn no_near_miss_where_it_matches_or_nothing_does() {
    assert_eq!(endpoint(URL, &[KEY]).near_miss(&proof()), None);
    assert_eq!(endpoint(URL, &["Other0123"]).near_miss(&proof()), None);
    assert_eq!(endpoint("no url at all", &[KEY]).near_miss(&proof()), None);
}

#[test]
fn keys_never_print() {
    let endpoint = endpoint(URL, &[KEY]);
    let printed = format!("{endpoint:?} {} {:?}", endpoint.keys[0].key, proof());
    assert!(!printed.contains(KEY) && !printed.contains("ad8020"), "{printed}");
}

#[test]
fn rules_of_vod_for_keys() {
    let violation = |key: &str| PrivateKey::new(key).rule_violation();
    assert_eq!(violation(KEY), None);
    assert_eq!(violation(&"aB3".repeat(11)).as_deref(), Some("has 33 characters, and VOD takes at most 32"));
    assert_eq!(violation("test123").as_deref(), Some("has no upper-case letter"));
    assert_eq!(violation("TEST123").as_deref(), Some("has no lower-case letter"));
    assert_eq!(violation("TestTest").as_deref(), Some("has no digit"));
    assert_eq!(violation("").as_deref(), Some("is empty"));
    assert_eq!(violation("Test123 ").as_deref(), Some("has blanks around it"));
}
