//! Looks at the relay from outside, every few seconds: what the journal tells people, how the dispatchers stand, what the
//! sources tell of themselves. Nothing on the path of an event knows of it.

mod counts;
mod silence;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use vodrelay_core::config::ByteSize;
use vodrelay_core::standing::BreakerState;
use vodrelay_core::{Clock, JournalError, Ledger, SinkBacklog, SinkName, SourceName, Standings, Vitals};

use self::counts::{Growth, Troubles};
use self::silence::Silence;
use crate::alarm::Plan;
use crate::kind::Kind;
use crate::sight::{Finding, Seen, Sight};

/// So long something may wait for a sink whose breaker is closed: a few events a day open none.
const BEHIND: Duration = Duration::from_secs(1_800);
/// So long a queue may be out of reach: one answer that is missing is no news.
const OUT_OF_REACH: Duration = Duration::from_secs(60);
/// So far the clock may be off; VOD's callbacks are refused beyond `max_skew`, five minutes by default.
const CLOCK_OFF_SECONDS: i64 = 30;

/// Tells how many bytes are free where the journal is.
pub type FreeBytes = Arc<dyn Fn() -> io::Result<u64> + Send + Sync>;

/// What is watched.
#[derive(Clone)]
pub struct Watched {
    /// What the journal tells people.
    pub ledger: Arc<dyn Ledger>,
    /// How the sinks stand.
    pub standings: Standings,
    /// How the sources are.
    pub vitals: Vitals,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The room on the disk.
    pub free_bytes: FreeBytes,
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").finish_non_exhaustive()
    }
}

/// Remembers what it saw at the look before.
#[derive(Debug)]
pub(crate) struct Watcher {
    watched: Watched,
    dead_letters: BTreeMap<SinkName, Growth>,
    unreadable: Growth,
    troubles: Troubles,
    silences: BTreeMap<SourceName, Silence>,
    /// Since when a queue is out of reach, by the steady clock.
    out_of_reach: BTreeMap<SourceName, Duration>,
    disk_is_low: bool,
    begun: bool,
}

impl Watcher {
    pub(crate) fn new(watched: Watched) -> Self {
        Self {
            watched,
            dead_letters: BTreeMap::new(),
            unreadable: Growth::default(),
            troubles: Troubles::default(),
            silences: BTreeMap::new(),
            out_of_reach: BTreeMap::new(),
            disk_is_low: false,
            begun: false,
        }
    }

    /// Looks at everything. What the journal does not tell is looked at again the next time.
    pub(crate) async fn look(&mut self, plan: &Plan) -> Vec<Sight> {
        let mut sights = Vec::new();
        if !self.begun {
            match self.begin().await {
                Ok(unclean) => sights.extend(unclean),
                Err(error) => {
                    tracing::debug!(%error, "the journal does not tell the watcher how it was left")
                }
            }
        }
        match self.look_at_journal(plan).await {
            Ok(seen) => sights.extend(seen),
            Err(error) => {
                tracing::debug!(%error, "the journal does not answer the watcher");
                let sinks = plan.sinks.iter().map(SinkName::as_str);
                let unclear = |sink: &str| {
                    [Kind::SinkDown, Kind::SinkBehind].map(|kind| Sight::new(kind, sink, Seen::Unclear))
                };
                sights.extend(sinks.flat_map(unclear));
            }
        }
        sights.extend(self.look_at_queues(plan));
        sights.extend(self.look_for_silence(plan).await);
        sights.push(self.look_at_disk(plan));
        sights.push(self.look_at_clock());
        sights
    }

    /// What stands there from before is no news, but for how the relay ended.
    async fn begin(&mut self) -> Result<Option<Sight>, JournalError> {
        let Watched { ledger, clock, .. } = &self.watched;
        let unclean = counts::unclean_start(ledger.as_ref(), clock.now()).await?;
        self.begun = true;
        Ok(unclean)
    }

    async fn look_at_journal(&mut self, plan: &Plan) -> Result<Vec<Sight>, JournalError> {
        let Watched { ledger, clock, .. } = &self.watched;
        let (backlogs, totals) = (ledger.backlogs().await?, ledger.totals().await?);
        let (now, steady) = (clock.now(), clock.steady());
        let mut sights = Vec::new();
        for sink in &plan.sinks {
            let backlog = backlogs.iter().find(|backlog| backlog.sink == *sink);
            let empty = SinkBacklog::empty(sink.clone());
            sights.extend(self.look_at_sink(backlog.unwrap_or(&empty), now));
        }
        let unreadable = self.unreadable.by(totals.unreadable);
        let finding = Finding::new(
            "they are kept, and delivered to nobody",
            "vodrelay dead-letters list, and vodrelay explain with an id of it",
        );
        sights.push(Sight::new(Kind::DeadLetter, "", Seen::Times(unreadable, finding)));
        sights.extend(self.troubles.look(self.watched.ledger.as_ref(), now, steady).await?);
        Ok(sights)
    }

