//! One per sink: claims what is due, offers it to the sink, settles what came of it.

mod attempt;
mod holding;
mod meter;

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use vod_event::EventId;

use self::attempt::{Attempted, make_attempt};
use self::meter::Meter;
use crate::breaker::{Breaker, Permit};
use crate::clock::Clock;
use crate::config;
use crate::envelope::Delivery;
use crate::feed::{DeliverySettled, Happening};
use crate::journal::{Claim, Journal, JournalError, Outcome, Pauses, SettleResult, Settled, Token};
use crate::name::SinkName;
use crate::retry::{Decision, RetryPolicy};
use crate::sink::Sink;
use crate::standing::{Standing, Standings};
use crate::standstill::Standstill;
use crate::trace::{Span, SpanKind, Tracer};

/// The longest sleep between two looks at the journal: a wall clock that jumped is noticed after that.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);
/// How long to wait after the journal could not take outcomes or give deliveries.
const JOURNAL_PAUSE: Duration = Duration::from_secs(1);

/// How a sink is driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Deliveries under way at the same time.
    pub concurrency: usize,
    /// The time limit around every delivery.
    pub timeout: config::Span,
    /// When to try again.
    pub retry: RetryPolicy,
}

impl Default for Settings {
    fn default() -> Self {
        let timeout = config::Span(Duration::from_secs(15));
        Self { concurrency: 16, timeout, retry: RetryPolicy::default() }
    }
}

impl Settings {
    /// A lease outlives the wait for a slot and the attempt itself, with room for a slow commit.
    fn lease(&self) -> Duration {
        self.timeout.0 * 2 + Duration::from_secs(30)
    }
}

/// What a dispatcher drives, and how.
#[derive(Clone, Debug)]
pub struct Drive {
    /// The sink.
    pub sink: Arc<dyn Sink>,
    /// How it is driven.
    pub settings: Settings,
}

/// Drives one sink. A stuck or panicking sink holds up no other, since each has a dispatcher of its own.
#[derive(Debug)]
pub struct Dispatcher {
    name: SinkName,
    sink: Arc<dyn Sink>,
    journal: Arc<dyn Journal>,
    clock: Arc<dyn Clock>,
    settings: Settings,
    /// What it drives from then on, whenever that changes.
    drives: Option<watch::Receiver<Drive>>,
    breaker: Breaker,
    pauses: watch::Receiver<Pauses>,
    /// Whether the sink was paused when that was looked at last.
    paused: bool,
    standstill: Standstill,
    standing: Arc<Standing>,
    meter: Meter,
    tracer: Tracer,
    /// Claimed and waiting for a slot.
    ready: VecDeque<Claim>,
    /// Under way.
    attempts: JoinSet<Attempted>,
    /// Tokens of what is under way, by which it is released when a stop will not wait for it.
    under_way: Vec<Token>,
    /// Outcomes that are not durable yet.
    outcomes: Vec<Settled>,
    /// The events of outcomes that somebody wants to hear of once they are durable.
    heard_of: HashMap<Token, EventId>,
    settling: Option<Settling>,
    /// After an error of the journal nothing is claimed or settled before this.
    pause_until: Option<Instant>,
}

/// A batch that the journal is making durable, and what it said.
type SettledBatch = (Vec<Settled>, Result<Vec<SettleResult>, JournalError>);

struct Settling(Pin<Box<dyn Future<Output = SettledBatch> + Send>>);

impl std::fmt::Debug for Settling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Settling")
    }
}

impl Dispatcher {
    /// A dispatcher for that sink. The recorder of metrics, if any, is to be installed before.
    #[must_use]
    pub fn new(
        name: SinkName,
        sink: Arc<dyn Sink>,
        journal: Arc<dyn Journal>,
        clock: Arc<dyn Clock>,
        settings: Settings,
    ) -> Self {
        let pauses = journal.watch_pauses();
        Self {
            meter: Meter::new(&name),
            name,
            sink,
            journal,
            clock,
            settings,
            drives: None,
            breaker: Breaker::default(),
            pauses,
            paused: false,
            standstill: Standstill::default(),
            standing: Arc::default(),
            tracer: Tracer::default(),
            ready: VecDeque::new(),
            attempts: JoinSet::new(),
            under_way: Vec::new(),
            outcomes: Vec::new(),
            heard_of: HashMap::new(),
            settling: None,
            pause_until: None,
        }
    }

