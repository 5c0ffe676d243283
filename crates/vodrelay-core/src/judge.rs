//! The port to who can judge the proof of a kept refusal once more, by the configuration of today.

use std::sync::Arc;

use vod_event::NearMiss;

use crate::envelope::Labels;
use crate::name::Name;
use crate::refusal::{Refusal, RefusalCause};

/// Knows the callbacks and their keys, which a journal and an admin listener do not.
#[cfg_attr(any(test, feature = "test-util"), mockall::automock)]
pub trait Judge: Send + Sync + std::fmt::Debug {
    /// The callbacks that are configured today.
    fn callbacks(&self) -> Vec<Name>;

    /// Judges the proof by the URL and the keys that its callback has today. Its time is judged by the moment at
    /// which the request was received, never by now.
    fn judge(&self, refusal: &Refusal) -> Judgement;

    /// What the proof would be right for instead. It is slow, so it is asked for one refusal and never for all.
    fn find_near_miss(&self, refusal: &Refusal) -> Option<Resemblance>;
}

/// What the proof of a refusal is worth today.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Its sender knew a key of today when the request was received.
    Proven(Match),
    /// The same, but for its time: it was too old or too far ahead when it was received.
    Stale(Match),
    /// It shows nothing, for that cause and in these words.
    Unproven(RefusalCause, String),
    /// Its callback is not configured today.
    UnknownCallback,
}

/// The key that a proof was made with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// The name of the key.
    pub key: String,
    /// The proof's time less the time of receipt, in seconds: negative for an old proof.
    pub off_by_seconds: i64,
    /// The labels that events of the callback get today.
    pub labels: Arc<Labels>,
}

/// What a proof would have been right for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resemblance {
    /// Another spelling of the callback's URL or key.
    Spelling(NearMiss),
    /// Another callback, as it is configured.
    Callback(Name),
}
