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
    /// Its sender knows the key, and signed at that second of its clock.
    Proven {
        /// In seconds since 1970.
        signed_at: i64,
    },
    /// The configuration admits it without a proof.
    Admitted,
    /// The same, and it has a proof that nobody can judge, since no key is set.
    Unjudged,
}

/// Why a request is not received.
#[derive(Debug)]
pub(crate) struct Unproven {
    pub(crate) cause: RefusalCause,
    pub(crate) error: ProofError,
    /// The proof, where its headers made one.
    pub(crate) proof: Option<CallbackProof>,
}

/// Judges against the moment at which the request's first byte was here.
pub(crate) fn judge(
    callback: &Callback,
    headers: &HeaderMap,
    received_at: Timestamp,
) -> Result<Standing, Unproven> {
    if callback.endpoint.keys.is_empty() {
        let sent = headers.contains_key(TIMESTAMP) || headers.contains_key(SIGNATURE);
        return Ok(if sent { Standing::Unjudged } else { Standing::Admitted });
    }
    let values = |name| headers.get_all(name).iter().map(HeaderValue::as_bytes);
    let proof = match CallbackProof::from_headers(values(TIMESTAMP), values(SIGNATURE)) {
        Ok(proof) => proof,
        Err(error) => return without_proof(callback, error),
    };
    match callback.endpoint.verify(&proof, received_at, callback.max_skew) {
        Ok(_) => Ok(Standing::Proven { signed_at: proof.timestamp }),
        Err(error) => Err(Unproven { cause: cause_of(&error), error, proof: Some(proof) }),
    }
}

fn without_proof(callback: &Callback, error: ProofError) -> Result<Standing, Unproven> {
    match cause_of(&error) {
        RefusalCause::Missing if callback.allow_unsigned => Ok(Standing::Admitted),
        cause => Err(Unproven { cause, error, proof: None }),
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
