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
    /// For how long nothing has come.
    silent: Duration,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lag {
    /// Nothing came for a whole span.
    Stalled,
    /// Something came, and not enough.
    Slow,
}

impl Pace {
    /// In each `span` at least `min_speed` bytes a second must come.
    pub(super) fn new(span: Duration, min_speed: u64) -> Self {
        let least = u128::from(min_speed) * span.as_millis() / 1000;
        Self {
            span,
            least: u64::try_from(least).unwrap_or(u64::MAX),
            waited: Duration::ZERO,
            got: 0,
            silent: Duration::ZERO,
        }
    }

    /// For how long to wait before asking again.
    pub(super) fn patience(&self) -> Duration {
        let of_silence = self.span.saturating_sub(self.silent);
        // A span that is over has brought too little, and goes on until it is known whether anything comes at all.
        match self.span.saturating_sub(self.waited) {
            Duration::ZERO => of_silence,
            of_span => of_span.min(of_silence),
        }
    }

    /// That many bytes came after so long.
    ///
    /// # Errors
    /// After a span without any, and at the end of one in which too few came and which was not the beginning of that.
    pub(super) fn note(&mut self, waited: Duration, bytes: usize) -> Result<(), Lag> {
        self.waited += waited;
        self.got += bytes as u64;
        self.silent = if bytes == 0 { self.silent + waited } else { Duration::ZERO };
        if self.silent >= self.span {
            return Err(Lag::Stalled);
        }
        if self.waited < self.span {
            return Ok(());
        }
        if self.got < self.least {
            return if bytes == 0 { Ok(()) } else { Err(Lag::Slow) };
        }
        self.got = 0;
        self.waited = Duration::ZERO;
        Ok(())
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
        check(&[(29, 1), (1, 0)], Ok(()));
        check(&[(29, 1), (1, 0), (28, 9)], Err(Lag::Slow));
        check(&[(0, 300), (30, 0)], Err(Lag::Stalled));
        check(&[(29, 1), (1, 0), (29, 0)], Err(Lag::Stalled));
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
        pace.note(Duration::from_secs(25), 5).unwrap();
        pace.note(Duration::from_secs(5), 0).unwrap();
        assert_eq!(pace.patience(), Duration::from_secs(25), "until it is known whether anything comes");
    }
}
