//! Whether a host gives its bytes fast enough. Only time spent waiting for it counts, so that a slow store is not held
//! against it.

use std::time::Duration;

/// Counts bytes and time of waiting, one span after the other.
#[derive(Debug)]
pub(super) struct Pace {
    span: Duration,
    /// What must come in each span.
    least: u64,
    waited: Duration,
    got: u64,
}

/// What was wrong in the span that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lag {
    /// Nothing came.
    Stalled,
    /// Something came, and not enough.
    Slow,
}

impl Pace {
    /// In each `span` at least `min_speed` bytes a second must come.
    pub(super) fn new(span: Duration, min_speed: u64) -> Self {
        let least = u128::from(min_speed) * span.as_millis() / 1000;
        Self { span, least: u64::try_from(least).unwrap_or(u64::MAX), waited: Duration::ZERO, got: 0 }
    }

    /// For how long to wait before asking again.
    pub(super) fn patience(&self) -> Duration {
        self.span.saturating_sub(self.waited)
    }

    /// That many bytes came after so long.
    ///
    /// # Errors
    /// At the end of a span in which too few came.
    pub(super) fn note(&mut self, waited: Duration, bytes: usize) -> Result<(), Lag> {
        self.waited += waited;
        self.got += bytes as u64;
        if self.waited < self.span {
            return Ok(());
        }
        let got = std::mem::take(&mut self.got);
        self.waited = Duration::ZERO;
        match got {
            0 => Err(Lag::Stalled),
            got if got < self.least => Err(Lag::Slow),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_span_must_bring_its_bytes() {
        let check = |notes: &[(u64, usize)], expect: Result<(), Lag>| {
            let mut pace = Pace::new(Duration::from_secs(30), 1000);
            let noted =
                notes.iter().try_for_each(|&(seconds, bytes)| pace.note(Duration::from_secs(seconds), bytes));
            assert_eq!(noted, expect, "{notes:?}");
        };
        check(&[(29, 0)], Ok(()));
        check(&[(30, 0)], Err(Lag::Stalled));
        check(&[(29, 1), (1, 0)], Err(Lag::Slow));
        check(&[(30, 29_999)], Err(Lag::Slow));
        check(&[(30, 30_000)], Ok(()));
        check(&[(1, 1 << 20), (29, 0), (29, 0), (1, 0)], Err(Lag::Stalled));
        check(&[(15, 15_000), (15, 15_000), (15, 15_000), (15, 14_999)], Err(Lag::Slow));
        check(&[(0, 1); 100], Ok(()));
    }

    #[test]
    fn patience_is_what_is_left_of_the_span() {
        let mut pace = Pace::new(Duration::from_secs(30), 1);
        pace.note(Duration::from_secs(10), 5).unwrap();
        assert_eq!(pace.patience(), Duration::from_secs(20));
        pace.note(Duration::from_secs(20), 25).unwrap();
        assert_eq!(pace.patience(), Duration::from_secs(30));
    }
}
