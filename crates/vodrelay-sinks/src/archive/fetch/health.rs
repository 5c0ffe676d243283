//! Whether a host answers at all. One that does not is asked for one image at a time, so that the events whose images
//! wait for it do not take every slot of the sink: the records of all others must not wait behind a CDN.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use vodrelay_core::breaker::{Breaker, Permit};

use super::super::failure::{Cause, Failure};

/// The health of one entry's hosts.
#[derive(Debug, Default)]
pub(in crate::archive) struct Health(Mutex<Breaker>);

/// The permission to ask for one image. Dropped without a word, it counts as a failure: the sink ran out of time.
pub(in crate::archive) struct Visit<'h> {
    health: &'h Health,
    /// Which image it is; the same one failing again says nothing new.
    image: u64,
    began: Timestamp,
    is_over: bool,
}

impl Health {
    /// Permits to ask for an image.
    ///
    /// # Errors
    /// While the host rests: with how long it still does, where that is known.
    pub(in crate::archive) fn visit(
        &self,
        image: u64,
        now: Timestamp,
    ) -> Result<Visit<'_>, Option<Duration>> {
        match self.breaker().permit(now) {
            Permit::All | Permit::Probe => Ok(Visit { health: self, image, began: now, is_over: false }),
            Permit::NoneUntil(until) => Err(Duration::try_from(until.duration_since(now)).ok()),
            Permit::None => Err(None),
        }
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Visit<'_> {
    /// The visit is over. What costs the sink its time is held against the host, a quick refusal is not.
    pub(in crate::archive) fn end(mut self, failure: Option<&Failure>, now: Timestamp) {
        self.is_over = true;
        let takes_time = |cause| matches!(cause, Cause::Unreachable | Cause::Stalled | Cause::Slow);
        if failure.is_some_and(|failure| takes_time(failure.cause)) {
            self.health.breaker().failed(self.image, now);
        } else {
            self.health.breaker().succeeded();
        }
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.health.breaker().failed(self.image, self.began);
        }
    }
}

impl fmt::Debug for Visit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Visit").field("image", &self.image).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    fn end(health: &Health, image: u64, cause: Option<Cause>, second: i64) {
        let failure = cause.map(|cause| Failure { cause, message: String::new(), status: None, after: None });
        health.visit(image, at(second)).unwrap().end(failure.as_ref(), at(second));
    }

    #[test]
    fn a_host_that_takes_time_for_nothing_rests() {
        let health = Health::default();
        for image in 0..5 {
            end(&health, image, Some(Cause::Stalled), 0);
        }
        assert_eq!(health.visit(9, at(1)).unwrap_err(), Some(Duration::from_secs(1)));
        let probe = health.visit(9, at(2)).unwrap();
        assert_eq!(health.visit(8, at(2)).unwrap_err(), None, "one at a time");
        probe.end(None, at(3));
        assert!(health.visit(8, at(3)).is_ok());
    }

    #[test]
    fn a_quick_refusal_is_an_answer_and_one_image_alone_says_nothing() {
        let health = Health::default();
        for image in 0..20 {
            end(&health, image, Some(Cause::Denied), 0);
            end(&health, 7, Some(Cause::Unreachable), 0);
        }
        for _ in 0..20 {
            end(&health, 7, Some(Cause::Slow), 0);
        }
        assert!(health.visit(1, at(0)).is_ok());
    }

    #[test]
    fn a_probe_that_is_dropped_lets_another_try() {
        let health = Health::default();
        for image in 0..5 {
            drop(health.visit(image, at(0)).unwrap());
        }
        drop(health.visit(9, at(2)).unwrap());
        assert_eq!(health.visit(9, at(3)).unwrap_err(), Some(Duration::from_secs(3)));
        assert!(health.visit(9, at(6)).is_ok());
    }
}
