//! What every journal must do. Each implementation runs this suite; `make` gives it a new, empty journal each time.

use std::sync::Arc;
use std::time::Duration;

use super::clock::ManualClock;
use super::sample::{envelope_of, event_body};
use crate::clock::Clock;
use crate::envelope::Envelope;
use crate::journal::{Appended, Attempt, Claim, Journal, Outcome, SettleResult, Settled};
use crate::name::{Name, SinkName};
use crate::trace::TraceContext;

pub(super) const LEASE: Duration = Duration::from_secs(60);
const WAIT: Duration = Duration::from_secs(30);
const HOURS: Duration = Duration::from_secs(10 * 3_600);

/// Runs the whole contract.
pub async fn journal_contract<J: Journal>(make: impl AsyncFn(Arc<ManualClock>) -> J) {
    let fresh = async || {
        let clock = Arc::new(ManualClock::default());
        let journal = make(Arc::clone(&clock)).await;
        Bench { journal, clock }
    };
    an_event_is_new_once(&fresh().await).await;
    a_duplicate_adds_only_missing_deliveries(&fresh().await).await;
    first_attempts_come_in_the_order_of_acceptance(&fresh().await).await;
    a_claim_is_handed_out_once(&fresh().await).await;
    a_released_claim_comes_back_at_once_with_nothing_counted(&fresh().await).await;
    a_retry_comes_back_when_it_is_due(&fresh().await).await;
    a_postponed_delivery_comes_back_when_it_is_due_as_it_was(&fresh().await).await;
    a_clock_set_back_makes_no_retry_wait_longer(&fresh().await).await;
    a_clock_set_back_on_the_way_makes_no_retry_wait_longer(&fresh().await).await;
    a_clock_that_was_ahead_leaves_no_retry_behind(&fresh().await).await;
    a_lease_lasts_as_long_whatever_the_clock_says(&fresh().await).await;
    fresh_and_retried_alternate(&fresh().await).await;
    an_expired_lease_counts_for_delivered_only(&fresh().await).await;
    what_is_settled_stays_settled(&fresh().await).await;
    sinks_do_not_see_each_other(&fresh().await).await;
    bytes_come_back_as_they_went_in(&fresh().await).await;
    the_span_that_brought_an_event_stays_with_it(&fresh().await).await;
    work_is_announced(&fresh().await).await;
}

pub(super) struct Bench<J> {
    pub(super) journal: J,
    pub(super) clock: Arc<ManualClock>,
}

impl<J: Journal> Bench<J> {
    pub(super) fn event(&self, number: usize) -> Envelope {
        envelope_of(event_body(number), self.clock.now())
    }

    pub(super) async fn append(&self, number: usize, sinks: &[&str]) -> Appended {
        let sinks: Vec<SinkName> = sinks.iter().map(|sink| name(sink)).collect();
        self.journal.append(&self.event(number), &sinks).await.expect("an append to a healthy journal")
    }

    pub(super) async fn claim(&self, sink: &str, limit: usize) -> Vec<Claim> {
        self.journal.claim(&name(sink), limit, LEASE).await.expect("a claim from a healthy journal").claims
    }

    /// The numbers of the events that a claim hands out.
    pub(super) async fn claimed(&self, sink: &str, limit: usize) -> Vec<usize> {
        let claims = self.claim(sink, limit).await;
        claims.iter().map(|claim| number_of(&claim.delivery.envelope)).collect()
    }

    pub(super) async fn settle(&self, claim: &Claim, outcome: Outcome) -> SettleResult {
        let attempt = (outcome != Outcome::Released).then(|| self.attempt());
        self.settle_with(claim, outcome, attempt).await
    }

    async fn settle_with(&self, claim: &Claim, outcome: Outcome, attempt: Option<Attempt>) -> SettleResult {
        let settled = Settled { token: claim.token, outcome, attempt, reached_at: self.clock.now() };
        let results = self.journal.settle(&[settled]).await.expect("a settlement by a healthy journal");
        assert_eq!(results.len(), 1, "one result for one outcome");
        results.first().copied().expect("one result")
    }

    fn attempt(&self) -> Attempt {
        Attempt {
            started_at: self.clock.now(),
            took: Duration::from_millis(5),
            age: Duration::from_secs(9),
            status: Some(503),
            note: "busy".to_owned(),
        }
    }
}

pub(super) fn name(text: &str) -> SinkName {
    Name::new(text).expect("a good name")
}

fn number_of(envelope: &Envelope) -> usize {
    let event = envelope.event().expect("a readable event");
    let video_id = event.video_id.as_deref().expect("a video");
    usize::from_str_radix(video_id, 16).expect("a number in hex")
}

