//! The proof that a callback comes from VOD: an MD5 digest over the callback's URL as configured there, the time, and
//! a private key. It does not cover the body.

mod endpoint;
mod key;
mod near_miss;

use std::fmt;

use jiff::Timestamp;
use md5::{Digest, Md5};
use subtle::{Choice, ConstantTimeEq};
use thiserror::Error;

pub use endpoint::Endpoint;
pub use key::{NamedKey, PrivateKey};
pub use near_miss::NearMiss;

/// What the two headers of a callback say.
#[derive(Clone, PartialEq, Eq)]
pub struct CallbackProof {
    /// When the provider says that it sent the callback, in seconds since 1970.
    pub timestamp: i64,
    /// The same, letter by letter: it is what the digest covers.
    timestamp_text: String,
    signature: [u8; 16],
}

impl CallbackProof {
    /// The header that has the time.
    pub const TIMESTAMP_HEADER: &str = "x-vod-timestamp";
    /// The header that has the digest.
    pub const SIGNATURE_HEADER: &str = "x-vod-signature";

    /// The proof that VOD would make for this URL, key and time.
    #[must_use]
    pub fn make(url: &str, key: &PrivateKey, now: Timestamp) -> Self {
        let timestamp = now.as_second();
        let timestamp_text = timestamp.to_string();
        let signature = digest(url, &timestamp_text, key.expose());
        Self { timestamp, timestamp_text, signature }
    }

    /// From the values of the two headers, as often as each was sent.
    ///
    /// # Errors
    /// If one is missing, sent twice, or not what it should be.
    pub fn from_headers<'h>(
        timestamp: impl Iterator<Item = &'h [u8]>,
        signature: impl Iterator<Item = &'h [u8]>,
    ) -> Result<Self, ProofError> {
        let timestamp = only(timestamp, Self::TIMESTAMP_HEADER)?;
        let signature = only(signature, Self::SIGNATURE_HEADER)?;
        let (timestamp, signature) = match (timestamp, signature) {
            (Some(timestamp), Some(signature)) => (timestamp, signature),
            (None, None) => return Err(ProofError::Missing),
            (None, _) => return Err(ProofError::Incomplete { missing: Self::TIMESTAMP_HEADER }),
            (_, None) => return Err(ProofError::Incomplete { missing: Self::SIGNATURE_HEADER }),
        };
        let (timestamp, timestamp_text) = seconds(timestamp).ok_or(ProofError::Malformed {
            header: Self::TIMESTAMP_HEADER,
            expected: "1 to 18 decimal digits",
        })?;
        let signature = hex16(signature)
            .ok_or(ProofError::Malformed { header: Self::SIGNATURE_HEADER, expected: "32 hex digits" })?;
        Ok(Self { timestamp, timestamp_text, signature })
    }

    /// Whether this is the proof for the URL and the key. How long it takes does not depend on how much of the
    /// digest is right.
    #[must_use]
    pub fn matches(&self, url: &str, key: &PrivateKey) -> bool {
        self.matches_text(url, key.expose()).into()
    }

    fn matches_text(&self, url: &str, key: &str) -> Choice {
        digest(url, &self.timestamp_text, key).ct_eq(&self.signature)
    }

    /// The value of the timestamp header.
    #[must_use]
    pub fn timestamp(&self) -> &str {
        &self.timestamp_text
    }

    /// The value of the signature header, in lower case.
    #[must_use]
    pub fn signature_hex(&self) -> String {
        format!("{:032x}", u128::from_be_bytes(self.signature))
    }
}

impl fmt::Debug for CallbackProof {
    /// Without the signature, which together with the time would let its reader send anything for a while.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallbackProof").field("timestamp", &self.timestamp_text).finish_non_exhaustive()
    }
}

/// Why a callback is not believed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProofError {
    /// Neither header was sent.
    #[error(
        "the request has no proof: neither {} nor {}",
        CallbackProof::TIMESTAMP_HEADER,
        CallbackProof::SIGNATURE_HEADER
    )]
    Missing,
    /// One header was sent without the other.
    #[error("the proof is incomplete: {missing} is missing")]
    Incomplete {
        /// The header that is missing.
        missing: &'static str,
    },
    /// A header was sent more than once.
    #[error("the proof is ambiguous: {header} was sent more than once")]
    Doubled {
        /// The header.
        header: &'static str,
    },
    /// A header is not what it should be.
    #[error("the proof is malformed: {header} is not {expected}")]
    Malformed {
        /// The header.
        header: &'static str,
        /// What it should have been.
        expected: &'static str,
    },
    /// The digest fits none of the keys.
    #[error("the signature matches none of the keys")]
    Mismatch,
    /// The digest is right, but the time is too far off.
    #[error("the signature matches, but its time is off by {off_by_seconds} s")]
    Stale {
        /// The callback's time less the time of receipt: negative for an old callback.
        off_by_seconds: i64,
    },
}

impl ProofError {
    /// The cause in one word, as a label for metrics.
    #[must_use]
    pub fn cause(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Incomplete { .. } => "incomplete",
            Self::Doubled { .. } => "doubled",
            Self::Malformed { .. } => "malformed",
            Self::Mismatch => "mismatch",
            Self::Stale { .. } => "stale",
        }
    }
}

fn digest(url: &str, timestamp: &str, key: &str) -> [u8; 16] {
    let md5 = Md5::new().chain_update(url).chain_update("|").chain_update(timestamp);
    md5.chain_update("|").chain_update(key).finalize().into()
}

fn only<'h>(
    mut values: impl Iterator<Item = &'h [u8]>,
    header: &'static str,
) -> Result<Option<&'h [u8]>, ProofError> {
    let first = values.next();
    if values.next().is_some() { Err(ProofError::Doubled { header }) } else { Ok(first) }
}

fn seconds(value: &[u8]) -> Option<(i64, String)> {
    let text = str::from_utf8(value.trim_ascii()).ok()?;
    let is_well_formed = (1..=18).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_well_formed { Some((text.parse().ok()?, text.to_owned())) } else { None }
}

fn hex16(value: &[u8]) -> Option<[u8; 16]> {
    let text = str::from_utf8(value.trim_ascii()).ok()?;
    let is_well_formed = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_well_formed { u128::from_str_radix(text, 16).ok().map(u128::to_be_bytes) } else { None }
}

#[cfg(test)]
mod tests;
