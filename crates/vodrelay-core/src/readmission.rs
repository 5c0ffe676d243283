//! Accepting what was refused by a mistake of ours: once the key or the URL is mended, each kept refusal is judged
//! again, and what is genuine goes the way of every event.

mod explanation;

use std::collections::{BTreeMap, HashSet};
use std::ops::RangeInclusive;
use std::sync::Arc;

use futures_util::future::join_all;
use serde::Serialize;
use tokio::sync::Mutex;
use vod_event::EventId;

use crate::envelope::{Arrival, Labels};
use crate::intake::Intake;
use crate::journal::{Appended, Journal, JournalError};
use crate::judge::{Judge, Judgement};
use crate::ledger::Ledger;
use crate::live::Live;
use crate::name::{Name, SourceName};
use crate::refusal::{Refusal, RefusalFilter};
use crate::routing::Routes;

pub use self::explanation::Explanation;

/// How many refusals are in hand at once.
const PAGE: usize = 256;

/// Judges kept refusals again and accepts those that are genuine.
#[derive(Debug)]
pub struct Readmission {
    ledger: Arc<dyn Ledger>,
    rules: Live<Rules>,
    /// Held by the one who accepts: two at a time would tell wrong figures.
    turn: Mutex<()>,
}

/// Both are of one configuration, as the labels that the judge finds are meant for the routes of the intake.
#[derive(Debug)]
struct Rules {
    intake: Intake,
    judge: Arc<dyn Judge>,
}

/// What is to be accepted.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The callback.
    pub callback: Name,
    /// Which of its refusals; the others are as if they were not there.
    pub wanted: RefusalFilter,
    /// Whether those are taken too that only the clock refused. Whoever has ever seen a proof can have made them.
    pub stale: bool,
    /// Of those that are stale, only the ones that are off by so many seconds.
    pub off_by: Option<RangeInclusive<i64>>,
    /// Whether nothing is to change.
    pub dry_run: bool,
}

/// What became of the refusals of a callback.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Events that are new, durable now.
    pub accepted: u64,
    /// Repeats of events that were there, or that this run accepted.
    pub merged: u64,
    /// Those that stay, counted by why: `cut_short`, `missing`, `malformed`, `mismatch`, `stale`.
    pub left: BTreeMap<&'static str, u64>,
    /// By how many seconds the stale ones were off, the least and the most. A clock that was wrong by one amount shows
    /// here, and so does a mixture that no clock explains.
    pub stale_off_by_seconds: Option<(i64, i64)>,
    /// Whether nothing was changed.
    pub dry_run: bool,
}

/// Why refusals are not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadmissionError {
    /// No such callback is configured today, so nothing can be proven of it.
    #[error("{name:?} is no callback of the configuration that the relay runs with; it has: {known}")]
    UnknownCallback {
        /// What was asked for.
        name: Name,
        /// What there is.
        known: String,
    },
    /// Somebody else is at it.
    #[error("refusals are being accepted already; wait for that to end")]
    AtWork,
    /// The journal does not take them. What was accepted before is accepted; the rest is still kept.
    #[error("{0}; what is not accepted yet is still kept, so run it again")]
    Journal(#[from] JournalError),
}

/// What is done with one refusal.
enum Ruling {
    Take(Arc<Labels>),
    Leave(&'static str),
}

impl Terms {
    /// All of a callback, but none that is stale.
    #[must_use]
    pub fn new(callback: Name) -> Self {
        Self { callback, wanted: RefusalFilter::default(), stale: false, off_by: None, dry_run: false }
    }

    fn take_stale(&self, off_by_seconds: i64) -> bool {
        self.stale && self.off_by.as_ref().is_none_or(|window| window.contains(&off_by_seconds))
    }
}

impl Readmission {
    /// Over the ports that it needs.
    #[must_use]
    pub fn new(
        journal: Arc<dyn Journal>,
        routes: impl Into<Arc<Routes>>,
        ledger: Arc<dyn Ledger>,
        judge: Arc<dyn Judge>,
    ) -> Self {
        // Nothing is refused here, so nobody has to keep what this intake would refuse.
        let (intake, _) = Intake::new(journal, routes);
        Self { ledger, rules: Live::new(Rules { intake, judge }), turn: Mutex::default() }
    }

    /// Judges and routes by another configuration from now on; what is in hand ends by the one before.
    pub fn change(&self, routes: Arc<Routes>, judge: Arc<dyn Judge>) {
        let intake = self.rules.current().intake.with_routes(routes);
        self.rules.replace(Rules { intake, judge });
    }

    /// Accepts what is genuine among the kept refusals of a callback: those of now, not those that come meanwhile.
    ///
    /// A refusal is removed only after its event is durable, so whenever this ends early, by a crash or because the
    /// future is dropped, running it again merges what was accepted and takes the rest.
    ///
    /// # Errors
    /// If there is no such callback, if another run is under way, or if the journal fails.
    pub async fn accept(&self, terms: &Terms) -> Result<Summary, ReadmissionError> {
        let known = self.rules.current().judge.callbacks();
        if !known.contains(&terms.callback) {
            let known: Vec<&str> = known.iter().map(Name::as_str).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(ReadmissionError::UnknownCallback { name: terms.callback.clone(), known });
        }
        let Ok(_turn) = self.turn.try_lock() else { return Err(ReadmissionError::AtWork) };
        let source = SourceName::callback(&terms.callback);
        let newest = self.newest(&source).await?;
        let mut summary = Summary { dry_run: terms.dry_run, ..Summary::default() };
        let (mut after, mut met) = (0, HashSet::new());
        while after < newest {
            let page = self.ledger.next_refusals(source.clone(), after, PAGE).await?;
            let Some((last, _)) = page.last() else { break };
            after = *last;
            let page = page
                .into_iter()
                .filter(|(id, refusal)| *id <= newest && terms.wanted.matches(&refusal.record(*id)));
            let rules = self.rules.current();
            let genuine = rules.sift(page, terms, &mut summary);
            if terms.dry_run {
                self.foretell(&genuine, &mut met, &mut summary).await?;
            } else {
                self.take(genuine, &rules.intake, &mut summary).await?;
            }
        }
        if !terms.dry_run {
            tracing::info!(
                callback.name = %terms.callback, refusals.accepted = summary.accepted, refusals.merged = summary.merged,
                refusals.left = summary.left.values().sum::<u64>(), refusals.stale = terms.stale,
                "refused requests were judged again, and those that are genuine accepted",
            );
        }
        Ok(summary)
    }