async fn an_event_is_new_once<J: Journal>(bench: &Bench<J>) {
    assert_eq!(bench.append(1, &["a"]).await, Appended::New);
    assert_eq!(bench.append(1, &["a"]).await, Appended::Duplicate);
    assert_eq!(bench.append(2, &[]).await, Appended::New);
    assert_eq!(bench.append(2, &[]).await, Appended::Duplicate);
}

async fn a_duplicate_adds_only_missing_deliveries<J: Journal>(bench: &Bench<J>) {
    bench.append(1, &["a"]).await;
    bench.append(1, &["a", "b"]).await;
    assert_eq!(bench.claimed("a", 9).await, [1]);
    assert_eq!(bench.claimed("b", 9).await, [1]);
    // The other order: the one with more sinks first.
    bench.append(2, &["a", "b"]).await;
    bench.append(2, &["b"]).await;
    assert_eq!(bench.claimed("a", 9).await, [2]);
    assert_eq!(bench.claimed("b", 9).await, [2]);
    // An unrouted event gets its first sink by a duplicate from elsewhere.
    bench.append(3, &[]).await;
    bench.append(3, &["a"]).await;
    assert_eq!(bench.claimed("a", 9).await, [3]);
}

async fn first_attempts_come_in_the_order_of_acceptance<J: Journal>(bench: &Bench<J>) {
    for number in [5, 3, 9, 1] {
        bench.append(number, &["a"]).await;
    }
    assert_eq!(bench.claimed("a", 3).await, [5, 3, 9]);
    assert_eq!(bench.claimed("a", 3).await, [1]);
}

async fn a_claim_is_handed_out_once<J: Journal>(bench: &Bench<J>) {
    bench.append(1, &["a"]).await;
    let claimed = bench.journal.claim(&name("a"), 9, LEASE).await.expect("a claim");
    assert_eq!(claimed.claims.len(), 1);
    assert!(claimed.claims.iter().all(|claim| claim.delivery.attempt == 1 && claim.delivery.tries == 0));
    let nothing = bench.journal.claim(&name("a"), 9, LEASE).await.expect("a claim");
    assert!(nothing.claims.is_empty());
    assert_eq!(nothing.look_again_at, Some(bench.clock.now() + LEASE), "when the lease runs out");
    bench.clock.advance(LEASE);
    assert_eq!(bench.claimed("a", 9).await, [1], "a lease that ran out frees the delivery");
}

async fn a_released_claim_comes_back_at_once_with_nothing_counted<J: Journal>(bench: &Bench<J>) {
    bench.append(1, &["a"]).await;
    let claims = bench.claim("a", 9).await;
    for claim in &claims {
        assert_eq!(bench.settle(claim, Outcome::Released).await, SettleResult::Done);
    }
    let again = bench.claim("a", 9).await;
    assert_eq!(again.len(), 1);
    assert!(
        again.iter().all(|claim| claim.delivery.attempt == 1 && claim.delivery.first_attempt_at.is_none())
    );
}

async fn a_retry_comes_back_when_it_is_due<J: Journal>(bench: &Bench<J>) {
    bench.append(1, &["a"]).await;
    let started_at = bench.clock.now();
    for claim in &bench.claim("a", 9).await {
        let due = started_at + Duration::from_secs(30);
        assert_eq!(bench.settle(claim, Outcome::RetryAt(due)).await, SettleResult::Done);
    }
    let early = bench.journal.claim(&name("a"), 9, LEASE).await.expect("a claim");
    assert!(early.claims.is_empty());
    assert_eq!(early.look_again_at, Some(started_at + Duration::from_secs(30)));
    bench.clock.advance(Duration::from_secs(30));
    let due = bench.claim("a", 9).await;
    assert_eq!(due.len(), 1);
    for Claim { delivery, .. } in &due {
        assert_eq!((delivery.attempt, delivery.tries), (2, 1));
        assert_eq!(delivery.first_attempt_at, Some(started_at));
        assert_eq!(delivery.last_attempt_at, Some(started_at));
        assert_eq!(delivery.age, Duration::from_secs(9), "the age of the attempt is kept");
    }
}