    /// Tells there how its sink stands, and probes when it is asked there.
    #[must_use]
    pub fn telling(self, standings: &Standings) -> Self {
        Self { standing: standings.of(&self.name), ..self }
    }

    /// Has each attempt recorded there.
    #[must_use]
    pub fn tracing(self, tracer: Tracer) -> Self {
        Self { tracer, ..self }
    }

    /// Changes over to another sink and other settings when it is told there; what is under way ends as it began.
    #[must_use]
    pub fn obeying(self, drives: watch::Receiver<Drive>) -> Self {
        Self { drives: Some(drives), ..self }
    }

    /// Runs until the token is cancelled. Then nothing new starts, attempts under way have until `grace` has passed,
    /// and what is not done by then is given back.
    ///
    /// # Errors
    /// If the journal is poisoned or closed: outcomes that were not settled are attempted again after a restart.
    pub async fn run(mut self, shutdown: CancellationToken, grace: Duration) -> Result<(), JournalError> {
        let (mut work, mut probes) = (self.journal.watch_work(), self.standing.watch_probes());
        while !shutdown.is_cancelled() {
            // Marked seen before looking for work, so that an append in between wakes the select below.
            work.mark_unchanged();
            self.heed_pause();
            let look_again = self.claim().await?;
            // Whoever paused the sink while that was claimed sees nothing start.
            self.heed_pause();
            self.start_what_is_ready();
            self.settle_outcomes();
            tokio::select! {
                () = shutdown.cancelled() => {}
                changed = work.changed() => changed.map_err(|_| JournalError::Closed)?,
                changed = self.pauses.changed() => changed.map_err(|_| JournalError::Closed)?,
                drive = next(&mut self.drives) => self.change_over(drive),
                Ok(()) = probes.changed() => self.breaker.probe_now(self.clock.now()),
                Some(attempted) = self.attempts.join_next() => self.conclude_all(attempted.ok()),
                (outcomes, result) = settled(&mut self.settling) => self.note_settled(outcomes, result)?,
                () = sleep_until(look_again) => {}
            }
        }
        self.stop(grace).await
    }

    /// Claims what there are slots for, and as much again to wait for the next free slot. Says when to look again.
    async fn claim(&mut self) -> Result<Instant, JournalError> {
        let latest = Instant::now() + LONGEST_SLEEP;
        if let Some(until) = self.pause_until.filter(|until| Instant::now() < *until) {
            return Ok(until);
        }
        self.pause_until = None;
        let Some(limit) = self.claims_wanted() else { return Ok(latest) };
        if self.paused {
            return Ok(latest);
        }
        let now = self.clock.now();
        let limit = match self.breaker.permit(now) {
            Permit::All => limit,
            Permit::Probe => 1,
            Permit::NoneUntil(until) => return Ok(self.instant_of(until).min(latest)),
            Permit::None => return Ok(latest),
        };
        match self.journal.claim(&self.name, limit, self.settings.lease()).await {
            Ok(claimed) => {
                if claimed.claims.is_empty() {
                    self.breaker.probe_unused(now);
                }
                self.ready.extend(claimed.claims);
                Ok(claimed.look_again_at.map_or(latest, |at| self.instant_of(at).min(latest)))
            }
            Err(error @ (JournalError::Poisoned(_) | JournalError::Closed)) => Err(error),
            Err(error) => {
                self.breaker.probe_unused(now);
                Ok(self.pause(&error, "deliveries could not be claimed"))
            }
        }
    }

    /// Nothing while enough is ready, every slot is taken, or outcomes pile up that the journal does not take.
    fn claims_wanted(&self) -> Option<usize> {
        let concurrency = self.settings.concurrency.max(1);
        let free = concurrency.saturating_sub(self.attempts.len());
        let behind = self.outcomes.len() > concurrency * 4;
        (free > self.ready.len() && !behind).then(|| free + concurrency - self.ready.len())
    }

