//! Standard Webhooks signatures: HMAC-SHA256 over `id.timestamp.body`, one for each secret, so that receivers can
//! change theirs without missing an event.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use vodrelay_core::config::Secret;

/// Keys in the order of their signatures; none signs nothing.
#[derive(Default)]
pub(super) struct SigningKeys(Vec<Hmac<Sha256>>);

impl SigningKeys {
    /// From secrets as they are configured.
    ///
    /// # Errors
    /// With what a secret must look like, and never with the secret.
    pub(super) fn new(secrets: &[Secret]) -> Result<Self, String> {
        secrets.iter().map(key).collect::<Result<_, _>>().map(Self)
    }

    /// The value of `webhook-signature`, or nothing without a key.
    pub(super) fn sign(&self, id: &str, seconds: i64, body: &[u8]) -> Option<String> {
        let head = format!("{id}.{seconds}.");
        let sign = |key: &Hmac<Sha256>| {
            let code = key.clone().chain_update(&head).chain_update(body).finalize().into_bytes();
            format!("v1,{}", STANDARD.encode(code))
        };
        let signatures: Vec<String> = self.0.iter().map(sign).collect();
        if signatures.is_empty() { None } else { Some(signatures.join(" ")) }
    }
}

fn key(secret: &Secret) -> Result<Hmac<Sha256>, String> {
    let text = secret.expose().trim();
    let encoded = text.strip_prefix("whsec_").ok_or("expected a secret that begins with whsec_")?;
    let bytes = STANDARD.decode(encoded).map_err(|_| "expected Base64 after whsec_, with its padding")?;
    if !(24..=64).contains(&bytes.len()) {
        return Err(format!("expected 24 to 64 bytes in Base64 after whsec_, there are {}", bytes.len()));
    }
    Hmac::new_from_slice(&bytes).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::{Secret, SigningKeys};

    fn check(secrets: &[&str], (id, seconds, body): (&str, i64, &str), expected: &str) {
        let secrets: Vec<Secret> = secrets.iter().map(|secret| Secret::new(*secret)).collect();
        let signature = SigningKeys::new(&secrets).unwrap().sign(id, seconds, body.as_bytes());
        assert_eq!(signature.as_deref(), Some(expected));
    }

    /// The vector that the libraries of the standard publish.
    #[test]
    fn the_published_vector_holds() {
        check(
            &["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
            ("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        );
    }

    #[test]
    fn during_a_rotation_both_secrets_sign_in_their_order() {
        check(
            &[
                "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
                "whsec_ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=",
            ],
            (
                "evt_01TEST",
                1_700_000_000,
                r#"{"type":"vod.dynamic_image.complete","timestamp":"2019-11-05T09:12:58Z","data":{"videoId":"vid-1","jobId":"job-1","status":"success"}}"#,
            ),
            "v1,TzJmJhFLppE0ACSlSIdmCwaguMlKn3c2QVV2NttDzuw= v1,y0la2IQxBuYrBiQDK0zpq65SH7mh8zEcA8f0+cyz68Q=",
        );
    }

    #[test]
    fn a_secret_that_is_none_is_refused_without_being_printed() {
        for wrong in ["MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_not*base64", "whsec_AAECAwQFBgc="] {
            let Err(error) = SigningKeys::new(&[Secret::new(wrong)]) else { panic!("{wrong} was taken") };
            assert!(error.contains("whsec_") && !error.contains(wrong), "{error}");
        }
    }
}
