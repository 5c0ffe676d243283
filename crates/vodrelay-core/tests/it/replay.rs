//! A replay from the request to the journal: in steps, and not at all in a dry run.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use vod_event::EventId;
use vodrelay_core::ledger::{LetterFilter, Limit};
use vodrelay_core::replay::{Outcome, ReplayError, Request, What};
use vodrelay_core::routing::Filter;
use vodrelay_core::testing::{ManualClock, MemoryJournal, envelope_of, event_body};
use vodrelay_core::{
    Arrival, Clock, Envelope, Journal, Ledger, Name, Replayer, Routes, Settled, SinkName, SourceName,
};

struct Bench {
    journal: Arc<MemoryJournal>,
    clock: Arc<ManualClock>,
    replayer: Replayer,
}

fn cms() -> SinkName {
    SinkName::new("cms").unwrap()
}

impl Bench {
    /// A journal whose relay has the sink `cms` today.
    fn new() -> Self {
        let clock = Arc::new(ManualClock::default());
        let journal = Arc::new(MemoryJournal::new(clock.clone()));
        let routes = Arc::new(Routes::new(vec![(cms(), Filter::default())]));
        Self { replayer: Replayer::new(journal.clone(), routes), journal, clock }
    }

    async fn give_up(&self, number: usize) {
        self.journal.append(&envelope_of(event_body(number), self.clock.now()), &[cms()]).await.unwrap();
        for claim in self.journal.claim(&cms(), 9, Duration::from_secs(60)).await.unwrap().claims {
            let outcome = vodrelay_core::Outcome::DeadLetter("410 gone".to_owned());
            let reached_at = self.clock.now();
            let settled = Settled { token: claim.token, outcome, attempt: None, reached_at };
            self.journal.settle(&[settled]).await.unwrap();
        }
    }

    /// An event that an older parser could not read.
    async fn keep_unreadable(&self, number: usize) -> EventId {
        let Envelope { source, body, received_at, labels, .. } =
            envelope_of(event_body(number), self.clock.now());
        let id = EventId::of_raw(&body);
        let arrival = Arrival { source, body, received_at, labels, trace: None };
        let envelope = Envelope::new(arrival, id, Err("an older parser".to_owned()));
        self.journal.append(&envelope, &[]).await.unwrap();
        id
    }

    /// Asks for step after step of two; says what all of them did together, and how many there were.
    async fn replay(&self, request: Request) -> (Outcome, usize) {
        let mut request = Request { limit: Limit::try_from(2).ok(), ..request };
        let (mut total, mut steps) = (Outcome::default(), 0);
        loop {
            let step = self.replayer.step(&request).await.unwrap();
            total.done.again += step.done.again;
            total.done.added += step.done.added;
            total.done.read += step.done.read;
            total.looked_at += step.looked_at;
            total.items.extend(step.items);
            (request.after, steps) = (step.next, steps + 1);
            if request.after.is_none() {
                return (total, steps);
            }
        }
    }

    async fn pending(&self) -> u64 {
        self.journal.backlogs().await.unwrap().iter().map(|backlog| backlog.pending).sum()
    }
}

#[tokio::test]
async fn dead_letters_go_again_in_steps_and_what_can_be_read_now_goes_with_them() {
    let bench = Bench::new();
    for number in 1..=3 {
        bench.give_up(number).await;
    }
    let unreadable = bench.keep_unreadable(4).await;
    let dry = Request { dry_run: true, ..Request::new(What::DeadLetters) };
    let (told, steps) = bench.replay(dry).await;
    assert_eq!((told.done.again, told.done.added, told.done.read, steps), (3, 1, 1, 2));
    assert_eq!((told.looked_at, bench.pending().await), (4, 0), "a dry run changes nothing");

    let (done, _) = bench.replay(Request::new(What::DeadLetters)).await;
    assert_eq!((&done.done, &done.items), (&told.done, &told.items), "what was told is what is done");
    assert_eq!(bench.pending().await, 4);
    assert!(done.items.iter().any(|item| item.event == unreadable), "under its own id");
    let (again, _) = bench.replay(Request::new(What::DeadLetters)).await;
    assert_eq!((again.done, bench.pending().await), (Outcome::default().done, 4), "nothing twice");
}

