//! Signed URLs: the vectors in `fixtures/urls/vectors.json`, and what holds for any URL.

use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;
use serde::Deserialize;
use vod_event::{CdnAuth, CdnAuthType, OssAuth, PrivateKey};

#[derive(Deserialize)]
struct Vectors {
    cdn: Vec<CdnVector>,
    oss_v4_get: Vec<OssVector>,
}

#[derive(Deserialize)]
struct CdnVector {
    r#type: String,
    url: String,
    key: String,
    timestamp: i64,
    rand: Option<String>,
    md5: String,
    signed_url: String,
}

#[derive(Deserialize)]
struct OssVector {
    url: String,
    access_key_id: String,
    access_key_secret: String,
    security_token: Option<String>,
    timestamp: i64,
    expires: u64,
    sign_host: bool,
    signature: String,
    signed_url: String,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../../../../fixtures/urls/vectors.json")).unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

#[test]
fn every_cdn_vector_matches() {
    let vectors = vectors().cdn;
    assert!(vectors.len() >= 12);
    for vector in vectors {
        let mut auth = CdnAuth::new(vector.r#type.parse().unwrap(), PrivateKey::new(vector.key));
        if let Some(rand) = vector.rand {
            auth = auth.with_rand(rand).unwrap();
        }
        assert!(vector.signed_url.contains(&vector.md5));
        assert_eq!(auth.sign(&vector.url, at(vector.timestamp)).unwrap(), vector.signed_url);
    }
}

#[test]
fn every_oss_vector_matches() {
    let vectors = vectors().oss_v4_get;
    assert!(vectors.len() >= 7);
    for vector in vectors {
        let auth = OssAuth {
            access_key_id: &vector.access_key_id,
            access_key_secret: &vector.access_key_secret,
            security_token: vector.security_token.as_deref(),
            bucket_and_region: None,
            sign_host: vector.sign_host,
        };
        assert!(vector.signed_url.ends_with(&vector.signature));
        let valid_for = Duration::from_secs(vector.expires);
        assert_eq!(
            auth.presign_get(&vector.url, at(vector.timestamp), valid_for).unwrap(),
            vector.signed_url
        );
    }
}

const KEY: &str = "aliyunvodexp1234";

/// What the CDN does with a request: takes the signature off, and makes it again from what is left.
fn cdn_takes(auth_type: CdnAuthType, requested: &url::Url) -> bool {
    let value = |name: &str| {
        requested.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    };
    let path = requested.path();
    let (digest, hashed) = match auth_type {
        CdnAuthType::A => {
            let auth_key = value("auth_key").unwrap();
            let (signed, digest) = auth_key.rsplit_once('-').unwrap();
            (digest.to_owned(), format!("{path}-{signed}-{KEY}"))
        }
        CdnAuthType::C2 => (value("KEY1").unwrap(), format!("{KEY}{path}{}", value("KEY2").unwrap())),
        CdnAuthType::B | CdnAuthType::C1 => {
            let (first, rest) = path[1..].split_once('/').unwrap();
            let (second, _) = rest.split_once('/').unwrap();
            let path = &rest[second.len()..];
            match auth_type {
                CdnAuthType::B => (second.to_owned(), format!("{KEY}{first}{path}")),
                _ => (first.to_owned(), format!("{KEY}{path}{second}")),
            }
        }
        _ => unreachable!("there are four types"),
    };
    use md5::{Digest, Md5};
    let made: String = Md5::digest(hashed).iter().map(|byte| format!("{byte:02x}")).collect();
    made == digest
}

/// Any URL that can be signed is taken, as a client requests it, by a CDN that knows nothing of how it was signed.
fn check(url: &str, seconds: i64) -> Result<(), TestCaseError> {
    for auth_type in [CdnAuthType::A, CdnAuthType::B, CdnAuthType::C1, CdnAuthType::C2] {
        let auth = CdnAuth::new(auth_type, PrivateKey::new(KEY));
        let Ok(signed) = auth.sign(url, at(seconds)) else { continue };
        // A port may be none, which is not for the signature to judge.
        let Ok(requested) = url::Url::parse(&signed) else { continue };
        prop_assert!(cdn_takes(auth_type, &requested), "{} {}", signed, requested);
        prop_assert!(signed.contains(requested.path()), "{} {}", signed, requested);
        if matches!(auth_type, CdnAuthType::A | CdnAuthType::C2) {
            prop_assert_eq!(auth.sign(&signed, at(seconds)), Ok(signed));
        }
    }
    let auth = OssAuth {
        access_key_id: "id",
        access_key_secret: "secret",
        security_token: None,
        bucket_and_region: Some(("bucket", "cn-shanghai")),
        sign_host: true,
    };
    let Ok(signed) = auth.presign_get(url, at(seconds), Duration::from_secs(60)) else { return Ok(()) };
    let Ok(requested) = url::Url::parse(&signed) else { return Ok(()) };
    prop_assert!(signed.contains(requested.path()), "{} {}", signed, requested);
    prop_assert_eq!(auth.presign_get(&signed, at(seconds), Duration::from_secs(60)), Ok(signed));
    Ok(())
}

fn cases(count: u32) -> ProptestConfig {
    ProptestConfig { cases: count, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(512))]

    #[test]
    fn any_text_can_be_refused(url in any::<String>(), seconds in -377_705_023_201..=253_402_207_200_i64) {
        check(&url, seconds)?;
    }

    #[test]
    fn what_is_signed_is_what_is_requested(
        path in r#"(/|[a-zA-Z0-9._~!$&'()*+,;=:@?#%\\\[\]|^"<>`{} \n\t-]|%[0-9a-fA-F]{2}|\PC){0,24}"#,
        host in r"[a-z.0-9]{1,12}(:[0-9]{1,5})?",
        seconds in 0..=253_402_207_200_i64,
    ) {
        check(&format!("http://{host}/{path}"), seconds)?;
    }
}
