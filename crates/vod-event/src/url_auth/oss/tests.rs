//! Pre-signed URLs in their parts; whole ones are compared with the vectors in `fixtures/urls/`.

use super::*;

fn keys() -> OssAuth<'static> {
    OssAuth {
        access_key_id: "testAccessKeyId",
        access_key_secret: "testAccessKeySecret",
        security_token: None,
        bucket_and_region: None,
        sign_host: false,
    }
}

fn presign(url: &str, seconds: u64) -> Result<String, UrlAuthError> {
    keys().presign_get(url, Timestamp::UNIX_EPOCH, Duration::from_secs(seconds))
}

const URL: &str = "http://outin-example.oss-cn-shanghai.aliyuncs.com/a/b.gif";

/// The case that the tests of the provider's own clients have; its request is a PUT with headers.
#[test]
fn the_core_is_that_of_the_providers_clients() {
    let vectors: serde_json::Value =
        serde_json::from_str(include_str!("../../../../../fixtures/urls/vectors.json")).unwrap();
    let vectors = vectors["oss_v4_core"].as_array().unwrap();
    assert!(!vectors.is_empty());
    for vector in vectors {
        let text = |name: &str| vector[name].as_str().unwrap();
        let time =
            SigningTime::new(Timestamp::from_second(vector["timestamp"].as_i64().unwrap()).unwrap()).unwrap();
        let (region, request) = (text("region"), text("canonical_request"));
        assert_eq!(string_to_sign(&time, region, request), text("string_to_sign"));
        assert_eq!(sign(text("access_key_secret"), &time, region, request), text("signature"));
    }
}

#[test]
fn a_query_is_sorted_after_it_is_encoded() {
    let pairs =
        ["param1=value1", "%2Bparam1=value3", "|param1=value4", "%2Bparam2", "|param2=", "param2", "a+b=%63"];
    let expect = "%2Bparam1=value3&%2Bparam2&%7Cparam1=value4&%7Cparam2&a%20b=c&param1=value1&param2";
    assert_eq!(canonical_query(pairs.into_iter().map(encoded_pair).collect()), expect);
}

#[test]
fn a_parameter_that_says_nothing_is_left_out() {
    let signed = |query: &str| presign(&format!("https://b.oss-cn-shanghai.aliyuncs.com/a.gif{query}"), 60);
    for query in ["?=", "?&", "?=&=", "?&=&"] {
        assert_eq!(signed(query), signed(""), "{query}");
    }
    assert_eq!(signed("?a=b&=&c"), signed("?a=b&c"));
    assert!(signed("?=b").unwrap().contains("?=b&x-oss-"), "a value without a name says something");
}

#[test]
fn hosts_tell_bucket_and_region() {
    let check = |host: &str, expect| assert_eq!(of_host(host), expect, "{host}");
    check("b.oss-cn-shanghai.aliyuncs.com", Some(("b", "cn-shanghai")));
    check("b.oss-cn-shanghai-internal.aliyuncs.com:80", Some(("b", "cn-shanghai")));
    check("b.oss-ap-southeast-1.aliyuncs.com", Some(("b", "ap-southeast-1")));
    for none in [
        "b.oss-accelerate.aliyuncs.com",
        "b.oss-accelerate-overseas.aliyuncs.com",
        "oss-cn-shanghai.aliyuncs.com",
        ".oss-cn-shanghai.aliyuncs.com",
        "b.s3.oss-cn-shanghai.aliyuncs.com",
        "b.oss-cn-shanghai.aliyuncs.com.example.com",
        "b.oss-cn.evil.aliyuncs.com",
        "vod.example.com",
    ] {
        check(none, None);
    }
}

#[test]
fn a_host_of_ones_own_needs_to_be_told() {
    let url = "https://img.example.com/a/b.gif";
    assert_eq!(presign(url, 60), Err(UrlAuthError::UnknownBucket));
    let auth = OssAuth { bucket_and_region: Some(("outin-example", "cn-shanghai")), ..keys() };
    let signed = auth.presign_get(url, Timestamp::UNIX_EPOCH, Duration::from_secs(60)).unwrap();
    // Without the host, the signature is that of the same object at its bucket's own endpoint.
    let at_bucket = presign(URL, 60).unwrap();
    assert_eq!(signed.split_once('?').unwrap().1, at_bucket.split_once('?').unwrap().1);
    assert!(signed.starts_with("https://img.example.com/a/b.gif?x-oss-credential="), "{signed}");
}

#[test]
fn only_an_object_is_signed_for() {
    // A bucket's own URL would list it.
    for url in ["http://b.oss-cn-shanghai.aliyuncs.com", "http://b.oss-cn-shanghai.aliyuncs.com/?list-type=2"]
    {
        assert_eq!(presign(url, 60), Err(UrlAuthError::NoObject));
    }
    let climbing = "http://b.oss-cn-shanghai.aliyuncs.com/a%2F..%2fb";
    assert_eq!(presign(climbing, 60), Err(UrlAuthError::DotSegment));
}

#[test]
fn the_host_is_signed_as_a_client_sends_it() {
    let auth = OssAuth { sign_host: true, ..keys() };
    let sign = |url: &str| auth.presign_get(url, Timestamp::UNIX_EPOCH, Duration::from_secs(60)).unwrap();
    assert_eq!(sign("HTTP://Outin-Example.oss-cn-shanghai.aliyuncs.com:80/a/b.gif"), sign(URL));
}

#[test]
fn spans_are_those_that_oss_takes() {
    for seconds in [0, LONGEST + 1] {
        assert_eq!(presign(URL, seconds), Err(UrlAuthError::BadExpiry { seconds }));
    }
    assert!(presign(URL, 1).is_ok() && presign(URL, LONGEST).is_ok());
    let early = keys().presign_get(URL, Timestamp::MIN, Duration::from_secs(1));
    assert_eq!(early, Err(UrlAuthError::BeforeEpoch));
}

#[test]
fn an_older_signature_is_replaced() {
    let once = presign(URL, 60).unwrap();
    assert_eq!(presign(&once, 60).unwrap(), once);
    let v1 = format!("{URL}?Expires=1&OSSAccessKeyId=a&Signature=b%3D&security-token=c");
    assert_eq!(presign(&v1, 60).unwrap(), once);
}

#[test]
fn no_secret_prints() {
    let auth = OssAuth { security_token: Some("t0ken"), ..keys() };
    let text = format!("{auth:?}");
    assert!(!text.contains("testAccessKeySecret") && !text.contains("t0ken"), "{text}");
}