    fn start_what_is_ready(&mut self) {
        while self.attempts.len() < self.settings.concurrency.max(1) {
            let Some(mut claim) = self.ready.pop_front() else { return };
            claim.delivery.span = self.span_of(&claim.delivery);
            self.under_way.push(claim.token);
            let (sink, clock) = (Arc::clone(&self.sink), Arc::clone(&self.clock));
            self.attempts.spawn(make_attempt(claim, sink, clock, self.settings.timeout.0));
        }
    }

    /// A trace of its own, which goes back to the span that brought the event: hours may lie between them.
    fn span_of(&self, delivery: &Delivery) -> Span {
        let name = || format!("deliver {}", self.name);
        let span = self.tracer.linked(SpanKind::Client, name, delivery.envelope.trace);
        span.set_with("vodrelay.sink", || self.name.to_string());
        span.set_with("vodrelay.event.id", || delivery.envelope.id.to_string());
        span.set("vodrelay.attempt", delivery.attempt);
        span
    }

    /// Concludes this attempt and every other that has ended, so that their outcomes share a commit.
    fn conclude_all(&mut self, first: Option<Attempted>) {
        let mut next = first;
        while let Some(attempted) = next {
            self.conclude(&attempted);
            next = self.attempts.try_join_next().and_then(Result::ok);
        }
    }

    /// Turns what the sink said into an outcome.
    fn conclude(&mut self, attempted: &Attempted) {
        let Attempted { token, delivery, result, .. } = attempted;
        self.under_way.retain(|other| other != token);
        let now = self.clock.now();
        let age = match delivery.last_attempt_at {
            None => Duration::ZERO,
            Some(last) => delivery.age + self.settings.retry.countable(self.elapsed(last, now)),
        };
        let outcome = match result {
            Ok(_) => Outcome::Delivered,
            Err(error) => match self.settings.retry.decide(error, &attempted.history(age), rand::random()) {
                Decision::RetryAfter(wait) => {
                    Outcome::RetryAt(now.saturating_add(wait).unwrap_or(Timestamp::MAX))
                }
                Decision::GiveUp(reason) => Outcome::DeadLetter(reason),
            },
        };
        self.tell_breaker(attempted, now);
        attempted.count(&self.meter, &outcome, now);
        attempted.log(&self.name, &outcome);
        self.tell_attempt(attempted, &outcome);
        let attempt = (!attempted.is_postponed()).then(|| attempted.record(age));
        self.outcomes.push(Settled { token: *token, outcome, attempt, reached_at: now });
    }

    /// What waits for a slot was claimed for as long as the settings of before wanted, so it is claimed anew.
    fn change_over(&mut self, Drive { sink, settings }: Drive) {
        self.give_back_what_is_ready();
        (self.sink, self.settings) = (sink, settings);
    }

    fn tell_attempt(&mut self, attempted: &Attempted, outcome: &Outcome) {
        let feed = &self.standing.feed;
        if feed.is_heard() {
            self.heard_of.insert(attempted.token, attempted.delivery.envelope.id);
            feed.tell(|| Happening::Attempt(attempted.tell(&self.name, outcome)));
        }
    }

    /// Tells those that are done or given up, of which an attempt was told.
    fn tell_settled(&mut self, outcomes: &[Settled], results: &[SettleResult]) {
        if self.heard_of.is_empty() {
            return;
        }
        for (settled, result) in outcomes.iter().zip(results) {
            let Some(event_id) = self.heard_of.remove(&settled.token) else { continue };
            let (state, reason) = match &settled.outcome {
                Outcome::Delivered => ("delivered", None),
                Outcome::DeadLetter(reason) => ("dead_letter", Some(reason.clone())),
                Outcome::RetryAt(_) | Outcome::Released => continue,
            };
            if *result == SettleResult::Done {
                let sink = self.name.clone();
                let settled = DeliverySettled { event_id, sink, state, reason };
                self.standing.feed.tell(|| Happening::Settled(settled));
            }
        }
    }

    fn give_back_what_is_ready(&mut self) {
        let now = self.clock.now();
        self.outcomes.extend(self.ready.drain(..).map(|claim| Settled::released(claim.token, now)));
    }

