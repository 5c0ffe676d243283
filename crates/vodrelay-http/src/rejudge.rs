//! Judges kept refusals again, by the callbacks and keys that are configured today.

use std::sync::Arc;

use vod_event::{CallbackProof, ProofError};
use vodrelay_core::judge::{Judgement, Match, Resemblance};
use vodrelay_core::{Judge, Name, Refusal};

use crate::proof::cause_of;
use crate::receiver::{Callback, Settings};

/// Knows the callbacks of a configuration and their keys.
#[derive(Clone, Debug)]
pub struct CallbackJudge {
    callbacks: Vec<Callback>,
}

impl CallbackJudge {
    /// Judges by these settings.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self { callbacks: settings.callbacks.clone() }
    }
}

fn callback_of<'a>(callbacks: &'a [Callback], refusal: &Refusal) -> Option<&'a Callback> {
    callbacks.iter().find(|callback| callback.source == refusal.source)
}

impl Judge for CallbackJudge {
    fn callbacks(&self) -> Vec<Name> {
        self.callbacks.iter().map(|callback| callback.name.clone()).collect()
    }

    fn judge(&self, refusal: &Refusal) -> Judgement {
        let Some(callback) = callback_of(&self.callbacks, refusal) else { return Judgement::UnknownCallback };
        let proof = match proof_of(refusal) {
            Ok(proof) => proof,
            Err(error) => return unproven(&error),
        };
        let verified = callback.endpoint.verify(&proof, refusal.received_at, callback.max_skew);
        let mut keys = callback.endpoint.keys.iter();
        let key = keys.find(|named| proof.matches(&callback.endpoint.url, &named.key));
        let found = Match {
            key: key.map(|named| named.name.clone()).unwrap_or_default(),
            off_by_seconds: proof.timestamp.saturating_sub(refusal.received_at.as_second()),
            labels: Arc::clone(&callback.labels),
        };
        match verified {
            Ok(_) => Judgement::Proven(found),
            Err(ProofError::Stale { .. }) => Judgement::Stale(found),
            Err(error) => unproven(&error),
        }
    }

    fn find_near_miss(&self, refusal: &Refusal) -> Option<Resemblance> {
        let proof = proof_of(refusal).ok()?;
        let callback = callback_of(&self.callbacks, refusal)?;
        if let Some(miss) = callback.endpoint.near_miss(&proof) {
            return Some(Resemblance::Spelling(miss));
        }
        let others = self.callbacks.iter().filter(|other| other.source != refusal.source);
        let mut matching = others.filter(|other| {
            other.endpoint.keys.iter().any(|named| proof.matches(&other.endpoint.url, &named.key))
        });
        matching.next().map(|other| Resemblance::Callback(other.name.clone()))
    }
}

fn unproven(error: &ProofError) -> Judgement {
    Judgement::Unproven(cause_of(error), error.to_string())
}

