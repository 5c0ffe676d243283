//! Whether a host answers at all. One that does not is asked for one image at a time, and the events whose images wait
//! for it come back later, so that they do not take up the places of those whose hosts are there.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use vodrelay_core::breaker::{Breaker, Permit};

use super::super::failure::{Cause, Failure};
use super::super::fetches::Line;

/// How many names below one entry are known to fail at a time. Any host may be named in an event.
const MOST_NAMES: usize = 256;
/// How long to wait for the answer to the one image that is being asked for.
const PROBING: Duration = Duration::from_secs(5);
/// How far apart those come back who wait for a host: the longer it has been away, the further.
const GAPS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// The health of one entry's hosts, by their names. One that answers is not among them.
#[derive(Debug, Default)]
pub(in crate::archive) struct Health(Mutex<BTreeMap<String, Ailing>>);

/// A host that has failed since it last answered.
#[derive(Debug, Default)]
struct Ailing {
    breaker: Breaker,
    resting_since: Option<Timestamp>,
    line: Line,
}

/// The permission to ask for one image. Dropped without a word once the asking has begun, it counts as a failure: the
/// sink ran out of time.
pub(in crate::archive) struct Visit<'h> {
    health: &'h Health,
    /// Of the host.
    name: String,
    /// Which image it is; the same one failing again says nothing new.
    image: u64,
    permitted_at: Timestamp,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing was asked yet, by a probe or by one of many.
    Permitted {
        is_probe: bool,
    },
    Asking,
    Over,
}

impl Health {
    /// Permits to ask the host of that name for an image.
    ///
    /// # Errors
    /// While the host rests: with how long to wait.
    pub(in crate::archive) fn visit(
        &self,
        name: String,
        image: u64,
        now: Timestamp,
    ) -> Result<Visit<'_>, Duration> {
        let is_probe = self.ailing().get_mut(&name).map_or(Ok(false), |host| host.permit(now))?;
        let stage = Stage::Permitted { is_probe };
        Ok(Visit { health: self, name, image, permitted_at: now, stage })
    }

    fn answered(&self, name: &str) {
        self.ailing().remove(name);
    }

    fn failed(&self, name: &str, image: u64, now: Timestamp) {
        let mut ailing = self.ailing();
        if ailing.len() >= MOST_NAMES && !ailing.contains_key(name) {
            let dispensable = ailing.iter().find(|(_, host)| host.breaker.open_since().is_none());
            // Where all of them rest, one more that fails is asked as usual.
            let Some(dispensable) = dispensable.map(|(name, _)| name.clone()) else { return };
            ailing.remove(&dispensable);
        }
        ailing.entry(name.to_owned()).or_default().failed(image, now);
    }

    fn ailing(&self) -> MutexGuard<'_, BTreeMap<String, Ailing>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ailing {
    /// Whether it is a probe.
    fn permit(&mut self, now: Timestamp) -> Result<bool, Duration> {
        let rest = match self.breaker.permit(now) {
            Permit::All => return Ok(false),
            Permit::Probe => return Ok(true),
            Permit::NoneUntil(until) => Duration::try_from(until.duration_since(now)).unwrap_or_default(),
            Permit::None => PROBING,
        };
        let away = self.resting_since.map(|since| now.duration_since(since));
        let away = away.and_then(|away| Duration::try_from(away).ok()).unwrap_or_default();
        let (least, most) = GAPS;
        Err(self.line.join(rest, (away / 1000).clamp(least, most), Instant::now()))
    }

    fn failed(&mut self, image: u64, now: Timestamp) {
        self.breaker.failed(image, now);
        if self.breaker.open_since().is_some() {
            self.resting_since.get_or_insert(now);
        }
    }
}

