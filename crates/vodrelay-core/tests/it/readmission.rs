//! Refusals that are judged again: what is genuine comes in once, what is not stays, and nothing is lost on the way.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use vodrelay_core::judge::{Judgement, Match, Resemblance};
use vodrelay_core::readmission::{ReadmissionError, Summary, Terms};
use vodrelay_core::routing::{Filter, OneOrMany};
use vodrelay_core::testing::{ManualClock, MemoryJournal, MockJournal, MockJudge, event_body};
use vodrelay_core::{
    Appended, Clock, Journal, JournalError, Labels, Ledger, Name, Readmission, Refusal, RefusalCause,
    RefusalFilter, Routes, SourceName,
};

struct Bench {
    readmission: Readmission,
    journal: Arc<MemoryJournal>,
    received_at: Timestamp,
}

fn main_callback() -> Name {
    Name::new("main").unwrap()
}

/// Judges by what the signature says, which stands in for a proof here.
fn judge() -> MockJudge {
    let mut judge = MockJudge::new();
    judge.expect_callbacks().returning(|| vec![main_callback()]);
    judge.expect_judge().returning(|refusal| {
        let labels = Arc::new(Labels::from([("region".to_owned(), "today".to_owned())]));
        let found = |off_by_seconds| Match { key: "new".to_owned(), off_by_seconds, labels };
        match refusal.signature.as_deref() {
            Some("genuine") => Judgement::Proven(found(1)),
            Some("late") => Judgement::Stale(found(-3_600)),
            Some("early") => Judgement::Stale(found(900)),
            Some(_) => Judgement::Unproven(RefusalCause::Mismatch, "no key fits".to_owned()),
            None => Judgement::Unproven(RefusalCause::Missing, "no proof".to_owned()),
        }
    });
    judge.expect_find_near_miss().returning(|_| Some(Resemblance::Callback(Name::new("other").unwrap())));
    judge
}

impl Bench {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::default());
        let journal = Arc::new(MemoryJournal::new(clock.clone()));
        let as_journal: Arc<dyn Journal> = journal.clone();
        let routes = Arc::new(Routes::default());
        let readmission = Readmission::new(as_journal, routes, journal.clone(), Arc::new(judge()));
        Self { readmission, journal, received_at: clock.now() - std::time::Duration::from_secs(86_400) }
    }

    async fn refuse(&self, signature: Option<&str>, body: impl Into<Bytes>) {
        self.keep("main", signature, body, false).await;
    }

    async fn keep(&self, callback: &str, signature: Option<&str>, body: impl Into<Bytes>, cut_short: bool) {
        let refusal = Refusal {
            source: SourceName::callback(&Name::new(callback).unwrap()),
            cause: RefusalCause::Mismatch,
            detail: "then".to_owned(),
            received_at: self.received_at,
            address: "192.0.2.1".to_owned(),
            timestamp: Some("1".to_owned()),
            signature: signature.map(str::to_owned),
            body: body.into(),
            cut_short,
        };
        self.journal.refuse(vec![refusal]).await.unwrap();
    }

    async fn accept(&self, stale: bool, dry_run: bool) -> Summary {
        let terms = Terms { stale, dry_run, ..Terms::new(main_callback()) };
        self.readmission.accept(&terms).await.unwrap()
    }

    /// What a dry run says is what comes true.
    async fn accept_as_foretold(&self, stale: bool) -> Summary {
        let (events, refusals) = (self.journal.events().len(), self.journal.refusals().len());
        let foretold = self.accept(stale, true).await;
        assert_eq!((self.journal.events().len(), self.journal.refusals().len()), (events, refusals));
        let summary = self.accept(stale, false).await;
        assert_eq!(foretold, Summary { dry_run: true, ..summary.clone() });
        summary
    }
}

#[tokio::test]
async fn another_configuration_brings_its_callbacks_together_with_its_routes() {
    let bench = Bench::new();
    bench.refuse(Some("genuine"), event_body(1)).await;
    let cms = Name::new("cms").unwrap();
    let wanted = Labels::from([("region".to_owned(), "today".to_owned())]);
    let labels = wanted.into_iter().map(|(name, value)| (name, OneOrMany(vec![value]))).collect();
    let routes = Routes::new(vec![(cms.clone(), Filter { labels, ..Filter::default() })]);
    bench.readmission.change(Arc::new(routes), Arc::new(judge()));
    assert_eq!(bench.accept(false, false).await.accepted, 1);
    let backlogs = bench.journal.backlogs().await.unwrap();
    let waiting: Vec<_> = backlogs.iter().map(|backlog| (&backlog.sink, backlog.pending)).collect();
    assert_eq!(waiting, [(&cms, 1)]);

    let mut none = MockJudge::new();
    none.expect_callbacks().returning(Vec::new);
    bench.readmission.change(Arc::new(Routes::default()), Arc::new(none));
    let terms = Terms { dry_run: true, ..Terms::new(main_callback()) };
    let refused = bench.readmission.accept(&terms).await;
    assert!(matches!(refused, Err(ReadmissionError::UnknownCallback { .. })), "{refused:?}");
}

