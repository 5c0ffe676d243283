//! Delivering anew what was given up, could not be read, matched no sink, or came before a sink did: in bounded steps,
//! each decided here by today's routes and carried out by the journal in one transaction.

mod job;
mod plan;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use vod_event::EventId;

pub use self::job::{Job, JobState};
use self::plan::Plan;
use crate::journal::JournalError;
use crate::ledger::{EventState, KeptFilter, Ledger, LetterFilter, Limit, Replayed};
use crate::live::Live;
use crate::name::SinkName;
use crate::routing::Routes;

/// How much one step looks at where nobody says, and at most.
const STEP: usize = 500;

/// Replays. Cloning it is cheap.
#[derive(Clone, Debug)]
pub struct Replayer {
    ledger: Arc<dyn Ledger>,
    routes: Live<Routes>,
}

/// What is to be replayed.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Which kind.
    pub what: What,
    /// Which of that kind. `reason` goes with dead letters only; moments are those at which a dead letter was given
    /// up, or else those at which the event was received.
    #[serde(default)]
    pub filter: LetterFilter,
    /// What was delivered or purged, too.
    #[serde(default)]
    pub all: bool,
    /// Tell what would be done, and do nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// The `next` of the step before.
    #[serde(default)]
    pub after: Option<u64>,
    /// How many events or dead letters this step looks at, up to 500.
    #[serde(default)]
    pub limit: Option<Limit>,
}

/// Why nothing was replayed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// The request makes no sense by itself.
    #[error("{0}")]
    Senseless(&'static str),
    /// What is replayed to that sink would wait for ever.
    #[error(
        "sink {0} is not configured, so what is replayed to it would wait for ever; configure [sinks.{0}], or rename it"
    )]
    NotConfigured(SinkName),
    /// The journal does not do it.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// The kinds of replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// What was given up; an event that cannot be read is read again.
    DeadLetters,
    /// The events that `filter.events` names: what was given up, and, of an event that no sink has, what matches now.
    Events,
    /// Events that cannot be read: they are read again and routed.
    Unreadable,
    /// Events that matched no sink: they are routed again.
    Unrouted,
    /// Events that `filter.sink` matches and does not have, whenever the sink was added, and what it was given up for.
    Sink,
}

/// What a step came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// What was done; in a dry run, what would be.
    #[serde(flatten)]
    pub done: Replayed,
    /// What was left as it is, and why.
    pub left: Left,
    /// Events or dead letters that were looked at.
    pub looked_at: u64,
    /// Which.
    pub items: Vec<Item>,
    /// Where the next step begins; nothing where this was the last.
    pub next: Option<u64>,
}

/// What a replay leaves as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Left {
    /// Deliveries that wait anyway.
    pub pending: u64,
    /// Deliveries that are done, and were not asked for.
    pub delivered: u64,
    /// Deliveries that were purged, and were not asked for.
    pub purged: u64,
    /// Deliveries to a sink that is not configured.
    pub not_configured: u64,
    /// Events that no sink matches, or not the one that was named.
    pub unmatched: u64,
    /// Events that still cannot be read.
    pub unreadable: u64,
}

/// One thing that is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Item {
    /// The event.
    #[serde(rename = "event_id")]
    pub event: EventId,
    /// The sink that gets it; nothing where the event is only read.
    pub sink: Option<SinkName>,
    /// What is done.
    pub how: How,
}

/// What is done with an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// A delivery begins anew.
    Again,
    /// A delivery is added.
    Added,
    /// It could not be read and can be now.
    Read,
}

impl Replayer {
    /// A replayer over that journal and these routes.
    #[must_use]
    pub fn new(ledger: Arc<dyn Ledger>, routes: impl Into<Live<Routes>>) -> Self {
        Self { ledger, routes: routes.into() }
    }

    /// Does one step, or only tells of it.
    ///
    /// # Errors
    /// Where nothing was changed.
    pub async fn step(&self, request: &Request) -> Result<Outcome, ReplayError> {
        let routes = self.routes.current();
        request.check(&routes)?;
        let mut plan = Plan::new(request, &routes);
        let next = match request.what {
            What::DeadLetters => self.plan_letters(request, &mut plan).await?,
            _ => {
                let page = self.ledger.kept(&request.kept(), request.after, request.limit()).await?;
                page.items.iter().for_each(|kept| plan.event(kept));
                page.next
            }
        };
        let (orders, mut outcome) = plan.finish();
        if !request.dry_run && !orders.is_empty() {
            outcome.done = self.ledger.replay(orders).await?;
        }
        Ok(Outcome { next, ..outcome })
    }

    /// Whether the request makes sense, by the routes of today.
    ///
    /// # Errors
    /// Where it makes none.
    pub fn check(&self, request: &Request) -> Result<(), ReplayError> {
        request.check(&self.routes.current())
    }

    async fn plan_letters(
        &self,
        request: &Request,
        plan: &mut Plan<'_>,
    ) -> Result<Option<u64>, JournalError> {
        let page = self.ledger.dead_letters(&request.filter, request.after, request.limit()).await?;
        page.items.iter().for_each(|letter| plan.letter(letter));
        let events: Vec<EventId> =
            page.items.iter().filter(|letter| letter.sink.is_none()).map(|letter| letter.event).collect();
        let mut wanted = KeptFilter { events, ..KeptFilter::default() };
        // Bodies come in pages of their own.
        let mut after = None;
        while !wanted.events.is_empty() {
            let kept = self.ledger.kept(&wanted, after, STEP).await?;
            kept.items.iter().for_each(|kept| plan.event(kept));
            after = kept.next;
            if after.is_none() {
                wanted.events.clear();
            }
        }
        Ok(page.next)
    }
}

impl What {
    /// Its word, as requests have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DeadLetters => "dead_letters",
            Self::Events => "events",
            Self::Unreadable => "unreadable",
            Self::Unrouted => "unrouted",
            Self::Sink => "sink",
        }
    }
}

impl Request {
    /// Of all of that kind.
    #[must_use]
    pub fn new(what: What) -> Self {
        Self { what, filter: LetterFilter::default(), all: false, dry_run: false, after: None, limit: None }
    }

    fn check(&self, routes: &Routes) -> Result<(), ReplayError> {
        let LetterFilter { events, sink, reason, .. } = &self.filter;
        let senseless = match self.what {
            What::Events if events.is_empty() => Some("no event is named; name some in filter.events"),
            What::Sink if sink.is_none() => Some("no sink is named; name one in filter.sink"),
            What::DeadLetters => None,
            _ => reason.as_ref().map(|_| "a reason goes with dead letters only; leave filter.reason out"),
        };
        if let Some(why) = senseless {
            return Err(ReplayError::Senseless(why));
        }
        match sink.as_ref().filter(|sink| !routes.know(sink)) {
            Some(sink) => Err(ReplayError::NotConfigured(sink.clone())),
            None => Ok(()),
        }
    }

    fn limit(&self) -> usize {
        Limit::within(self.limit, STEP, STEP)
    }

    fn kept(&self) -> KeptFilter {
        let LetterFilter { events, since, until, .. } = self.filter.clone();
        let state = match self.what {
            What::Unreadable => Some(EventState::Unreadable),
            What::Unrouted => Some(EventState::Unrouted),
            _ => None,
        };
        KeptFilter { events, state, since, until }
    }
}
