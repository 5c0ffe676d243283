//! The signature vectors in `fixtures/callbacks/vectors.json`.

use serde::Deserialize;
use vod_event::{CallbackProof, PrivateKey};

#[derive(Deserialize)]
struct Vectors {
    http_callback: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    url: String,
    timestamp: String,
    key: String,
    md5: String,
}

#[test]
fn every_vector_matches() {
    let vectors = include_str!("../../../../fixtures/callbacks/vectors.json");
    let vectors: Vectors = serde_json::from_str(vectors).unwrap();
    assert!(vectors.http_callback.len() >= 7);
    for Vector { url, timestamp, key, md5 } in vectors.http_callback {
        let key = PrivateKey::new(key);
        let made =
            CallbackProof::make(&url, &key, format!("{timestamp}000").parse::<i64>().map(millis).unwrap());
        assert_eq!(made.signature_hex(), md5, "{url}");
        for signature in [md5.clone(), md5.to_uppercase()] {
            let headers = [timestamp.as_bytes()].into_iter();
            let proof = CallbackProof::from_headers(headers, [signature.as_bytes()].into_iter()).unwrap();
            assert!(proof.matches(&url, &key), "{url}");
            assert!(!proof.matches(&format!("{url}x"), &key), "{url}");
        }
    }
}

fn millis(millis: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_millisecond(millis).unwrap()
}