#[tokio::test]
async fn what_is_genuine_comes_in_and_the_rest_stays() {
    let bench = Bench::new();
    for _ in 0..3 {
        bench.refuse(Some("genuine"), event_body(1)).await;
        bench.refuse(Some("forged"), event_body(7)).await;
    }
    bench.refuse(None, event_body(8)).await;
    bench.refuse(Some("late"), event_body(2)).await;
    bench.refuse(Some("early"), event_body(3)).await;
    bench.keep("main", Some("genuine"), event_body(4).slice(..40), true).await;
    bench.keep("other", Some("genuine"), event_body(5), false).await;
    let summary = bench.accept_as_foretold(false).await;
    assert_eq!((summary.accepted, summary.merged), (1, 2), "three attempts are one event");
    assert_eq!(
        summary.left,
        [("cut_short", 1), ("mismatch", 3), ("missing", 1), ("stale", 2)].into_iter().collect()
    );
    assert_eq!(summary.stale_off_by_seconds, Some((-3_600, 900)));
    let events = bench.journal.events();
    let [event] = &events[..] else { panic!("{events:?}") };
    assert_eq!(event.body, event_body(1));
    assert_eq!(event.received_at, bench.received_at, "the time of receipt is that of then");
    assert_eq!(event.source.as_str(), "callbacks.main");
    assert_eq!(event.labels.get("region").map(String::as_str), Some("today"));
    assert_eq!(bench.journal.refusals().len(), 8);

    let summary = bench.accept_as_foretold(true).await;
    assert_eq!((summary.accepted, summary.merged), (2, 0));
    assert_eq!(bench.accept_as_foretold(true).await.accepted, 0, "and nothing is left to take");
}

#[tokio::test]
async fn only_those_are_taken_that_are_meant() {
    let bench = Bench::new();
    bench.refuse(Some("genuine"), event_body(1)).await;
    bench.refuse(Some("late"), event_body(2)).await;
    bench.refuse(Some("early"), event_body(3)).await;
    let check = async |wanted: RefusalFilter, off_by, accepted: u64, left: u64| {
        let stale = true;
        let terms = Terms { wanted, stale, off_by, dry_run: true, ..Terms::new(main_callback()) };
        let summary = bench.readmission.accept(&terms).await.unwrap();
        assert_eq!((summary.accepted, summary.left.values().sum()), (accepted, left), "{terms:?}");
        summary.stale_off_by_seconds
    };
    let all = RefusalFilter::default;
    check(all(), None, 3, 0).await;
    let off_by = check(all(), Some(-3_700..=-3_500), 2, 1).await;
    assert_eq!(off_by, Some((-3_600, 900)), "all that are stale are told of");
    check(all(), Some(-3_600..=-3_600), 2, 1).await;
    check(all(), Some(-3_599..=899), 1, 2).await;
    let then = Some(bench.received_at);
    check(RefusalFilter { since: then, ..all() }, None, 3, 0).await;
    check(RefusalFilter { until: then, ..all() }, None, 0, 0).await;
    check(RefusalFilter { address: Some("192.0.2.2".to_owned()), ..all() }, None, 0, 0).await;
    check(RefusalFilter { cause: Some(RefusalCause::Stale), ..all() }, None, 0, 0).await;
    check(RefusalFilter { cause: Some(RefusalCause::Mismatch), ..all() }, None, 3, 0).await;
    assert_eq!(bench.journal.refusals().len(), 3);
}

#[tokio::test]
async fn an_event_that_came_through_meanwhile_is_merged() {
    let bench = Bench::new();
    bench.refuse(Some("genuine"), event_body(1)).await;
    bench.accept(false, false).await;
    bench.refuse(Some("genuine"), event_body(1)).await;
    let summary = bench.accept_as_foretold(false).await;
    assert_eq!((summary.accepted, summary.merged), (0, 1));
    assert_eq!(bench.journal.events().len(), 1);
}

