//! How long a source has been silent, over a restart too.

use std::time::Duration;

use jiff::Timestamp;
use vodrelay_core::config::Span;
use vodrelay_core::ledger::EventFilter;
use vodrelay_core::{JournalError, Ledger, SourceName};

use crate::sight::{Finding, Seen};

/// After a start, what waited outside has this long to come in before silence is told.
const GRACE: Duration = Duration::from_secs(300);

/// One source that is expected to be heard.
#[derive(Debug)]
pub(super) struct Silence {
    /// How long it had been silent when that was looked at first.
    before: Duration,
    began: Duration,
    count: u64,
    /// When it was heard last in this life, by the steady clock.
    heard: Option<Duration>,
}

impl Silence {
    pub(super) fn new(before: Duration, count: u64, steady: Duration) -> Self {
        Self { before, began: steady, count, heard: None }
    }

    pub(super) fn look(&mut self, count: u64, steady: Duration, expected: Duration) -> Seen {
        if count != self.count {
            (self.count, self.heard) = (count, Some(steady));
        }
        let here = steady.saturating_sub(self.began);
        let silent = self.heard.map_or(self.before + here, |heard| steady.saturating_sub(heard));
        if silent < expected || (self.heard.is_none() && here < GRACE.min(expected)) {
            return Seen::Off;
        }
        let minutes = Duration::from_secs(silent.as_secs() / 60 * 60);
        let what =
            format!("nothing came for {}, and something is expected every {}", Span(minutes), Span(expected));
        let next = "whether VOD still has this callback or queue, vodrelay check, and vodrelay refused list";
        Seen::On(Finding::new(what, next))
    }
}

/// How long it is since the source was heard in an earlier life; where it never was, it is heard of as of now.
pub(super) async fn before(
    ledger: &dyn Ledger,
    source: &SourceName,
    now: Timestamp,
) -> Result<Duration, JournalError> {
    let filter = EventFilter { source: Some(source.clone()), ..EventFilter::default() };
    let mut after = None;
    // A page may be short where much else came from elsewhere meanwhile; at some point that says enough.
    for _ in 0..50 {
        let page = ledger.events(&filter, after, 1).await?;
        if let Some(event) = page.items.first() {
            return Ok(Duration::try_from(now.duration_since(event.received_at)).unwrap_or_default());
        }
        if page.next.is_none() {
            break;
        }
        after = page.next;
    }
    Ok(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_told_when_it_is_longer_than_expected_and_a_start_has_some_grace() {
        let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
        let check = |before: u64, steps: &[(u64, u64, bool)]| {
            let mut silence = Silence::new(minutes(before), 0, minutes(1));
            for (minute, count, expect) in steps {
                let seen = silence.look(*count, minutes(*minute), minutes(60));
                assert_eq!(
                    matches!(seen, Seen::On(_)),
                    *expect,
                    "silent for {before} before, minute {minute}"
                );
            }
        };
        check(
            0,
            &[(1, 0, false), (60, 0, false), (61, 0, true), (62, 1, false), (121, 1, false), (122, 1, true)],
        );
        check(50, &[(1, 0, false), (10, 0, false), (11, 0, true)]);
        check(500, &[(1, 0, false), (5, 0, false), (6, 0, true), (7, 3, false)]);
    }
}