impl Visit<'_> {
    /// From now on the host is being asked.
    pub(in crate::archive) fn begin(&mut self) {
        self.stage = Stage::Asking;
    }

    /// The visit is over. What costs time is held against the host, a quick refusal is not.
    pub(in crate::archive) fn end(mut self, failure: Option<&Failure>, now: Timestamp) {
        self.stage = Stage::Over;
        let takes_time = |cause| matches!(cause, Cause::Unreachable | Cause::Stalled | Cause::Slow);
        if failure.is_some_and(|failure| takes_time(failure.cause)) {
            self.health.failed(&self.name, self.image, now);
        } else {
            self.health.answered(&self.name);
        }
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        match self.stage {
            Stage::Permitted { is_probe: true } => {
                if let Some(host) = self.health.ailing().get_mut(&self.name) {
                    host.breaker.probe_unused(self.permitted_at);
                }
            }
            Stage::Asking => self.health.failed(&self.name, self.image, self.permitted_at),
            Stage::Permitted { is_probe: false } | Stage::Over => {}
        }
    }
}

impl fmt::Debug for Visit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Visit")
            .field("image", &self.image)
            .field("stage", &self.stage)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    fn visit(health: &Health, image: u64, second: i64) -> Result<Visit<'_>, Duration> {
        health.visit("cdn".to_owned(), image, at(second))
    }

    fn end(health: &Health, image: u64, cause: Option<Cause>, second: i64) {
        let failure = cause.map(|cause| Failure { cause, message: String::new(), status: None, after: None });
        visit(health, image, second).unwrap().end(failure.as_ref(), at(second));
    }

    fn lost(health: &Health, image: u64, second: i64) {
        visit(health, image, second).unwrap().begin();
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_takes_time_for_nothing_rests() {
        let health = Health::default();
        for image in 0..5 {
            end(&health, image, Some(Cause::Stalled), 0);
        }
        assert_eq!(visit(&health, 9, 1).unwrap_err(), Duration::from_secs(1));
        assert_eq!(visit(&health, 8, 1).unwrap_err(), Duration::from_millis(1050), "one after the other");
        assert!(health.visit("other".to_owned(), 8, at(1)).is_ok(), "and no other host with it");
        let probe = visit(&health, 9, 2).unwrap();
        assert_eq!(visit(&health, 8, 2).unwrap_err(), PROBING, "one at a time");
        probe.end(None, at(3));
        assert!(visit(&health, 8, 3).is_ok());
    }

    #[test]
    fn a_quick_refusal_is_an_answer_and_one_image_alone_says_nothing() {
        let health = Health::default();
        for image in 0..20 {
            end(&health, image, Some(Cause::Denied), 0);
            end(&health, image, Some(Cause::Garbled), 0);
            end(&health, 7, Some(Cause::Unreachable), 0);
        }
        for _ in 0..20 {
            end(&health, 7, Some(Cause::Slow), 0);
        }
        assert!(visit(&health, 1, 0).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_visit_that_is_dropped_has_failed_if_it_had_begun() {
        let health = Health::default();
        for image in 0..20 {
            drop(visit(&health, image, 0).unwrap());
        }
        for image in 0..5 {
            lost(&health, image, 0);
        }
        drop(visit(&health, 9, 2).unwrap());
        lost(&health, 9, 2);
        assert_eq!(visit(&health, 9, 3).unwrap_err(), Duration::from_secs(3));
        assert!(visit(&health, 9, 6).is_ok());
    }

    #[test]
    fn as_many_names_are_remembered_as_fit() {
        let health = Health::default();
        for number in 0..MOST_NAMES * 2 {
            for image in 0..5 {
                health.failed(&format!("{number}.example.com"), image, at(0));
            }
        }
        assert_eq!(health.ailing().len(), MOST_NAMES);
        assert!(health.visit("0.example.com".to_owned(), 1, at(1)).is_err(), "who rests is not forgotten");
        health.answered("0.example.com");
        health.failed("once.example.com", 1, at(0));
        for image in 0..5 {
            health.failed("new.example.com", image, at(0));
        }
        assert!(health.visit("new.example.com".to_owned(), 1, at(1)).is_err());
    }
}
