//! What every ledger must do with dead letters, replays and the sinks that people pause, rename and forget. Each
//! implementation runs this suite; `make` gives it a new, empty journal each time.

mod erasing;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::value::RawValue;
use vod_event::EventId;

use super::clock::ManualClock;
use super::journal_contract::{Bench, LEASE, name};
use super::sample::{envelope_of, event_body};
use crate::clock::Clock;
use crate::envelope::{Arrival, Envelope};
use crate::journal::{Appended, Claim, Journal, JournalError, Outcome};
use crate::ledger::{
    DeadLetter, Deed, DeedRecord, DeliveryState, EventFilter, EventState, Kept, KeptFilter, Ledger,
    LetterFilter, Redelivery, ReplayOrder, Replayed, SinkBacklog, Standing, Step,
};
use crate::name::SourceName;
use crate::replay::{self, Job, JobState, Request, What};

/// Runs the whole contract.
pub async fn ledger_contract<J: Journal + Ledger>(make: impl AsyncFn(Arc<ManualClock>) -> J) {
    let fresh = async || {
        let clock = Arc::new(ManualClock::default());
        let journal = make(Arc::clone(&clock)).await;
        Bench { journal, clock }
    };
    events_are_found_by_what_they_say(&fresh().await).await;
    events_are_found_by_how_they_stand(&fresh().await).await;
    events_come_in_pages(&fresh().await).await;
    an_event_is_told_whole(&fresh().await).await;
    dead_letters_come_in_pages(&fresh().await).await;
    a_dead_letter_is_told_whole(&fresh().await).await;
    a_replayed_delivery_begins_anew(&fresh().await).await;
    what_was_replayed_leaves_half_of_the_slots_to_new_events(&fresh().await).await;
    only_what_still_stands_so_is_replayed(&fresh().await).await;
    a_sink_that_was_added_gets_what_came_before(&fresh().await).await;
    an_unreadable_event_is_read_again_under_its_id(&fresh().await).await;
    what_is_purged_stays_away(&fresh().await).await;
    a_purged_delivery_can_be_had_again(&fresh().await).await;
    a_paused_sink_gets_nothing(&fresh().await).await;
    retries_are_due_when_somebody_says_so(&fresh().await).await;
    a_renamed_sink_keeps_what_it_had(&fresh().await).await;
    two_sinks_become_one(&fresh().await).await;
    what_was_purged_stops_no_rename(&fresh().await).await;
    what_waits_for_a_forgotten_sink_is_given_up(&fresh().await).await;
    erasing::what_was_erased_leaves_its_id(&fresh().await).await;
    erasing::what_is_in_hand_is_not_erased(&fresh().await).await;
    what_people_did_is_remembered(&fresh().await).await;
    a_replay_that_goes_on_by_itself_is_remembered(&fresh().await).await;
}

impl<J: Journal + Ledger> Bench<J> {
    /// Appends one event for these sinks and gives up each delivery with that reason.
    async fn bury(&self, number: usize, sinks: &[&str], reason: &str) {
        self.append(number, sinks).await;
        for sink in sinks {
            for claim in &self.claim(sink, 99).await {
                self.settle(claim, Outcome::DeadLetter(reason.to_owned())).await;
            }
        }
    }

    /// Keeps an event that some older parser could not read.
    async fn append_unreadable(&self, number: usize) -> EventId {
        let Envelope { source, body, received_at, labels, .. } = self.event(number);
        let id = EventId::of_raw(&body);
        let arrival = Arrival { source, body, received_at, labels, trace: None };
        let envelope = Envelope::new(arrival, id, Err("no object begins here".to_owned()));
        self.journal.append(&envelope, &[]).await.expect("an append to a healthy journal");
        id
    }

    fn id(&self, number: usize) -> EventId {
        self.event(number).id
    }

    /// The ids of the events that the filter means, the newest first.
    async fn found(&self, filter: &EventFilter) -> Vec<EventId> {
        let page = self.journal.events(filter, None, 100).await.expect("a page of a healthy journal");
        page.items.into_iter().map(|event| event.id).collect()
    }

    async fn letters(&self, filter: &LetterFilter) -> Vec<DeadLetter> {
        let page = self.journal.dead_letters(filter, None, 100).await.expect("a page of a healthy journal");
        assert_eq!(page.next, None, "all of them fit");
        page.items
    }

    async fn kept(&self, filter: &KeptFilter) -> Vec<Kept> {
        self.journal.kept(filter, None, 100).await.expect("a page of a healthy journal").items
    }

    async fn kept_one(&self, id: EventId) -> Kept {
        let mut kept = self.kept(&KeptFilter { events: vec![id], ..KeptFilter::default() }).await;
        assert_eq!(kept.len(), 1, "the event that was named");
        kept.remove(0)
    }

    async fn replay(&self, event: EventId, sink: &str, from: Option<DeliveryState>) -> Replayed {
        let deliveries = vec![Redelivery { sink: name(sink), from }];
        self.order(vec![ReplayOrder { event, reading: None, deliveries }]).await
    }