/// The proof, from the headers as they are kept: of a doubled one the values are joined, which is no proof either.
fn proof_of(refusal: &Refusal) -> Result<CallbackProof, ProofError> {
    let timestamp = refusal.timestamp.iter().map(String::as_bytes);
    CallbackProof::from_headers(timestamp, refusal.signature.iter().map(String::as_bytes))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use vod_event::PrivateKey;
    use vodrelay_core::config::Surroundings;
    use vodrelay_core::{RefusalCause, SourceName};

    use super::*;

    const RECEIVED_AT: i64 = 1_700_000_000;
    const MAIN: &str = "https://hooks.example.com/vod";
    const CONFIG: &str = r#"
        [callbacks.main]
        public_url = "https://hooks.example.com/vod"
        keys = [{ name = "old", plain = "OldKey0123456789" }, { name = "new", plain = "Abcdef0123456789" }]
        max_skew = "2m"
        allow_unsigned = true
        [callbacks.other]
        public_url = "https://hooks.example.com/other"
        keys = ["Other0123456789"]
        [callbacks.open]
        public_url = "https://hooks.example.com/open"
        allow_unsigned = true
    "#;

    fn judge() -> CallbackJudge {
        let config: crate::Config = toml::from_str(CONFIG).unwrap();
        CallbackJudge::new(&config.resolve(&Surroundings::default()).unwrap())
    }

    /// A refusal whose proof was made so many seconds after it was received.
    fn refusal(callback: &str, url: &str, key: &str, off: i64) -> Refusal {
        let moment = |second| jiff::Timestamp::from_second(second).unwrap();
        let proof = CallbackProof::make(url, &PrivateKey::new(key), moment(RECEIVED_AT + off));
        Refusal {
            source: SourceName::callback(&Name::new(callback).unwrap()),
            cause: RefusalCause::Mismatch,
            detail: String::new(),
            received_at: moment(RECEIVED_AT),
            address: "192.0.2.1".to_owned(),
            timestamp: Some(proof.timestamp().to_owned()),
            signature: Some(proof.signature_hex()),
            body: Bytes::new(),
            cut_short: false,
        }
    }

    #[test]
    fn todays_keys_and_url_decide_and_the_time_is_that_of_receipt() {
        let check = |refusal: &Refusal, expect: &str| {
            let said = match judge().judge(refusal) {
                Judgement::Proven(found) => format!("proven by {} {}", found.key, found.off_by_seconds),
                Judgement::Stale(found) => format!("stale by {} {}", found.key, found.off_by_seconds),
                Judgement::Unproven(cause, _) => cause.as_str().to_owned(),
                Judgement::UnknownCallback => "unknown".to_owned(),
            };
            assert_eq!(said, expect, "{refusal:?}");
        };
        let of_main = |url: &str, key: &str, off| refusal("main", url, key, off);
        check(&of_main(MAIN, "Abcdef0123456789", -120), "proven by new -120");
        check(&of_main(MAIN, "OldKey0123456789", 0), "proven by old 0");
        check(&of_main(MAIN, "Abcdef0123456789", -121), "stale by new -121");
        check(&of_main(MAIN, "Abcdef0123456789", 3_600), "stale by new 3600");
        check(&of_main(MAIN, "Wrong0123456789", 0), "mismatch");
        check(&of_main("https://hooks.example.com/vod/", "Abcdef0123456789", 0), "mismatch");
        check(&refusal("gone", MAIN, "Abcdef0123456789", 0), "unknown");
        // Without a key nothing is proven, whoever is admitted unsigned.
        check(&refusal("open", "https://hooks.example.com/open", "any", 0), "mismatch");
        let unsigned = Refusal { timestamp: None, signature: None, ..of_main(MAIN, "Abcdef0123456789", 0) };
        check(&unsigned, "missing");
        let half = Refusal { timestamp: None, ..of_main(MAIN, "Abcdef0123456789", 0) };
        check(&half, "malformed");
        let proof = of_main(MAIN, "Abcdef0123456789", 0);
        let signature = proof.signature.clone().unwrap();
        check(&Refusal { signature: Some(format!("{signature}, {signature}")), ..proof }, "malformed");
    }

    #[test]
    fn a_near_miss_is_another_spelling_or_another_callback() {
        let check = |refusal: &Refusal, expect: Option<&str>| {
            let found = judge().find_near_miss(refusal).map(|found| found.to_string());
            assert_eq!(found.as_deref(), expect, "{refusal:?}");
        };
        let with_slash = refusal("main", "https://hooks.example.com/vod/", "Abcdef0123456789", 0);
        let spelling = r#"https://hooks.example.com/vod/ with the key "new" (with a slash at the end)"#;
        check(&with_slash, Some(spelling));
        let of_other = refusal("main", "https://hooks.example.com/other", "Other0123456789", 0);
        check(&of_other, Some("the callback other, as it is configured"));
        check(&refusal("main", MAIN, "Wrong0123456789", 0), None);
    }
}