async fn a_postponed_delivery_comes_back_when_it_is_due_as_it_was<J: Journal>(bench: &Bench<J>) {
    let wait = Duration::from_secs(30);
    bench.append(1, &["a"]).await;
    // Before its first attempt, and after one.
    for tried in [false, true] {
        let claims = bench.claim("a", 9).await;
        assert_eq!(claims.len(), 1);
        for claim in &claims {
            let due = bench.clock.now() + wait;
            assert_eq!(bench.settle_with(claim, Outcome::RetryAt(due), None).await, SettleResult::Done);
        }
        let early = bench.journal.claim(&name("a"), 9, LEASE).await.expect("a claim");
        assert!(early.claims.is_empty());
        assert_eq!(early.look_again_at, Some(bench.clock.now() + wait));
        bench.clock.advance(wait);
        let due = bench.claim("a", 9).await;
        assert_eq!(due.len(), 1);
        for (Claim { delivery: after, .. }, Claim { delivery: before, .. }) in due.iter().zip(&claims) {
            let counted = |delivery: &crate::envelope::Delivery| {
                let moments = (delivery.first_attempt_at, delivery.last_attempt_at);
                (delivery.attempt, delivery.tries, delivery.age, moments)
            };
            assert_eq!(counted(after), counted(before), "nothing is counted");
            assert_eq!(after.tries > 0, tried);
        }
        for claim in &due {
            bench.settle(claim, Outcome::RetryAt(bench.clock.now())).await;
        }
    }
}

async fn a_clock_set_back_makes_no_retry_wait_longer<J: Journal>(bench: &Bench<J>) {
    bench.append(1, &["a"]).await;
    bench.append(2, &["a"]).await;
    // One after an attempt, one postponed before its first.
    for (claim, attempt) in bench.claim("a", 9).await.iter().zip([Some(bench.attempt()), None]) {
        let due = bench.clock.now() + WAIT;
        assert_eq!(bench.settle_with(claim, Outcome::RetryAt(due), attempt).await, SettleResult::Done);
    }
    bench.clock.set(bench.clock.now() - HOURS);
    // Whatever is written next notices.
    bench.append(3, &["b"]).await;
    assert!(bench.claimed("a", 9).await.is_empty(), "and none waits less");
    bench.clock.advance(WAIT);
    assert_eq!(bench.claimed("a", 9).await, [1, 2]);
}

async fn a_clock_set_back_on_the_way_makes_no_retry_wait_longer<J: Journal>(bench: &Bench<J>) {
    bench.append(1, &["a"]).await;
    bench.append(2, &["a"]).await;
    let (claims, reached_at) = (bench.claim("a", 9).await, bench.clock.now());
    let outcome = Outcome::RetryAt(reached_at + WAIT);
    let attempts = [Some(bench.attempt()), None];
    let settled = claims.iter().zip(attempts).map(|(claim, attempt)| Settled {
        token: claim.token,
        outcome: outcome.clone(),
        attempt,
        reached_at,
    });
    // It is set back between the outcome and the commit that writes it down.
    bench.clock.set(reached_at - HOURS);
    let settled: Vec<Settled> = settled.collect();
    bench.journal.settle(&settled).await.expect("a settlement by a healthy journal");
    assert!(bench.claimed("a", 9).await.is_empty(), "and none waits less");
    bench.clock.advance(WAIT);
    assert_eq!(bench.claimed("a", 9).await, [1, 2]);
}

async fn a_clock_that_was_ahead_leaves_no_retry_behind<J: Journal>(bench: &Bench<J>) {
    bench.append(1, &["a"]).await;
    let right = bench.clock.now();
    bench.clock.set(right + HOURS);
    for claim in &bench.claim("a", 9).await {
        bench.settle(claim, Outcome::RetryAt(bench.clock.now() + WAIT)).await;
    }
    bench.clock.set(right);
    bench.append(2, &["b"]).await;
    assert!(bench.claimed("a", 9).await.is_empty(), "it waits as long as it was meant to");
    bench.clock.advance(WAIT);
    assert_eq!(bench.claimed("a", 9).await, [1]);
}

async fn a_lease_lasts_as_long_whatever_the_clock_says<J: Journal>(bench: &Bench<J>) {
    bench.append(1, &["a"]).await;
    let claims = bench.claim("a", 9).await;
    let right = bench.clock.now();
    for wrong in [right + HOURS, right - HOURS] {
        bench.clock.set(wrong);
        let again = bench.journal.claim(&name("a"), 9, LEASE).await.expect("a claim");
        assert!(again.claims.is_empty(), "it is in hand");
        assert_eq!(again.look_again_at, Some(wrong + LEASE));
    }
    bench.clock.advance(LEASE);
    let second = bench.claim("a", 9).await;
    assert_eq!(second.len(), 1, "it ran out");
    bench.clock.set(right + HOURS);
    for claim in &second {
        assert_eq!(bench.settle(claim, Outcome::DeadLetter("gone".to_owned())).await, SettleResult::Done);
    }
    for claim in &claims {
        assert_eq!(bench.settle(claim, Outcome::Delivered).await, SettleResult::Unknown);
    }
}

