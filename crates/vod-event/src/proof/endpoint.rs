//! One callback URL with its keys, and the judgement over a proof that was sent to it.

use std::time::Duration;

use jiff::Timestamp;
use subtle::{ConditionallySelectable, ConstantTimeEq};

use super::near_miss::{self, NearMiss};
use super::{CallbackProof, NamedKey, ProofError};

/// One callback URL as it is configured at VOD.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The URL, letter by letter as VOD has it: it is part of what VOD signs.
    pub url: String,
    /// The keys. Any may match, which is how a key is changed without losing a callback.
    pub keys: Vec<NamedKey>,
}

impl Endpoint {
    /// Judges a proof: the digest first, with every key, then the time. The one key that matches is returned, the
    /// first where several are alike.
    ///
    /// # Errors
    /// [`ProofError::Mismatch`] where no key fits; [`ProofError::Stale`] where one does and only the time is wrong.
    pub fn verify(
        &self,
        proof: &CallbackProof,
        received_at: Timestamp,
        max_skew: Duration,
    ) -> Result<&NamedKey, ProofError> {
        let key = self.matching_key(proof).ok_or(ProofError::Mismatch)?;
        let off_by_seconds = proof.timestamp.saturating_sub(received_at.as_second());
        if off_by_seconds.unsigned_abs() > max_skew.as_secs() {
            return Err(ProofError::Stale { off_by_seconds });
        }
        Ok(key)
    }

    /// What would have had to be spelled differently for the proof to match; nothing where no spelling that we know
    /// of would do, and where the proof matches as it is. Too slow to ask for every refusal.
    #[must_use]
    pub fn near_miss(&self, proof: &CallbackProof) -> Option<NearMiss> {
        near_miss::find(self, proof)
    }

    /// Tries every key, whether or not an earlier one fits.
    fn matching_key(&self, proof: &CallbackProof) -> Option<&NamedKey> {
        const NONE: u64 = u64::MAX;
        let mut matching = NONE;
        for (index, named) in (0_u64..).zip(&self.keys) {
            let is_first_match = proof.matches_text(&self.url, named.key.expose()) & matching.ct_eq(&NONE);
            matching.conditional_assign(&index, is_first_match);
        }
        usize::try_from(matching).ok().and_then(|index| self.keys.get(index))
    }
}
