//! Keeps a log readable under a flood: what explains a cause is said once a minute for each cause.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

const PAUSE: Duration = Duration::from_secs(60);
/// Between two searches for another spelling, which may find nothing.
const SEARCH_PAUSE: Duration = Duration::from_millis(250);

/// What a hint is about.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Hint {
    /// A path that nothing is configured for.
    Path,
    /// A callback of VOD at such a path.
    Stray,
    /// A search for another spelling; it is no hint by itself, and comes more often.
    Search,
    /// A proof that another spelling of the URL would match.
    NearMiss,
    /// A proof that another clock would accept.
    Clock,
    /// A request without proof where one is needed.
    NoProof,
    /// The journal says no.
    Journal,
    /// The time ran out on our side.
    Busy,
    /// A body above the limit.
    TooLarge,
    /// A proof that cannot be judged, since no key is set.
    Ignored,
}

/// When each hint was given last.
#[derive(Debug, Default)]
pub(crate) struct Hints(Mutex<[Option<Instant>; Hint::Ignored as usize + 1]>);

impl Hints {
    /// Whether it is time for that hint; if so, the next one is a minute away.
    pub(crate) fn due(&self, hint: Hint) -> bool {
        let now = Instant::now();
        let pause = if matches!(hint, Hint::Search) { SEARCH_PAUSE } else { PAUSE };
        let mut given = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(last) = given.get_mut(hint as usize) else { return false };
        let due = last.is_none_or(|last| now.duration_since(last) >= pause);
        if due {
            *last = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn once_a_minute() {
        let hints = Hints::default();
        assert!(hints.due(Hint::Path));
        assert!(!hints.due(Hint::Path));
        assert!(hints.due(Hint::Clock));
        assert!(hints.due(Hint::Search) && !hints.due(Hint::Search));
        tokio::time::advance(SEARCH_PAUSE).await;
        assert!(hints.due(Hint::Search), "what is looked for in vain is looked for again");
        assert!(!hints.due(Hint::Path));
        tokio::time::advance(PAUSE).await;
        assert!(hints.due(Hint::Path));
    }
}