#[tokio::test]
async fn many_go_by_pages() {
    let bench = Bench::new();
    for number in 0..600 {
        let signature = if number % 3 == 0 { "forged" } else { "genuine" };
        bench.refuse(Some(signature), event_body(number)).await;
    }
    let summary = bench.accept_as_foretold(false).await;
    assert_eq!((summary.accepted, summary.left["mismatch"]), (400, 200));
    assert_eq!(bench.journal.refusals().len(), 200);
    let cause = Some(RefusalCause::Mismatch);
    let filter = RefusalFilter { cause, ..RefusalFilter::default() };
    assert_eq!(bench.readmission.purge(&filter, true).await, Ok(200));
    assert_eq!(bench.journal.refusals().len(), 200);
    assert_eq!(bench.readmission.purge(&filter, false).await, Ok(200));
    assert_eq!(bench.journal.refusals().len(), 0);
}

#[tokio::test]
async fn a_journal_that_says_no_costs_no_refusal() {
    let bench = Bench::new();
    bench.refuse(Some("genuine"), event_body(1)).await;
    let full = JournalError::Full("x".to_owned());
    bench.journal.fail_with(Some(full.clone()));
    let terms = Terms::new(main_callback());
    assert_eq!(bench.readmission.accept(&terms).await, Err(ReadmissionError::Journal(full)));
    bench.journal.fail_with(None);
    assert_eq!(bench.accept(false, false).await.accepted, 1);
    let terms = Terms { callback: Name::new("nobody").unwrap(), ..terms };
    let error = bench.readmission.accept(&terms).await.unwrap_err();
    assert!(error.to_string().contains("it has: main"), "{error}");
}

#[tokio::test]
async fn a_refusal_goes_only_after_its_event_is_durable() {
    let mut bench = Bench::new();
    for number in 0..3 {
        bench.refuse(Some("genuine"), event_body(number)).await;
    }
    let mut journal = MockJournal::new();
    journal.expect_append().returning(|envelope, _| match envelope.body == event_body(1) {
        true => Err(JournalError::Failed("this one".to_owned())),
        false => Ok(Appended::New),
    });
    let routes = Arc::new(Routes::default());
    bench.readmission = Readmission::new(Arc::new(journal), routes, bench.journal.clone(), Arc::new(judge()));
    let terms = Terms::new(main_callback());
    let failed = JournalError::Failed("this one".to_owned());
    assert_eq!(bench.readmission.accept(&terms).await, Err(ReadmissionError::Journal(failed)));
    let kept = bench.journal.refusals();
    assert_eq!(kept.iter().map(|refusal| refusal.body.clone()).collect::<Vec<_>>(), [event_body(1)]);
}

#[tokio::test]
async fn one_is_explained_without_its_signature() {
    let bench = Bench::new();
    let explain = async |id| bench.readmission.explain(id).await.unwrap().unwrap();
    bench.refuse(Some("forged"), event_body(1)).await;
    bench.refuse(Some("late"), &b"no event"[..]).await;
    let forged = explain(1).await;
    assert_eq!((forged.today.judgement, forged.taken, forged.taken_if_stale), ("mismatch", false, false));
    assert_eq!(forged.today.resembles.as_deref(), Some("the callback other, as it is configured"));
    let event: serde_json::Value = serde_json::from_str(forged.event.as_ref().unwrap().get()).unwrap();
    assert_eq!(event["video_id"], format!("{:032x}", 1));
    assert!(!serde_json::to_string(&forged).unwrap().contains("forged"));
    let late = explain(2).await;
    assert_eq!((late.taken, late.taken_if_stale, late.known), (false, true, false));
    assert_eq!((late.today.key.as_deref(), late.today.off_by_seconds), (Some("new"), Some(-3_600)));
    assert!(late.event.is_none() && late.unreadable.is_some());
    assert!(bench.readmission.explain(3).await.unwrap().is_none());
}

#[tokio::test]
async fn one_is_explained_with_the_numbers_that_it_came_with() {
    let bench = Bench::new();
    let body = r#"{"EventType":"X","Exponent":1.50E+400,"Long":123456789012345678901234567890}"#;
    bench.refuse(Some("genuine"), body.as_bytes()).await;
    let found = bench.readmission.explain(1).await.unwrap().unwrap();
    let expect = r#""fields":{"Exponent":1.50E+400,"Long":123456789012345678901234567890}"#;
    assert!(found.event.unwrap().get().contains(expect), "{:?}", found.unreadable);
}
