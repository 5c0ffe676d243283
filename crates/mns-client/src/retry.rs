//! When a request that failed is made again by itself.

use std::time::Duration;

use crate::error::ErrorKind;

/// How often requests are made again, and how long the waits between are. Only what is safe to repeat is repeated:
/// sends and changes of visibility, which would happen twice, only where the first try cannot have arrived. By default
/// there are three tries, with up to 100 ms before the second and never more than 2 s before any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Tries in all, the first included; 1 makes none again.
    pub attempts: u32,
    /// The longest wait before the second try; it doubles with each further one. The wait itself is a random part of
    /// that, so that clients that failed together do not come back together.
    pub first: Duration,
    /// The longest wait before any try.
    pub cap: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: 3, first: Duration::from_millis(100), cap: Duration::from_secs(2) }
    }
}

impl Retry {
    /// Every request is made once: for callers with a patience of their own.
    #[must_use]
    pub fn never() -> Self {
        Self { attempts: 1, ..Self::default() }
    }

    /// How long to wait before the next try, if there is to be one. `attempt` counts from 1; `random` is from 0 to 1.
    pub(crate) fn wait(
        &self,
        attempt: u32,
        repeat: Repeat,
        kind: ErrorKind,
        random: f64,
    ) -> Option<Duration> {
        if attempt >= self.attempts || !repeat.bears(kind) {
            return None;
        }
        let longest = self.first.saturating_mul(1 << (attempt - 1).min(16)).min(self.cap);
        Some(longest.mul_f64(random))
    }
}

/// After which failures a request may be made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Making it twice is as good as once.
    Always,
    /// Only where the service has turned it away, or never got it.
    IfUndone,
    /// Only where no connection came about.
    IfUnsent,
}

impl Repeat {
    fn bears(self, kind: ErrorKind) -> bool {
        match kind {
            ErrorKind::Connect => true,
            ErrorKind::Throttled => self != Self::IfUnsent,
            ErrorKind::Disconnected | ErrorKind::Timeout | ErrorKind::Unavailable => self == Self::Always,
            _ => false,
        }
    }
}

/// Whether the request may have taken effect though there is no word of it.
pub(crate) fn leaves_doubt(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Disconnected | ErrorKind::Timeout | ErrorKind::Unavailable | ErrorKind::Unreadable
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_safe_is_repeated() {
        let check = |repeat, kind, expected: bool| {
            assert_eq!(
                Retry::default().wait(1, repeat, kind, 1.0).is_some(),
                expected,
                "{repeat:?} {kind:?}"
            );
        };
        check(Repeat::IfUnsent, ErrorKind::Connect, true);
        check(Repeat::IfUnsent, ErrorKind::Throttled, false);
        check(Repeat::IfUnsent, ErrorKind::Timeout, false);
        check(Repeat::IfUndone, ErrorKind::Throttled, true);
        check(Repeat::IfUndone, ErrorKind::Unavailable, false);
        check(Repeat::Always, ErrorKind::Disconnected, true);
        check(Repeat::Always, ErrorKind::Unavailable, true);
        check(Repeat::Always, ErrorKind::QueueNotExist, false);
        check(Repeat::Always, ErrorKind::AccessDenied, false);
    }

    #[test]
    fn waits_double_up_to_the_cap_and_end_with_the_tries() {
        let retry = Retry { attempts: 8, ..Retry::default() };
        let wait = |attempt, random| {
            retry.wait(attempt, Repeat::Always, ErrorKind::Throttled, random).map(|wait| wait.as_millis())
        };
        assert_eq!(
            [1, 2, 5, 6, 7, 8].map(|attempt| wait(attempt, 1.0)),
            [Some(100), Some(200), Some(1600), Some(2000), Some(2000), None]
        );
        assert_eq!((wait(1, 0.0), wait(1, 0.5)), (Some(0), Some(50)));
        assert_eq!(Retry::never().wait(1, Repeat::Always, ErrorKind::Connect, 1.0), None);
    }
}