    fn look_at_sink(&mut self, backlog: &SinkBacklog, now: Timestamp) -> [Sight; 3] {
        let sink = backlog.sink.as_str();
        let breaker = self.watched.standings.breaker(&backlog.sink);
        let is_open = matches!(breaker, Some(BreakerState::Open { .. }));
        let waiting = waiting(backlog);
        let down = is_open.then(|| {
            let what = format!("five different deliveries in a row failed; {waiting}, and nothing is lost");
            Finding::new(
                what,
                format!("vodrelay sinks list, mend the receiver, then vodrelay sinks retry-now {sink}"),
            )
        });
        let oldest = backlog.oldest_pending_at.map(|at| now.duration_since(at));
        let is_behind = oldest.is_some_and(|age| Duration::try_from(age).is_ok_and(|age| age > BEHIND));
        let behind = (is_behind && !is_open && backlog.paused.is_none()).then(|| {
            Finding::new(waiting.clone(), format!("vodrelay sinks list, and the log lines with sink={sink}"))
        });
        let given_up = self.dead_letters.entry(backlog.sink.clone()).or_default().by(backlog.dead_letters);
        let finding = Finding::new(
            format!("{} stand in the dead letters of the sink now", backlog.dead_letters),
            format!("vodrelay dead-letters list --sink {sink}, then vodrelay replay"),
        );
        [
            Sight::on_if(Kind::SinkDown, sink, down),
            // While it is down, that it is behind is no news, and neither is it over.
            if is_open {
                Sight::new(Kind::SinkBehind, sink, Seen::Unclear)
            } else {
                Sight::on_if(Kind::SinkBehind, sink, behind)
            },
            Sight::new(Kind::DeadLetter, sink, Seen::Times(given_up, finding)),
        ]
    }

    fn look_at_queues(&mut self, plan: &Plan) -> Vec<Sight> {
        let steady = self.watched.clock.steady();
        self.out_of_reach.retain(|queue, _| plan.queues.contains(queue));
        let look = |queue: &SourceName| {
            let Some(why) = self.watched.vitals.why_out_of_reach(queue) else {
                self.out_of_reach.remove(queue);
                return Sight::new(Kind::QueueUnreachable, queue.as_str(), Seen::Off);
            };
            let since = *self.out_of_reach.entry(queue.clone()).or_insert(steady);
            let seen = if steady.saturating_sub(since) < OUT_OF_REACH {
                Seen::Unclear
            } else {
                let what = format!("{}; messages wait in the queue", crate::words::harmless(&why));
                Seen::On(Finding::new(what, "vodrelay check"))
            };
            Sight::new(Kind::QueueUnreachable, queue.as_str(), seen)
        };
        plan.queues.iter().map(look).collect()
    }

    async fn look_for_silence(&mut self, plan: &Plan) -> Vec<Sight> {
        self.silences.retain(|source, _| plan.expect_every.contains_key(source));
        let mut sights = Vec::new();
        for (source, expected) in &plan.expect_every {
            let Watched { ledger, vitals, clock, .. } = &self.watched;
            let (count, steady) = (vitals.count_accepted(source), clock.steady());
            let silence = match self.silences.get_mut(source) {
                Some(silence) => silence,
                None => {
                    let Ok(before) = silence::before(ledger.as_ref(), source, clock.now()).await else {
                        continue;
                    };
                    self.silences.entry(source.clone()).or_insert(Silence::new(before, count, steady))
                }
            };
            sights.push(Sight::new(
                Kind::SourceSilent,
                source.as_str(),
                silence.look(count, steady, *expected),
            ));
        }
        sights
    }

    fn look_at_disk(&mut self, plan: &Plan) -> Sight {
        let Ok(free) = (self.watched.free_bytes)() else {
            return Sight::new(Kind::DiskLow, "", Seen::Unclear);
        };
        // Told while there is time to do something, and over only when it is not about to come again.
        let least = plan.min_free.saturating_mul(2);
        self.disk_is_low = free < if self.disk_is_low { least.saturating_add(least / 10) } else { least };
        let finding = || {
            let [free, min_free] = [free, plan.min_free].map(|bytes| ByteSize(bytes >> 20 << 20));
            let what = format!(
                "{free} are free; below {min_free} (journal.min_free) history goes early, and in the end callbacks are answered 503"
            );
            Finding::new(what, "df -h, and make room where data_dir is")
        };
        Sight::on_if(Kind::DiskLow, "", self.disk_is_low.then(finding))
    }

    fn look_at_clock(&self) -> Sight {
        let Some(seconds) = self.watched.vitals.clock_offset_seconds() else {
            return Sight::new(Kind::ClockOff, "", Seen::Unclear);
        };
        let off = (seconds.abs() >= CLOCK_OFF_SECONDS).then(|| {
            let side = if seconds > 0 { "behind" } else { "ahead of" };
            let what = format!(
                "it is {} s {side} the provider's, as its last three moments agree; beyond max_skew callbacks are refused",
                seconds.abs()
            );
            Finding::new(what, "timedatectl, then vodrelay refused accept --stale for what was refused")
        });
        Sight::on_if(Kind::ClockOff, "", off)
    }
}

fn waiting(backlog: &SinkBacklog) -> String {
    let deliveries = if backlog.pending == 1 {
        "1 delivery waits".to_owned()
    } else {
        format!("{} deliveries wait", backlog.pending)
    };
    match backlog.oldest_pending_at {
        Some(at) => {
            format!("{deliveries}, the oldest was accepted at {}", at.round(jiff::Unit::Second).unwrap_or(at))
        }
        None => deliveries,
    }
}

#[cfg(test)]
mod tests;