    async fn order(&self, orders: Vec<ReplayOrder>) -> Replayed {
        self.journal.replay(orders).await.expect("a healthy journal replays")
    }

    async fn backlog(&self, sink: &str) -> SinkBacklog {
        let backlogs = self.journal.backlogs().await.expect("backlogs of a healthy journal");
        let found = backlogs.into_iter().find(|backlog| backlog.sink == name(sink));
        found.unwrap_or_else(|| SinkBacklog::empty(name(sink)))
    }

    /// Pending, dead letters, delivered.
    async fn counts(&self, sink: &str) -> (u64, u64, u64) {
        let backlog = self.backlog(sink).await;
        (backlog.pending, backlog.dead_letters, backlog.delivered)
    }
}

const AGAIN: Replayed = Replayed { again: 1, added: 0, read: 0 };
const ADDED: Replayed = Replayed { again: 0, added: 1, read: 0 };
const NOTHING: Replayed = Replayed { again: 0, added: 0, read: 0 };
const DEAD: Option<DeliveryState> = Some(DeliveryState::DeadLetter);

async fn a_replay_that_goes_on_by_itself_is_remembered<J: Journal + Ledger>(bench: &Bench<J>) {
    let request = Request { all: true, ..Request::new(What::Unrouted) };
    let mut job = Job::new(request, Some("ops".to_owned()), bench.clock.now());
    let noted = async |job: &Job| bench.journal.note_job(job.clone()).await.expect("a healthy journal notes");
    job.id = noted(&job).await;
    let other = noted(&Job { id: 0, ..job.clone() }).await;
    assert!(other > job.id, "later ones have higher numbers");
    job.add(&replay::Outcome { done: ADDED, looked_at: 3, ..replay::Outcome::default() });
    job.end(JobState::Cancelled, bench.clock.now(), None);
    assert_eq!(noted(&job).await, job.id);
    let found =
        bench.journal.job(job.id).await.expect("a healthy journal tells").expect("the one that was noted");
    assert_eq!(
        (found.state, found.done, found.looked_at, found.request.all),
        (JobState::Cancelled, ADDED, 3, true)
    );
    assert_eq!((found.asked_at, found.token.as_deref()), (bench.clock.now(), Some("ops")));
    let ids = async |before| {
        let jobs = bench.journal.jobs(before, 1).await.expect("a page of a healthy journal");
        jobs.iter().map(|job| job.id).collect::<Vec<_>>()
    };
    assert_eq!(
        (ids(None).await, ids(Some(other)).await, ids(Some(job.id)).await),
        (vec![other], vec![job.id], vec![])
    );
    assert!(bench.journal.job(other + 1).await.expect("a healthy journal tells").is_none());
}

