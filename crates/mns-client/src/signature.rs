//! Signatures of version 1: HMAC-SHA1 over method, three headers, the `x-mns-` headers and the request target.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

/// What is signed of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signed<'r> {
    pub(crate) method: &'r str,
    /// Path and query, letter by letter as they go out.
    pub(crate) target: &'r str,
    pub(crate) date: &'r str,
    pub(crate) content_md5: Option<&'r str>,
    pub(crate) content_type: Option<&'r str>,
    /// Headers whose names begin with `x-mns-`, in lower case.
    pub(crate) own: &'r [(&'r str, &'r str)],
}

impl Signed<'_> {
    fn string_to_sign(&self) -> String {
        let Self { method, target, date, .. } = self;
        let (md5, kind) = (self.content_md5.unwrap_or_default(), self.content_type.unwrap_or_default());
        let mut own = self.own.to_vec();
        own.sort_unstable();
        let own: String = own.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        format!("{method}\n{md5}\n{kind}\n{date}\n{own}{target}")
    }

    /// The value of the Authorization header.
    pub(crate) fn authorization(&self, access_key_id: &str, access_key_secret: &str) -> String {
        format!("MNS {access_key_id}:{}", sign(&self.string_to_sign(), access_key_secret))
    }
}

fn sign(text: &str, secret: &str) -> String {
    // A key of any length will do, so the error is never met.
    let mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes());
    mac.map(|mac| STANDARD.encode(mac.chain_update(text).finalize().into_bytes())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn every_vector_holds() {
        let vectors = include_str!("../../../fixtures/mns/signature-vectors.json");
        let vectors: Value = serde_json::from_str(vectors).unwrap();
        let (id, secret) = ("testAccessKeyId", "testAccessKeySecret");
        let mut checked = 0;
        for case in vectors["v1"]["cases"].as_array().unwrap() {
            let text = |key: &str| case[key].as_str();
            let Some(headers) = case["headers"].as_object() else {
                assert_eq!(
                    sign(text("string_to_sign").unwrap(), "TestAccessSecret"),
                    text("signature").unwrap()
                );
                continue;
            };
            let header = |name: &str| headers.get(name).and_then(Value::as_str);
            let own: Vec<(&str, &str)> = headers
                .iter()
                .filter(|(name, _)| name.starts_with("x-mns-"))
                .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
                .collect();
            let signed = Signed {
                method: text("method").unwrap(),
                target: text("request_target").unwrap(),
                date: header("date").unwrap(),
                content_md5: header("content-md5"),
                content_type: header("content-type"),
                own: &own,
            };
            assert_eq!(signed.string_to_sign(), text("string_to_sign").unwrap(), "{}", case["name"]);
            assert_eq!(signed.authorization(id, secret), text("authorization").unwrap(), "{}", case["name"]);
            checked += 1;
        }
        assert_eq!(checked, 11);
    }
}