    /// Hands the outcomes to the journal, one batch at a time; what ends meanwhile goes with the next.
    fn settle_outcomes(&mut self) {
        if self.settling.is_some() || self.outcomes.is_empty() || self.pause_until.is_some() {
            return;
        }
        let outcomes = std::mem::take(&mut self.outcomes);
        let journal = Arc::clone(&self.journal);
        self.settling = Some(Settling(Box::pin(async move {
            let result = journal.settle(&outcomes).await;
            (outcomes, result)
        })));
    }

    /// Outcomes that the journal could not take are held and settled again; nothing is claimed meanwhile.
    fn note_settled(
        &mut self,
        mut outcomes: Vec<Settled>,
        result: Result<Vec<SettleResult>, JournalError>,
    ) -> Result<(), JournalError> {
        self.settling = None;
        match result {
            Ok(results) => {
                self.tell_settled(&outcomes, &results);
                let expired = results.iter().filter(|result| **result != SettleResult::Done).count();
                if expired > 0 {
                    tracing::warn!(sink = %self.name, expired, "outcomes came after their lease had run out; those deliveries are repeated");
                }
                Ok(())
            }
            Err(error @ (JournalError::Poisoned(_) | JournalError::Closed)) => Err(error),
            Err(error) => {
                outcomes.append(&mut self.outcomes);
                self.outcomes = outcomes;
                self.pause(&error, "outcomes could not be settled; they are held and settled again");
                Ok(())
            }
        }
    }

    fn pause(&mut self, error: &JournalError, what: &'static str) -> Instant {
        tracing::warn!(sink = %self.name, error = %error, "{what}");
        let until = Instant::now() + JOURNAL_PAUSE;
        self.pause_until = Some(until);
        until
    }

    /// Lets attempts end within the grace, gives back the rest, and settles everything.
    async fn stop(mut self, grace: Duration) -> Result<(), JournalError> {
        let deadline = Instant::now() + grace;
        self.give_back_what_is_ready();
        while !self.attempts.is_empty() && Instant::now() < deadline {
            // Settled as they end: whoever kills a stop that takes too long repeats only what was not done.
            self.pause_until = self.pause_until.filter(|until| Instant::now() < *until);
            self.settle_outcomes();
            tokio::select! {
                Some(attempted) = self.attempts.join_next() => self.conclude_all(attempted.ok()),
                (outcomes, result) = settled(&mut self.settling) => self.note_settled(outcomes, result)?,
                () = sleep_until(deadline) => {}
            }
        }
        self.attempts.abort_all();
        let abandoned = std::mem::take(&mut self.under_way);
        let now = self.clock.now();
        self.outcomes.extend(abandoned.into_iter().map(|token| Settled::released(token, now)));
        loop {
            self.pause_until = None;
            self.settle_outcomes();
            if self.settling.is_none() {
                return Ok(());
            }
            let (outcomes, result) = settled(&mut self.settling).await;
            self.note_settled(outcomes, result)?;
            if self.pause_until.is_some() && Instant::now() >= deadline {
                tracing::warn!(sink = %self.name, outcomes = self.outcomes.len(), "stopped with outcomes unsettled; those deliveries are repeated");
                return Ok(());
            }
            if let Some(until) = self.pause_until {
                sleep_until(until).await;
            }
        }
    }

    fn instant_of(&self, at: Timestamp) -> Instant {
        let wait = Duration::try_from(at.duration_since(self.clock.now())).unwrap_or_default();
        Instant::now() + wait.min(LONGEST_SLEEP)
    }
}

/// Waits until there is something else to drive, or for ever where nobody can say so.
async fn next(drives: &mut Option<watch::Receiver<Drive>>) -> Drive {
    if let Some(drives) = drives
        && drives.changed().await.is_ok()
    {
        return drives.borrow_and_update().clone();
    }
    std::future::pending().await
}

/// Waits for the batch under way, or for ever where there is none.
async fn settled(settling: &mut Option<Settling>) -> SettledBatch {
    match settling {
        Some(Settling(future)) => future.await,
        None => std::future::pending().await,
    }
}