async fn the_span_that_brought_an_event_stays_with_it<J: Journal>(bench: &Bench<J>) {
    let span = |number| TraceContext::new([number; 16], [number; 8]);
    let append = async |number, trace| {
        let envelope = bench.event(number).with_trace(trace);
        bench.journal.append(&envelope, &[name("a")]).await.expect("an append to a healthy journal")
    };
    append(1, span(1)).await;
    append(2, None).await;
    assert_eq!(append(1, span(9)).await, Appended::Duplicate);
    let brought = |claims: &[Claim]| -> Vec<Option<TraceContext>> {
        claims.iter().map(|claim| claim.delivery.envelope.trace).collect()
    };
    let claims = bench.claim("a", 2).await;
    assert_eq!(brought(&claims), [span(1), None]);
    for claim in &claims {
        bench.settle(claim, Outcome::RetryAt(bench.clock.now())).await;
    }
    assert_eq!(brought(&bench.claim("a", 2).await), [span(1), None], "also when it is tried again");
}

async fn fresh_and_retried_alternate<J: Journal>(bench: &Bench<J>) {
    for number in 0..10 {
        bench.append(number, &["a"]).await;
    }
    for claim in &bench.claim("a", 10).await {
        bench.settle(claim, Outcome::RetryAt(bench.clock.now())).await;
    }
    for number in 10..20 {
        bench.append(number, &["a"]).await;
    }
    let mut taken = Vec::new();
    for _ in 0..5 {
        taken.extend(bench.claimed("a", 2).await);
    }
    let fresh = taken.iter().filter(|number| **number >= 10).count();
    assert_eq!((taken.len(), fresh), (10, 5), "neither gets less than half while both wait: {taken:?}");
    assert_eq!(bench.claimed("a", 20).await.len(), 10, "and the rest follows");
}

async fn an_expired_lease_counts_for_delivered_only<J: Journal>(bench: &Bench<J>) {
    bench.append(1, &["a"]).await;
    let late = bench.claim("a", 1).await;
    bench.clock.advance(LEASE);
    let second = bench.claim("a", 1).await;
    assert_eq!(second.len(), 1);
    for claim in &late {
        assert_eq!(bench.settle(claim, Outcome::DeadLetter("late".to_owned())).await, SettleResult::Expired);
        assert_eq!(bench.settle(claim, Outcome::RetryAt(bench.clock.now())).await, SettleResult::Expired);
        assert_eq!(bench.settle(claim, Outcome::Released).await, SettleResult::Expired);
        assert_eq!(bench.settle(claim, Outcome::Delivered).await, SettleResult::Done);
    }
    for claim in &second {
        assert_eq!(bench.settle(claim, Outcome::Delivered).await, SettleResult::Unknown);
    }
}

async fn what_is_settled_stays_settled<J: Journal>(bench: &Bench<J>) {
    bench.append(1, &["a"]).await;
    bench.append(2, &["a"]).await;
    let claims = bench.claim("a", 2).await;
    for (claim, outcome) in claims.iter().zip([Outcome::Delivered, Outcome::DeadLetter("gone".to_owned())]) {
        assert_eq!(bench.settle(claim, outcome).await, SettleResult::Done);
        assert_eq!(bench.settle(claim, Outcome::Released).await, SettleResult::Unknown, "settled twice");
    }
    bench.append(1, &["a"]).await;
    bench.append(2, &["a"]).await;
    bench.clock.advance(LEASE * 10);
    assert!(bench.claimed("a", 9).await.is_empty(), "a duplicate reopens nothing");
}

async fn sinks_do_not_see_each_other<J: Journal>(bench: &Bench<J>) {
    bench.append(1, &["a", "b"]).await;
    for claim in &bench.claim("a", 9).await {
        bench.settle(claim, Outcome::Delivered).await;
    }
    assert_eq!(bench.claimed("b", 9).await, [1]);
    assert!(bench.claimed("c", 9).await.is_empty(), "a sink that nothing was ever for");
}

async fn bytes_come_back_as_they_went_in<J: Journal>(bench: &Bench<J>) {
    let body =
        bytes::Bytes::from_static(b" {\"EventType\":\"X\",\"n\":1e3,\r\n\"u\":\"\\u00e9\xc3\xa9\",}\n");
    let envelope = envelope_of(body.clone(), bench.clock.now());
    bench.journal.append(&envelope, &[name("a")]).await.expect("an append");
    for claim in &bench.claim("a", 1).await {
        let kept = &claim.delivery.envelope;
        assert_eq!((&kept.body, kept.id, kept.sha256), (&body, envelope.id, envelope.sha256));
        assert_eq!(
            (&kept.source, kept.received_at, &kept.labels),
            (&envelope.source, envelope.received_at, &envelope.labels)
        );
        assert!(kept.is_intact());
    }
}

async fn work_is_announced<J: Journal>(bench: &Bench<J>) {
    let mut work = bench.journal.watch_work();
    work.mark_unchanged();
    bench.append(1, &["a"]).await;
    assert!(work.has_changed().expect("the journal is open"), "an append is announced");
}