    /// Removes the refusals that are meant, unless nothing is to change; tells how many there are.
    ///
    /// # Errors
    /// If the journal fails; some may be removed then.
    pub async fn purge(&self, filter: &RefusalFilter, dry_run: bool) -> Result<u64, JournalError> {
        let (mut before, mut purged) = (None, 0);
        loop {
            let page = self.ledger.list_refusals(filter.clone(), before, PAGE).await?;
            let Some(last) = page.last() else { break };
            before = Some(last.id);
            let ids: Vec<u64> = page.iter().map(|record| record.id).collect();
            purged += if dry_run { ids.len() as u64 } else { self.ledger.remove_refusals(ids).await? };
        }
        if !dry_run {
            tracing::info!(
                refusals.purged = purged,
                filter.source = filter.source.as_ref().map(tracing::field::display),
                filter.cause = filter.cause.map(|cause| cause.as_str()),
                filter.address = filter.address.as_deref(),
                filter.since = filter.since.map(tracing::field::display),
                filter.until = filter.until.map(tracing::field::display),
                "refused requests were purged"
            );
        }
        Ok(purged)
    }

    async fn newest(&self, source: &SourceName) -> Result<u64, JournalError> {
        let filter = RefusalFilter { source: Some(source.clone()), ..RefusalFilter::default() };
        let newest = self.ledger.list_refusals(filter, None, 1).await?;
        Ok(newest.first().map_or(0, |record| record.id))
    }

    /// Appends them, in their order and under common syncs, and removes those that are durable.
    async fn take(
        &self,
        genuine: Vec<(u64, Arrival)>,
        intake: &Intake,
        summary: &mut Summary,
    ) -> Result<(), ReadmissionError> {
        let (ids, arrivals): (Vec<u64>, Vec<Arrival>) = genuine.into_iter().unzip();
        let accepted = join_all(arrivals.into_iter().map(|arrival| intake.accept(arrival))).await;
        let (mut durable, mut failed) = (Vec::new(), None);
        for (id, accepted) in ids.into_iter().zip(accepted) {
            match accepted.map(|accepted| accepted.appended) {
                Ok(Appended::New) => summary.accepted += 1,
                Ok(Appended::Duplicate) => summary.merged += 1,
                Err(error) => {
                    failed.get_or_insert(error);
                    continue;
                }
            }
            durable.push(id);
        }
        if !durable.is_empty() {
            self.ledger.remove_refusals(durable).await?;
        }
        failed.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Counts what `take` would make of them. Of repeats among them the first is the new one, as it would be.
    async fn foretell(
        &self,
        genuine: &[(u64, Arrival)],
        met: &mut HashSet<EventId>,
        summary: &mut Summary,
    ) -> Result<(), JournalError> {
        let ids: Vec<EventId> = genuine.iter().map(|(_, arrival)| Intake::identify(&arrival.body)).collect();
        let known = self.ledger.has_events(ids.clone()).await?;
        for (id, is_known) in ids.into_iter().zip(known) {
            if met.insert(id) && !is_known { summary.accepted += 1 } else { summary.merged += 1 }
        }
        Ok(())
    }
}

impl Rules {
    /// Those that are to be taken; the others are counted.
    fn sift(
        &self,
        page: impl Iterator<Item = (u64, Refusal)>,
        terms: &Terms,
        summary: &mut Summary,
    ) -> Vec<(u64, Arrival)> {
        let mut genuine = Vec::new();
        for (id, refusal) in page {
            let judgement = self.judge.judge(&refusal);
            if let (Judgement::Stale(found), false) = (&judgement, refusal.cut_short) {
                let off = found.off_by_seconds;
                let (least, most) = summary.stale_off_by_seconds.unwrap_or((off, off));
                summary.stale_off_by_seconds = Some((least.min(off), most.max(off)));
            }
            match rule(judgement, refusal.cut_short, |off_by| terms.take_stale(off_by)) {
                Ruling::Leave(why) => *summary.left.entry(why).or_insert(0) += 1,
                Ruling::Take(labels) => {
                    let Refusal { source, body, received_at, .. } = refusal;
                    genuine.push((id, Arrival { source, body, received_at, labels, trace: None }));
                }
            }
        }
        genuine
    }
}

/// Only a proof of today's configuration counts. What is admitted without one cannot be told from a forgery later.
fn rule(judgement: Judgement, cut_short: bool, take_stale: impl Fn(i64) -> bool) -> Ruling {
    match judgement {
        _ if cut_short => Ruling::Leave("cut_short"),
        Judgement::Proven(found) => Ruling::Take(found.labels),
        Judgement::Stale(found) if take_stale(found.off_by_seconds) => Ruling::Take(found.labels),
        Judgement::Stale(_) => Ruling::Leave("stale"),
        Judgement::Unproven(cause, _) => Ruling::Leave(cause.as_str()),
        Judgement::UnknownCallback => Ruling::Leave("unknown_callback"),
    }
}
