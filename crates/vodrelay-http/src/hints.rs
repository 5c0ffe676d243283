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

/// The configured path that is nearest to the one asked for, if it is near at all.
pub(crate) fn nearest<'a>(asked: &str, paths: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let asked = asked.get(..asked.len().min(256)).unwrap_or("");
    let bound = (asked.len() / 3).max(2);
    let ranked = paths.map(|path| (distance(asked.as_bytes(), path.as_bytes()), path));
    ranked.min().filter(|(distance, _)| *distance <= bound).map(|(_, path)| path)
}

/// How many bytes to insert, drop or change, case aside.
fn distance(from: &[u8], to: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (done, byte) in from.iter().enumerate() {
        let (mut left, mut corner) = (done + 1, done);
        for (cell, other) in row.iter_mut().skip(1).zip(to) {
            let change = corner + usize::from(!byte.eq_ignore_ascii_case(other));
            corner = *cell;
            left = change.min(corner + 1).min(left + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = done + 1;
        }
    }
    row.last().copied().unwrap_or(from.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        let check = |from: &str, to: &str, expect: usize| {
            assert_eq!(distance(from.as_bytes(), to.as_bytes()), expect, "{from} {to}");
        };
        check("", "", 0);
        check("", "abc", 3);
        check("abc", "", 3);
        check("kitten", "sitting", 3);
        check("/vod/callback/", "/vod/callback", 1);
        check("/VOD/callback", "/vod/callback", 0);
    }

    #[test]
    fn near_paths_are_found_and_far_ones_are_not() {
        let paths = ["/vod/callback", "/other"];
        let check = |asked: &str, expect: Option<&str>| {
            assert_eq!(nearest(asked, paths.into_iter()), expect, "{asked}")
        };
        check("/vod/calback", Some("/vod/callback"));
        check("/vod/callback/", Some("/vod/callback"));
        check("/wp-login.php", None);
        check("/", None);
    }

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