async fn what_people_did_is_remembered<J: Journal + Ledger>(bench: &Bench<J>) {
    let json = |text: &str| RawValue::from_string(text.to_owned()).ok();
    for number in 1..=3 {
        let deed = Deed {
            at: bench.clock.now(),
            token: Some(format!("token {number}")),
            address: Some("192.0.2.1".to_owned()),
            action: "POST /api/v1/sinks/cms/pause".to_owned(),
            request: json(r#"{"reason": "<b>\u0000 12345678901234567890"}"#),
            status: 200,
            result: json("null"),
        };
        bench.journal.note_deed(deed).await.expect("a healthy journal notes");
    }
    let page = bench.journal.deeds(None, 2).await.expect("a page of a healthy journal");
    let of = |page: &[DeedRecord]| page.iter().map(|record| record.deed.token.clone()).collect::<Vec<_>>();
    assert_eq!(of(&page), ["token 3", "token 2"].map(|name| Some(name.to_owned())));
    let last = page.last().expect("two of them");
    let Deed { at, request, result, .. } = &last.deed;
    assert_eq!(*at, bench.clock.now());
    assert_eq!(
        request.as_deref().map(RawValue::get),
        Some(r#"{"reason": "<b>\u0000 12345678901234567890"}"#)
    );
    assert_eq!(result.as_deref().map(RawValue::get), Some("null"));
    let page = bench.journal.deeds(Some(last.id), 2).await.expect("a page of a healthy journal");
    assert_eq!(of(&page), [Some("token 1".to_owned())]);
}

async fn events_are_found_by_what_they_say<J: Journal + Ledger>(bench: &Bench<J>) {
    bench.append(1, &["a"]).await;
    bench.clock.advance(Duration::from_secs(60));
    let other = Envelope::restore(
        bench.id(2),
        "queues.other".parse().expect("a name of a source"),
        bench.clock.now(),
        Arc::new([("region".to_owned(), "eu".to_owned())].into()),
        event_body(2),
        bench.event(2).sha256,
    );
    bench.journal.append(&other, &[name("a")]).await.expect("an append to a healthy journal");
    let event = Arc::clone(other.event().expect("a body that reads"));
    let all = EventFilter::default;
    let check = async |filter: EventFilter, expect: &[usize]| {
        let expect: Vec<EventId> = expect.iter().map(|number| bench.id(*number)).collect();
        assert_eq!(bench.found(&filter).await, expect, "{filter:?}");
    };
    check(all(), &[2, 1]).await;
    check(EventFilter { video_id: event.video_id.clone(), ..all() }, &[2]).await;
    check(EventFilter { job_id: event.job_id.clone(), ..all() }, &[2]).await;
    check(EventFilter { job_id: Some("' OR 1 = 1 --".to_owned()), ..all() }, &[]).await;
    check(EventFilter { event_type: Some("DynamicImageComplete".to_owned()), ..all() }, &[2, 1]).await;
    check(EventFilter { event_type: Some("SnapshotComplete".to_owned()), ..all() }, &[]).await;
    check(EventFilter { status: Some("success".to_owned()), ..all() }, &[2, 1]).await;
    check(EventFilter { status: Some("fail".to_owned()), ..all() }, &[]).await;
    check(EventFilter { source: Some(other.source.clone()), ..all() }, &[2]).await;
    check(EventFilter { labels: (*other.labels).clone(), ..all() }, &[2]).await;
    check(EventFilter { labels: [("region".to_owned(), "us".to_owned())].into(), ..all() }, &[]).await;
    check(EventFilter { since: Some(other.received_at), ..all() }, &[2]).await;
    check(EventFilter { until: Some(other.received_at), ..all() }, &[1]).await;
}

async fn events_are_found_by_how_they_stand<J: Journal + Ledger>(bench: &Bench<J>) {
    bench.bury(1, &["a"], "410 gone").await;
    bench.append(1, &["b"]).await;
    bench.append(2, &["a"]).await;
    for claim in &bench.claim("a", 99).await {
        bench.settle(claim, Outcome::Delivered).await;
    }
    bench.bury(3, &["c"], "410 gone").await;
    let buried_3 = LetterFilter { sink: Some(name("c")), ..LetterFilter::default() };
    let places = bench.letters(&buried_3).await.iter().map(|letter| letter.place).collect();
    assert_eq!(bench.journal.purge(places).await, Ok(1));
    bench.append(4, &["a", "b"]).await;
    for claim in &bench.claim("a", 99).await {
        bench.settle(claim, Outcome::RetryAt(bench.clock.now() + Duration::from_secs(60))).await;
    }
    bench.append(5, &[]).await;
    let unreadable = bench.append_unreadable(6).await;
    let check = async |standing, expect: &[EventId]| {
        let filter = EventFilter { standing: Some(standing), ..EventFilter::default() };
        assert_eq!(bench.found(&filter).await, expect, "{standing:?}");
    };
    check(Standing::Dead, &[bench.id(1)]).await;
    check(Standing::Pending, &[bench.id(4), bench.id(1)]).await;
    check(Standing::Delivered, &[bench.id(2)]).await;
    check(Standing::Purged, &[bench.id(3)]).await;
    check(Standing::Unrouted, &[bench.id(5)]).await;
    check(Standing::Unreadable, &[unreadable]).await;
}

async fn events_come_in_pages<J: Journal + Ledger>(bench: &Bench<J>) {
    for number in 0..7 {
        bench.append(number, if number % 2 == 0 { &["a"] } else { &[] }).await;
    }
    let unrouted = EventFilter { standing: Some(Standing::Unrouted), ..EventFilter::default() };
    for (filter, expect) in [(EventFilter::default(), vec![6, 5, 4, 3, 2, 1, 0]), (unrouted, vec![5, 3, 1])] {
        let (mut paged, mut after) = (Vec::new(), None);
        loop {
            let page = bench.journal.events(&filter, after, 2).await.expect("a page of a healthy journal");
            assert!(page.items.len() <= 2, "no more than were asked for");
            paged.extend(page.items.iter().map(|event| event.id));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let expect: Vec<EventId> = expect.into_iter().map(|number| bench.id(number)).collect();
        assert_eq!(paged, expect);
    }
    let (mut seq, mut ids) = (0, Vec::new());
    loop {
        let some = bench.journal.events_since(seq, 3).await.expect("a page of a healthy journal");
        let Some(last) = some.last() else { break };
        seq = last.seq;
        ids.extend(some.iter().map(|event| event.id));
    }
    let expect: Vec<EventId> = (0..7).map(|number| bench.id(number)).collect();
    assert_eq!(ids, expect, "in the order of acceptance");
}

async fn an_event_is_told_whole<J: Journal + Ledger>(bench: &Bench<J>) {
    bench.bury(1, &["a"], "410 gone").await;
    bench.append(1, &["a", "b"]).await;
    bench.append(1, &["a"]).await;
    let found = bench.journal.event(bench.id(1)).await.expect("a healthy journal tells");
    let found = found.expect("the event that was appended");
    assert!(found.envelope.is_intact());
    let repeats: Vec<(&SourceName, u64)> =
        found.repeats.iter().map(|repeats| (&repeats.source, repeats.count)).collect();
    assert_eq!(repeats, [(&found.envelope.source, 2)]);
    let [a, b] = &found.deliveries[..] else { panic!("two deliveries in {found:?}") };
    assert_eq!((a.state, a.attempts, a.reason.as_deref()), (DeliveryState::DeadLetter, 1, Some("410 gone")));
    assert_eq!(a.failed_attempts.len(), 1);
    assert_eq!((b.state, b.attempts, b.settled_at), (DeliveryState::Fresh, 0, None));
    let listed = bench.journal.events(&EventFilter::default(), None, 9).await.expect("a page").items;
    let listed: Vec<_> =
        listed.iter().map(|event| (event.id, event.doubts, event.other_sources.len())).collect();
    assert_eq!(listed, [(bench.id(1), Some(0), 0)], "the source that repeated it is the first one");
    assert_eq!(bench.journal.event(bench.id(2)).await.expect("a healthy journal tells").map(|_| ()), None);

    let other = SourceName::queue(&name("other"));
    let Envelope { id, received_at, labels, body, sha256, .. } = bench.event(1);
    let again = Envelope::restore(id, other.clone(), received_at, labels, body, sha256);
    assert_eq!(bench.journal.append(&again, &[]).await, Ok(Appended::Duplicate));
    assert_eq!(bench.kept_one(id).await.other_sources, [other], "and not the first one");
}

async fn dead_letters_come_in_pages<J: Journal + Ledger>(bench: &Bench<J>) {
    bench.bury(1, &["a", "b"], "410 gone").await;
    let unreadable = bench.append_unreadable(2).await;
    bench.append(3, &["a"]).await;
    bench.clock.advance(Duration::from_secs(60));
    bench.bury(4, &["b"], "500 broken").await;
    let all = bench.letters(&LetterFilter::default()).await;
    let told: Vec<(EventId, Option<&str>, &str)> = all
        .iter()
        .map(|letter| (letter.event, letter.sink.as_ref().map(|sink| sink.as_str()), letter.reason.as_str()))
        .collect();
    let expected = [
        (bench.id(1), Some("a"), "410 gone"),
        (bench.id(1), Some("b"), "410 gone"),
        (unreadable, None, "no object begins here"),
        (bench.id(4), Some("b"), "500 broken"),
    ];
    assert_eq!(told, expected);
    let last = all.last().expect("four of them");
    assert_eq!((last.given_up_at, last.attempts, last.replays), (bench.clock.now(), 1, 0));
    assert_eq!(last.event_type.as_deref(), Some("DynamicImageComplete"));

    let mut paged = Vec::new();
    let mut after = None;
    loop {
        let page = bench.journal.dead_letters(&LetterFilter::default(), after, 1).await.expect("a page");
        assert!(page.items.len() <= 1);
        paged.extend(page.items);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(paged, all);

    let of_b = LetterFilter { sink: Some(name("b")), ..LetterFilter::default() };
    assert_eq!(bench.letters(&of_b).await.len(), 2);
    let of_one = LetterFilter { events: vec![bench.id(1), bench.id(3)], ..LetterFilter::default() };
    assert_eq!(bench.letters(&of_one).await.len(), 2);
    let late = LetterFilter { since: Some(bench.clock.now()), ..LetterFilter::default() };
    assert_eq!(bench.letters(&late).await.len(), 1);
    let of_none = LetterFilter { events: vec![unreadable], ..LetterFilter::default() };
    assert_eq!(bench.letters(&of_none).await.len(), 1);
}

async fn a_dead_letter_is_told_whole<J: Journal + Ledger>(bench: &Bench<J>) {
    bench.bury(1, &["a"], "410 gone").await;
    bench.append_unreadable(2).await;
    let letters = bench.letters(&LetterFilter::default()).await;
    let places = letters.iter().map(|letter| letter.place).chain([u64::MAX >> 1]).collect();
    let details = bench.journal.letter_details(places).await.expect("details of a healthy journal");
    assert_eq!(details.len(), 2, "one that is not there is left out");
    for (detail, letter) in details.iter().zip(&letters) {
        assert_eq!(&detail.letter, letter);
        assert!(detail.envelope.is_intact());
        let attempts = if letter.sink.is_some() { vec![(1, "busy")] } else { vec![] };
        let told: Vec<(u32, &str)> =
            detail.failed_attempts.iter().map(|attempt| (attempt.number, attempt.note.as_str())).collect();
        assert_eq!(told, attempts);
    }
}

async fn a_replayed_delivery_begins_anew<J: Journal + Ledger>(bench: &Bench<J>) {
    bench.bury(1, &["a"], "410 gone").await;
    assert_eq!(bench.counts("a").await, (0, 1, 0));
    bench.clock.advance(Duration::from_secs(3_600));
    let places: Vec<u64> =
        bench.letters(&LetterFilter::default()).await.iter().map(|letter| letter.place).collect();
    let mut work = bench.journal.watch_work();
    work.mark_unchanged();
    assert_eq!(bench.replay(bench.id(1), "a", DEAD).await, AGAIN);
    assert!(work.has_changed().expect("the journal is open"), "a replay is announced");
    assert_eq!(bench.journal.purge(places).await, Ok(0), "whoever saw it as a dead letter purges it no more");
    assert_eq!(bench.counts("a").await, (1, 0, 0));
    assert!(bench.letters(&LetterFilter::default()).await.is_empty());
    assert_eq!(bench.replay(bench.id(1), "a", DEAD).await, NOTHING, "it waits already");
    let claims = bench.claim("a", 9).await;
    assert_eq!(claims.len(), 1, "due at once");
    for Claim { delivery, .. } in &claims {
        assert_eq!((delivery.attempt, delivery.replay, delivery.tries), (2, 1, 0));
        assert_eq!((delivery.first_attempt_at, delivery.last_attempt_at), (None, None));
        assert_eq!(delivery.age, Duration::ZERO);
    }
    for claim in &claims {
        bench.settle(claim, Outcome::DeadLetter("410 gone again".to_owned())).await;
    }
    let letters = bench.letters(&LetterFilter::default()).await;
    assert!(letters.iter().all(|letter| (letter.attempts, letter.replays) == (2, 1)), "{letters:?}");
    assert_eq!(bench.counts("a").await, (0, 1, 0));
}

async fn what_was_replayed_leaves_half_of_the_slots_to_new_events<J: Journal + Ledger>(bench: &Bench<J>) {
    for number in 0..10 {
        bench.bury(number, &["a"], "410 gone").await;
    }
    for number in 0..10 {
        bench.replay(bench.id(number), "a", DEAD).await;
    }
    for number in 10..20 {
        bench.append(number, &["a"]).await;
    }
    let mut taken = Vec::new();
    for _ in 0..5 {
        taken.extend(bench.claimed("a", 2).await);
    }
    let fresh = taken.iter().filter(|number| **number >= 10).count();
    assert_eq!((taken.len(), fresh), (10, 5), "{taken:?}");
    assert_eq!(bench.claimed("a", 20).await.len(), 10, "and the rest follows");
}

async fn only_what_still_stands_so_is_replayed<J: Journal + Ledger>(bench: &Bench<J>) {
    bench.append(1, &["a", "b"]).await;
    for from in [None, DEAD, Some(DeliveryState::Delivered), Some(DeliveryState::Purged)] {
        assert_eq!(bench.replay(bench.id(1), "a", from).await, NOTHING, "{from:?}");
    }
    assert_eq!(bench.replay(bench.id(1), "a", Some(DeliveryState::Fresh)).await, NOTHING, "pending");
    let in_hand = bench.claim("a", 9).await;
    assert_eq!(bench.replay(bench.id(1), "a", Some(DeliveryState::Fresh)).await, NOTHING, "in hand");
    for claim in &in_hand {
        assert_eq!(claim.delivery.replay, 0);
        bench.settle(claim, Outcome::Delivered).await;
    }
    assert_eq!(bench.replay(bench.id(1), "a", DEAD).await, NOTHING);
    assert_eq!(bench.counts("a").await, (0, 0, 1));
    assert_eq!(bench.replay(bench.id(1), "a", Some(DeliveryState::Delivered)).await, AGAIN);
    assert_eq!(bench.counts("a").await, (1, 0, 0));
    assert_eq!(bench.replay(bench.id(7), "a", DEAD).await, NOTHING, "no such event");
    assert_eq!(bench.claim("b", 9).await.len(), 1, "the other sink's is as it was");
}

async fn a_sink_that_was_added_gets_what_came_before<J: Journal + Ledger>(bench: &Bench<J>) {
    bench.append(1, &["a"]).await;
    bench.append(2, &[]).await;
    let unrouted = KeptFilter { state: Some(EventState::Unrouted), ..KeptFilter::default() };
    assert_eq!(bench.kept(&unrouted).await.len(), 1);
    for number in [1, 2] {
        assert_eq!(bench.replay(bench.id(number), "new", None).await, ADDED);
        assert_eq!(bench.replay(bench.id(number), "new", None).await, NOTHING, "only once");
    }
    assert!(bench.kept(&unrouted).await.is_empty());
    assert_eq!(bench.journal.totals().await.expect("totals").unrouted, 0);
    bench.append(3, &["new"]).await;
    assert_eq!(bench.counts("new").await, (3, 0, 0));
    let mut claims = bench.claim("new", 1).await;
    claims.extend(bench.claim("new", 1).await);
    assert!(
        claims.iter().any(|claim| claim.delivery.envelope.id == bench.id(3)),
        "a new event takes turns with what was added to old ones: {claims:?}"
    );
    claims.extend(bench.claim("new", 9).await);
    assert_eq!(claims.len(), 3);
    for Claim { delivery, .. } in &claims {
        assert_eq!((delivery.attempt, delivery.replay), (1, 0), "it never had this event before");
    }
    let kept = bench.kept(&KeptFilter::default()).await;
    let events: Vec<EventId> = kept.iter().map(|kept| kept.envelope.id).collect();
    assert_eq!(events, [bench.id(1), bench.id(2), bench.id(3)]);
    assert!(kept.iter().all(|kept| kept.envelope.is_intact() && kept.state == EventState::Routed));
}

async fn an_unreadable_event_is_read_again_under_its_id<J: Journal + Ledger>(bench: &Bench<J>) {
    let id = bench.append_unreadable(1).await;
    let other = bench.append_unreadable(2).await;
    let unreadable = KeptFilter { state: Some(EventState::Unreadable), ..KeptFilter::default() };
    assert_eq!(bench.kept(&unreadable).await.len(), 2);
    let reading = |number| Arc::clone(bench.event(number).event().expect("a readable event"));
    let deliveries = vec![Redelivery { sink: name("a"), from: None }];
    let read = Replayed { again: 0, added: 1, read: 1 };
    let order = ReplayOrder { event: id, reading: Some(reading(1)), deliveries };
    assert_eq!(bench.order(vec![order.clone()]).await, read);
    assert_eq!(bench.order(vec![order]).await, NOTHING, "only once");
    let unrouted = ReplayOrder { event: other, reading: Some(reading(2)), deliveries: Vec::new() };
    assert_eq!(bench.order(vec![unrouted]).await, Replayed { again: 0, added: 0, read: 1 });
    let totals = bench.journal.totals().await.expect("totals");
    assert_eq!((totals.events, totals.unreadable, totals.unrouted), (2, 0, 1));
    assert!(bench.letters(&LetterFilter::default()).await.is_empty());
    assert_eq!(bench.kept_one(other).await.state, EventState::Unrouted);
    let claims = bench.claim("a", 9).await;
    assert_eq!(claims.len(), 1);
    for Claim { delivery, token } in &claims {
        assert_eq!(delivery.envelope.id, id, "the id is never computed again");
        assert!(delivery.envelope.event().is_ok());
        let settled = crate::journal::Settled {
            token: *token,
            outcome: Outcome::DeadLetter("410 gone".to_owned()),
            attempt: None,
            reached_at: bench.clock.now(),
        };
        bench.journal.settle(&[settled]).await.expect("a settlement");
    }
    let letters = bench.letters(&LetterFilter::default()).await;
    assert_eq!(
        letters.iter().map(|letter| letter.event_type.as_deref()).collect::<Vec<_>>(),
        [Some("DynamicImageComplete")]
    );
}

async fn what_is_purged_stays_away<J: Journal + Ledger>(bench: &Bench<J>) {
    bench.bury(1, &["a", "b"], "410 gone").await;
    let unreadable = bench.append_unreadable(2).await;
    bench.append(3, &["a"]).await;
    let places = |letters: Vec<DeadLetter>| letters.iter().map(|letter| letter.place).collect::<Vec<_>>();
    let of_a = LetterFilter { sink: Some(name("a")), ..LetterFilter::default() };
    let of_a = places(bench.letters(&of_a).await);
    assert_eq!(bench.journal.purge(of_a.clone()).await, Ok(1));
    assert_eq!(bench.journal.purge(of_a).await, Ok(0), "only once");
    assert_eq!(bench.counts("a").await, (1, 0, 0), "what is pending is not touched");
    assert_eq!(bench.counts("b").await, (0, 1, 0));
    let left = bench.letters(&LetterFilter::default()).await;
    assert_eq!(left.len(), 2);
    assert_eq!(bench.journal.purge(places(left)).await, Ok(2));
    assert!(bench.letters(&LetterFilter::default()).await.is_empty());

    let kept = bench.kept_one(bench.id(1)).await;
    assert_eq!(kept.state, EventState::Routed, "its history stays");
    assert!(kept.deliveries.iter().all(|(_, state)| *state == DeliveryState::Purged), "{kept:?}");
    let still_unreadable = KeptFilter { state: Some(EventState::Unreadable), ..KeptFilter::default() };
    assert!(bench.kept(&still_unreadable).await.is_empty());
    assert_eq!(bench.kept_one(unreadable).await.state, EventState::Unreadable);
    let totals = bench.journal.totals().await.expect("totals");
    assert_eq!((totals.events, totals.unreadable), (3, 1));

    assert_eq!(bench.append(1, &["a", "b"]).await, Appended::Duplicate);
    assert!(bench.claim("b", 9).await.is_empty(), "no duplicate brings it back");
    assert_eq!(bench.replay(bench.id(1), "b", None).await, NOTHING);
    assert_eq!(bench.replay(bench.id(1), "b", DEAD).await, NOTHING);
    assert_eq!(bench.claimed("a", 9).await, [3]);
}

async fn a_purged_delivery_can_be_had_again<J: Journal + Ledger>(bench: &Bench<J>) {
    bench.bury(1, &["a"], "410 gone").await;
    let places = bench.letters(&LetterFilter::default()).await.iter().map(|letter| letter.place).collect();
    assert_eq!(bench.journal.purge(places).await, Ok(1));
    assert_eq!(bench.replay(bench.id(1), "a", Some(DeliveryState::Purged)).await, AGAIN);
    assert_eq!(bench.counts("a").await, (1, 0, 0));
    for claim in &bench.claim("a", 9).await {
        assert_eq!((claim.delivery.attempt, claim.delivery.replay), (2, 1), "it goes on counting");
        bench.settle(claim, Outcome::Delivered).await;
    }
    assert_eq!(bench.counts("a").await, (0, 0, 1));
}

async fn a_paused_sink_gets_nothing<J: Journal + Ledger>(bench: &Bench<J>) {
    bench.append(1, &["a", "b"]).await;
    let pauses = bench.journal.watch_pauses();
    let since = bench.clock.now();
    let pause = bench.journal.pause(&name("a"), Some("a deployment".to_owned())).await.expect("a pause");
    assert_eq!((pause.since, pause.reason.as_deref()), (since, Some("a deployment")));
    assert_eq!(pauses.borrow().get(&name("a")), Some(&pause));
    assert!(bench.claim("a", 9).await.is_empty());
    assert_eq!(bench.claimed("b", 9).await, [1], "another sink goes on");
    bench.append(2, &["a"]).await;
    assert!(bench.claim("a", 9).await.is_empty());
    bench.clock.advance(LEASE);
    let again = bench.journal.pause(&name("a"), None).await.expect("a pause");
    assert_eq!(again, pause, "it is paused since the first time");
    assert_eq!(bench.backlog("a").await.paused, Some(pause));
    assert_eq!(bench.counts("a").await.0, 2);

    let mut work = bench.journal.watch_work();
    work.mark_unchanged();
    assert_eq!(bench.journal.resume(&name("a")).await, Ok(true));
    assert_eq!(bench.journal.resume(&name("a")).await, Ok(false));
    assert!(work.has_changed().expect("the journal is open"), "a resume is announced");
    assert!(pauses.borrow().is_empty());
    assert_eq!(bench.backlog("a").await.paused, None);
    assert_eq!(bench.claimed("a", 9).await, [1, 2]);
    bench.journal.pause(&name("never_used"), None).await.expect("a sink that nothing was ever for");
    assert!(bench.backlog("never_used").await.paused.is_some());
}

async fn retries_are_due_when_somebody_says_so<J: Journal + Ledger>(bench: &Bench<J>) {
    for number in 0..3 {
        bench.append(number, &["a", "b"]).await;
    }
    let later = bench.clock.now() + Duration::from_secs(3_600);
    for sink in ["a", "b"] {
        for claim in &bench.claim(sink, 9).await {
            bench.settle(claim, Outcome::RetryAt(later)).await;
        }
    }
    bench.clock.advance(Duration::from_secs(1));
    let asked_at = bench.clock.now();
    let step = async || bench.journal.retry_now(&name("a"), asked_at, 2).await.expect("a step");
    assert_eq!(step().await, Step { changed: 2, more: true });
    let claims = bench.claim("a", 9).await;
    assert_eq!(claims.len(), 2);
    for claim in &claims {
        bench.settle(claim, Outcome::RetryAt(later)).await;
    }
    assert_eq!(step().await, Step { changed: 1, more: false }, "what failed again meanwhile waits");
    assert_eq!(bench.claim("a", 9).await.len(), 1);
    assert!(bench.claim("b", 9).await.is_empty(), "another sink's wait on");
    assert_eq!(bench.counts("a").await, (3, 0, 0));
    let due = async |sink: &str| bench.backlog(sink).await.retry_due_at;
    assert!(due("a").await.is_some_and(|at| at < later), "the last is due now");
    assert_eq!((due("b").await, due("nobody").await), (Some(later), None));
}

/// One delivery of `old` in each state: delivered 1, given up 2, to be tried again 3, fresh 4.
async fn in_every_state<J: Journal + Ledger>(bench: &Bench<J>, due: Timestamp) {
    for number in 1..=3 {
        bench.append(number, &["old"]).await;
    }
    let outcomes = [Outcome::Delivered, Outcome::DeadLetter("410 gone".to_owned()), Outcome::RetryAt(due)];
    for (claim, outcome) in bench.claim("old", 9).await.iter().zip(outcomes) {
        bench.settle(claim, outcome).await;
    }
    bench.append(4, &["old"]).await;
    assert_eq!(bench.counts("old").await, (2, 1, 1));
}

async fn a_renamed_sink_keeps_what_it_had<J: Journal + Ledger>(bench: &Bench<J>) {
    in_every_state(bench, bench.clock.now()).await;
    bench.journal.pause(&name("old"), None).await.expect("a pause");
    let step = bench.journal.rename(&name("old"), &name("new"), 1).await;
    assert!(step.as_ref().is_ok_and(|step| !step.more), "{step:?}");
    assert_eq!(bench.counts("old").await, (0, 0, 0));
    assert_eq!(bench.counts("new").await, (2, 1, 1));
    assert!(
        bench.journal.watch_pauses().borrow().is_empty(),
        "the new name may be at work, and nobody paused it"
    );
    assert_eq!(bench.backlog("new").await.paused, None);
    assert!(bench.claim("old", 9).await.is_empty());
    let mut claimed = bench.claimed("new", 9).await;
    claimed.sort_unstable();
    assert_eq!(claimed, [3, 4]);
    let nobody = bench.journal.rename(&name("nobody"), &name("new"), 1).await;
    assert!(matches!(nobody, Err(JournalError::Invalid(_))), "{nobody:?}");
}

async fn two_sinks_become_one<J: Journal + Ledger>(bench: &Bench<J>) {
    in_every_state(bench, bench.clock.now()).await;
    // The new name has two events of the old one already: one is done, one waits.
    for (number, outcome) in [(2, Outcome::Delivered), (4, Outcome::Released)] {
        assert_eq!(bench.append(number, &["new"]).await, Appended::Duplicate);
        for claim in &bench.claim("new", 9).await {
            bench.settle(claim, outcome.clone()).await;
        }
    }
    assert_eq!(bench.counts("new").await, (1, 0, 1));
    let mut changed = 0;
    loop {
        let step = bench.journal.rename(&name("old"), &name("new"), 1).await.expect("a step");
        changed += step.changed;
        assert!(changed < 9, "it comes to an end");
        if !step.more {
            break;
        }
    }
    assert_eq!(changed, 3);
    assert_eq!(bench.counts("old").await, (0, 0, 1), "what was delivered stays under the old name");
    assert_eq!(bench.counts("new").await, (2, 0, 1), "what the new name has already stands");
    let mut claimed = bench.claimed("new", 9).await;
    claimed.sort_unstable();
    assert_eq!(claimed, [3, 4]);
    assert!(bench.claim("old", 9).await.is_empty());
    assert!(bench.letters(&LetterFilter::default()).await.is_empty());
}

async fn what_was_purged_stops_no_rename<J: Journal + Ledger>(bench: &Bench<J>) {
    for number in [1, 2] {
        bench.append(number, &["old"]).await;
        bench.bury(number, &["new"], "410 gone").await;
    }
    for claim in bench.claim("old", 9).await.iter().skip(1) {
        bench.settle(claim, Outcome::DeadLetter("404 not found".to_owned())).await;
    }
    let of_new = LetterFilter { sink: Some(name("new")), ..LetterFilter::default() };
    let places = bench.letters(&of_new).await.iter().map(|letter| letter.place).collect();
    assert_eq!(bench.journal.purge(places).await, Ok(2));
    bench.clock.advance(LEASE);
    let step = bench.journal.rename(&name("old"), &name("new"), 9).await.expect("a step");
    assert_eq!(step, Step { changed: 2, more: false });
    assert_eq!(bench.counts("new").await, (1, 1, 0), "nobody has seen to what the old name had");
    let states = async |number| bench.kept_one(bench.id(number)).await.deliveries;
    assert_eq!(states(1).await, [(name("new"), DeliveryState::Fresh)]);
    assert_eq!(states(2).await, [(name("new"), DeliveryState::DeadLetter)]);
    let told = bench.journal.event(bench.id(2)).await.expect("a healthy journal").expect("the event");
    assert_eq!(told.deliveries.len(), 1, "{told:?}");
    assert_eq!(bench.claimed("new", 9).await, [1]);
}

async fn what_waits_for_a_forgotten_sink_is_given_up<J: Journal + Ledger>(bench: &Bench<J>) {
    in_every_state(bench, bench.clock.now() + LEASE).await;
    bench.append(5, &["other"]).await;
    bench.journal.pause(&name("old"), None).await.expect("a pause");
    let mut changed = 0;
    loop {
        let step = bench.journal.forget(&name("old"), 1).await.expect("a step");
        changed += step.changed;
        assert!(changed < 9, "it comes to an end");
        if !step.more {
            break;
        }
    }
    assert_eq!(changed, 2);
    assert_eq!(bench.counts("old").await, (0, 3, 1));
    assert_eq!(bench.backlog("old").await.paused, None);
    assert_eq!(bench.counts("other").await, (1, 0, 0));
    let forgotten = LetterFilter { reason: Some("forgotten".to_owned()), ..LetterFilter::default() };
    let events: Vec<EventId> = bench.letters(&forgotten).await.iter().map(|letter| letter.event).collect();
    assert_eq!(events, [bench.id(3), bench.id(4)]);
    let nobody = bench.journal.forget(&name("nobody"), 1).await;
    assert!(matches!(nobody, Err(JournalError::Invalid(_))), "{nobody:?}");
    let untouched = envelope_of(event_body(4), bench.clock.now());
    assert_eq!(bench.journal.append(&untouched, &[name("old")]).await, Ok(Appended::Duplicate));
    assert!(bench.claim("old", 9).await.is_empty(), "a duplicate reopens nothing");
}