#[tokio::test]
async fn events_that_are_named_and_no_others() {
    let bench = Bench::new();
    for number in 1..=3 {
        bench.give_up(number).await;
    }
    let named = |number| envelope_of(event_body(number), bench.clock.now()).id;
    let filter = LetterFilter { events: vec![named(3), named(1), named(9)], ..LetterFilter::default() };
    let (done, _) = bench.replay(Request { filter, ..Request::new(What::Events) }).await;
    assert_eq!((done.done.again, done.looked_at), (2, 2), "one of them is not in the journal");
    let left = Ledger::dead_letters(bench.journal.as_ref(), &LetterFilter::default(), None, 9).await.unwrap();
    assert_eq!(left.items.iter().map(|letter| letter.event).collect::<Vec<_>>(), [named(2)]);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let bench = Bench::new();
    let check = async |request: Request, says: &str| match bench.replayer.step(&request).await {
        Err(ReplayError::Journal(error)) => panic!("{request:?}: {error}"),
        Err(error) => assert!(error.to_string().contains(says), "{error}"),
        Ok(done) => panic!("{request:?}: {done:?}"),
    };
    let of = |sink: &str| LetterFilter { sink: SinkName::new(sink).ok(), ..LetterFilter::default() };
    check(Request::new(What::Events), "no event is named").await;
    check(Request::new(What::Sink), "no sink is named").await;
    check(Request { filter: of("gone"), ..Request::new(What::Sink) }, "sink gone is not configured").await;
    let filter = LetterFilter { reason: Some("410".to_owned()), ..LetterFilter::default() };
    check(Request { filter, ..Request::new(What::Unrouted) }, "dead letters only").await;
}

#[tokio::test]
async fn what_came_by_two_sources_goes_to_whoever_wants_it_from_one_of_them() {
    let bench = Bench::new();
    let source = |name| SourceName::callback(&Name::new(name).unwrap());
    let labels = |team: &str| BTreeMap::from([("team".to_owned(), team.to_owned())]);
    for (name, team) in [("first", "a"), ("second", "then"), ("gone", "c")] {
        let Envelope { id, received_at, body, .. } = envelope_of(event_body(1), bench.clock.now());
        let event = vod_event::read(&body).unwrap().into_event();
        let arrival =
            Arrival { source: source(name), body, received_at, labels: Arc::new(labels(team)), trace: None };
        bench.journal.append(&Envelope::new(arrival, id, Ok(event)), &[]).await.unwrap();
    }
    let sinks = async |filters: &[(&str, &str)]| {
        let filters = filters.iter().map(|(name, filter)| {
            (SinkName::new(name).unwrap(), serde_json::from_str::<Filter>(filter).unwrap())
        });
        // The second has other labels today than it had then, and the third is not configured any more.
        let today = [(source("first"), labels("today")), (source("second"), labels("b"))];
        let routes = Arc::new(Routes::new(filters.collect()).with_labels(today.into()));
        let request = Request { dry_run: true, ..Request::new(What::Unrouted) };
        let step = Replayer::new(bench.journal.clone(), routes).step(&request).await.unwrap();
        let sinks: Vec<String> =
            step.items.iter().flat_map(|item| &item.sink).map(ToString::to_string).collect();
        sinks.join(" ")
    };
    let a = ("of_a", r#"{"labels": {"team": "a"}}"#);
    let b = ("of_b", r#"{"labels": {"team": "b"}}"#);
    let rest = ("rest", r#"{"unmatched": true}"#);
    assert_eq!(sinks(&[a, b, rest]).await, "of_a of_b");
    assert_eq!(sinks(&[b, rest]).await, "of_b");
    assert_eq!(sinks(&[("then", r#"{"labels": {"team": "then"}}"#), rest]).await, "rest");
    assert_eq!(sinks(&[("c", r#"{"labels": {"team": "c"}}"#)]).await, "");
    assert_eq!(sinks(&[("by_name", r#"{"sources": "callbacks.gone"}"#)]).await, "by_name");
    assert_eq!(sinks(&[("both", r#"{"sources": "callbacks.first", "labels": {"team": "b"}}"#)]).await, "");
}
