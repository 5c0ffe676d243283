//! Judges the proof of a request from its headers, before a byte of the body is read.

use http::{HeaderMap, HeaderValue};
use jiff::Timestamp;
use vod_event::{CallbackProof, ProofError};
use vodrelay_core::RefusalCause;

use crate::receiver::Callback;

/// The header with the moment of signing.
pub(crate) const TIMESTAMP: &str = CallbackProof::TIMESTAMP_HEADER;
/// The header with the signature; never logged.
pub(crate) const SIGNATURE: &str = CallbackProof::SIGNATURE_HEADER;

/// On what ground a request is received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Its sender knows the key.
    Proven,
    /// The configuration admits it without a proof.
    Admitted,
    /// The same, and it has a proof that nobody can judge, since no key is set.
    Unjudged,
}

/// A request that is received.
#[derive(Debug)]
pub(crate) struct Judged<'c> {
    pub(crate) standing: Standing,
    /// The proof and the name of the key that it was made with, where it was judged.
    pub(crate) proven: Option<(CallbackProof, &'c str)>,
}

/// Why a request is not received.
#[derive(Debug)]
pub(crate) struct Unproven {
    pub(crate) cause: RefusalCause,
    pub(crate) error: ProofError,
    /// The proof, where its headers made one.
    pub(crate) proof: Option<CallbackProof>,
    /// The URL for which it is right, where it came to a path that no callback has.
    pub(crate) right_for: Option<String>,
}

impl Unproven {
    pub(crate) fn detail(&self) -> String {
        match &self.right_for {
            Some(url) => {
                format!("it came to a path that no callback has, and its signature is right for {url}")
            }
            None => self.error.to_string(),
        }
    }
}

/// Judges against the moment at which the request's first byte was here.
pub(crate) fn judge<'c>(
    callback: &'c Callback,
    headers: &HeaderMap,
    received_at: Timestamp,
) -> Result<Judged<'c>, Unproven> {
    if callback.endpoint.keys.is_empty() {
        let sent = headers.contains_key(TIMESTAMP) || headers.contains_key(SIGNATURE);
        let standing = if sent { Standing::Unjudged } else { Standing::Admitted };
        return Ok(Judged { standing, proven: None });
    }
    let values = |name| headers.get_all(name).iter().map(HeaderValue::as_bytes);
    let proof = match CallbackProof::from_headers(values(TIMESTAMP), values(SIGNATURE)) {
        Ok(proof) => proof,
        Err(error) => return without_proof(callback, error),
    };
    match callback.endpoint.verify(&proof, received_at, callback.max_skew) {
        Ok(key) => Ok(Judged { standing: Standing::Proven, proven: Some((proof, &key.name)) }),
        Err(error) => Err(Unproven { cause: cause_of(&error), error, proof: Some(proof), right_for: None }),
    }
}

fn without_proof(callback: &Callback, error: ProofError) -> Result<Judged<'_>, Unproven> {
    match cause_of(&error) {
        RefusalCause::Missing if callback.allow_unsigned => {
            Ok(Judged { standing: Standing::Admitted, proven: None })
        }
        cause => Err(Unproven { cause, error, proof: None, right_for: None }),
    }
}

/// The cause in the journal's words.
pub(crate) fn cause_of(error: &ProofError) -> RefusalCause {
    match error {
        ProofError::Missing => RefusalCause::Missing,
        ProofError::Stale { .. } => RefusalCause::Stale,
        ProofError::Mismatch => RefusalCause::Mismatch,
        _ => RefusalCause::Malformed,
    }
}

/// A header as it came, for the journal; several are joined as HTTP would.
pub(crate) fn as_it_came(headers: &HeaderMap, name: &str) -> Option<String> {
    let values = headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
    let joined = values.reduce(|all, next| format!("{all}, {next}").into())?;
    Some(joined.chars().take(256).collect())
}
