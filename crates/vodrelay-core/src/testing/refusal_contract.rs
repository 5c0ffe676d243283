//! What every ledger must do with refusals, and what it must remember of the relay. Each implementation runs this
//! suite; `make` gives it a new, empty journal each time.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::clock::ManualClock;
use super::sample::{envelope_of, event_body};
use crate::clock::Clock;
use crate::history::{Trouble, TroubleKind};
use crate::journal::Journal;
use crate::ledger::Ledger;
use crate::name::{Name, SourceName};
use crate::refusal::{Refusal, RefusalCause, RefusalFilter};

/// Runs the whole contract.
pub async fn refusal_contract<J: Journal + Ledger>(make: impl AsyncFn(Arc<ManualClock>) -> J) {
    let fresh = async || {
        let clock = Arc::new(ManualClock::default());
        let journal = make(Arc::clone(&clock)).await;
        Bench { journal, clock }
    };
    a_refusal_comes_back_as_it_was_kept(&fresh().await).await;
    refusals_are_listed_by_pages_the_newest_first(&fresh().await).await;
    a_filter_lets_through_what_it_says(&fresh().await).await;
    the_next_refusals_come_in_the_order_of_keeping(&fresh().await).await;
    a_removed_refusal_is_gone_and_its_id_is_not_given_out_again(&fresh().await).await;
    events_are_known_by_their_ids(&fresh().await).await;
    troubles_that_are_close_are_one(&fresh().await).await;
    a_trouble_knows_what_became_of_its_refusals(&fresh().await).await;
    the_present_life_is_told(&fresh().await).await;
}

struct Bench<J> {
    journal: J,
    clock: Arc<ManualClock>,
}

impl<J: Journal + Ledger> Bench<J> {
    fn refusal(&self, callback: &str, cause: RefusalCause, address: &str) -> Refusal {
        Refusal {
            source: source(callback),
            cause,
            detail: "in words".to_owned(),
            received_at: self.clock.now(),
            address: address.to_owned(),
            timestamp: Some("1700000000".to_owned()),
            signature: Some("ff".repeat(16)),
            body: Bytes::from_static(b"\x00body\xff"),
            cut_short: cause == RefusalCause::Missing,
        }
    }

    /// Keeps so many refusals of the callback, one a second.
    async fn refuse(&self, count: usize, callback: &str) {
        for _ in 0..count {
            let refusal = self.refusal(callback, RefusalCause::Mismatch, "192.0.2.1");
            self.journal.refuse(vec![refusal]).await.expect("a healthy journal keeps it");
            self.clock.advance(Duration::from_secs(1));
        }
    }

    async fn list(&self, filter: &RefusalFilter, before: Option<u64>, limit: usize) -> Vec<u64> {
        let listed = self.journal.list_refusals(filter.clone(), before, limit).await;
        listed.expect("a healthy journal lists them").iter().map(|record| record.id).collect()
    }

    async fn next(&self, callback: &str, after: u64, limit: usize) -> Vec<u64> {
        let next = self.journal.next_refusals(source(callback), after, limit).await;
        next.expect("a healthy journal hands them out").into_iter().map(|(id, _)| id).collect()
    }
}

fn source(callback: &str) -> SourceName {
    SourceName::callback(&Name::new(callback).expect("a good name"))
}

async fn a_refusal_comes_back_as_it_was_kept<J: Journal + Ledger>(bench: &Bench<J>) {
    let kept = [
        bench.refusal("main", RefusalCause::Missing, "192.0.2.1"),
        Refusal { timestamp: None, signature: None, ..bench.refusal("main", RefusalCause::Stale, "::1") },
    ];
    bench.journal.refuse(kept.to_vec()).await.expect("a healthy journal keeps them");
    let listed = bench.journal.list_refusals(RefusalFilter::default(), None, 9).await.expect("a list");
    assert_eq!(listed.len(), 2);
    for (record, kept) in listed.iter().rev().zip(&kept) {
        assert_eq!(*record, kept.record(record.id));
        let found = bench.journal.refusal(record.id).await.expect("it is read").expect("it is there");
        // A refusal has no equality of its own; that it prints alike says the same.
        assert_eq!(format!("{found:?}"), format!("{kept:?}"));
    }
    assert!(bench.journal.refusal(99).await.expect("it is looked for").is_none());
    assert_eq!(bench.journal.totals().await.expect("totals").refusals, 2);
}

async fn refusals_are_listed_by_pages_the_newest_first<J: Journal + Ledger>(bench: &Bench<J>) {
    bench.refuse(5, "main").await;
    let all = RefusalFilter::default();
    let first = bench.list(&all, None, 2).await;
    let second = bench.list(&all, first.last().copied(), 2).await;
    let third = bench.list(&all, second.last().copied(), 2).await;
    let ids: Vec<u64> = [first, second, third].concat();
    assert_eq!(ids.len(), 5);
    assert!(ids.is_sorted_by(|newer, older| newer > older), "{ids:?}");
    assert!(bench.list(&all, ids.last().copied(), 2).await.is_empty());
}

async fn a_filter_lets_through_what_it_says<J: Journal + Ledger>(bench: &Bench<J>) {
    let start = bench.clock.now();
    for (callback, cause, address) in [
        ("main", RefusalCause::Mismatch, "192.0.2.1"),
        ("main", RefusalCause::Stale, "192.0.2.2"),
        ("other", RefusalCause::Mismatch, "192.0.2.1"),
    ] {
        bench.journal.refuse(vec![bench.refusal(callback, cause, address)]).await.expect("kept");
        bench.clock.advance(Duration::from_secs(10));
    }
    let all = bench.list(&RefusalFilter::default(), None, 9).await;
    let check = async |filter: RefusalFilter, places: &[usize]| {
        let expected: Vec<u64> =
            places.iter().filter_map(|place| all.iter().rev().nth(*place)).copied().collect();
        assert_eq!(bench.list(&filter, None, 9).await, expected, "{filter:?}");
    };
    let any = RefusalFilter::default;
    check(RefusalFilter { source: Some(source("main")), ..any() }, &[1, 0]).await;
    check(RefusalFilter { cause: Some(RefusalCause::Mismatch), ..any() }, &[2, 0]).await;
    check(RefusalFilter { address: Some("192.0.2.2".to_owned()), ..any() }, &[1]).await;
    let second = Some(start + Duration::from_secs(10));
    check(RefusalFilter { since: second, ..any() }, &[2, 1]).await;
    check(RefusalFilter { until: second, ..any() }, &[0]).await;
    let both = RefusalFilter { source: Some(source("other")), cause: Some(RefusalCause::Stale), ..any() };
    check(both, &[]).await;
}

async fn the_next_refusals_come_in_the_order_of_keeping<J: Journal + Ledger>(bench: &Bench<J>) {
    bench.refuse(2, "main").await;
    bench.refuse(1, "other").await;
    bench.refuse(2, "main").await;
    let first = bench.next("main", 0, 3).await;
    assert_eq!(first.len(), 3);
    let rest = bench.next("main", first.last().copied().unwrap_or(0), 3).await;
    let ids = [first, rest].concat();
    assert_eq!(ids.len(), 4, "those of another callback are not among them");
    assert!(ids.is_sorted(), "{ids:?}");
    assert!(bench.next("nobody", 0, 3).await.is_empty());
}

async fn a_removed_refusal_is_gone_and_its_id_is_not_given_out_again<J: Journal + Ledger>(bench: &Bench<J>) {
    bench.refuse(3, "main").await;
    let ids = bench.list(&RefusalFilter::default(), None, 9).await;
    let newest: Vec<u64> = ids.iter().take(2).copied().collect();
    assert_eq!(bench.journal.remove_refusals(newest.clone()).await, Ok(2));
    assert_eq!(bench.journal.remove_refusals(newest.clone()).await, Ok(0), "they are gone");
    assert_eq!(bench.journal.totals().await.expect("totals").refusals, 1);
    bench.refuse(1, "main").await;
    let left = bench.list(&RefusalFilter::default(), None, 9).await;
    assert_eq!(left.len(), 2);
    assert!(left.iter().all(|id| !newest.contains(id)), "{left:?} has none of {newest:?}");
}

async fn events_are_known_by_their_ids<J: Journal + Ledger>(bench: &Bench<J>) {
    let envelope = |number| envelope_of(event_body(number), bench.clock.now());
    bench.journal.append(&envelope(1), &[]).await.expect("an append");
    bench.journal.append(&envelope(2), &[]).await.expect("an append");
    let ids = [2, 3, 1].map(|number| envelope(number).id).to_vec();
    assert_eq!(bench.journal.has_events(ids).await, Ok(vec![true, false, true]));
}

async fn troubles_that_are_close_are_one<J: Journal + Ledger>(bench: &Bench<J>) {
    let start = bench.clock.now();
    let note = async |kind, callback, seconds| {
        let trouble = Trouble::once(kind, source(callback), start + Duration::from_secs(seconds));
        bench.journal.note_troubles(vec![trouble]).await.expect("a healthy journal notes it");
    };
    for (kind, callback, seconds) in [
        (TroubleKind::Full, "main", 0),
        (TroubleKind::Full, "main", 300),
        (TroubleKind::Full, "main", 10),
        (TroubleKind::Full, "other", 5),
        (TroubleKind::Busy, "main", 7),
        (TroubleKind::Full, "main", 601),
    ] {
        note(kind, callback, seconds).await;
    }
    let check = async |since, expect: &[(TroubleKind, &str, u64, u64, u64)]| {
        let since = start + Duration::from_secs(since);
        let troubles = bench.journal.history(since).await.expect("a history").troubles;
        let span = |at: jiff::Timestamp| at.duration_since(start).as_secs().unsigned_abs();
        let found: Vec<_> = troubles
            .iter()
            .map(|trouble| {
                (
                    trouble.kind,
                    trouble.source.clone(),
                    span(trouble.first_at),
                    span(trouble.last_at),
                    trouble.count,
                )
            })
            .collect();
        let expect: Vec<_> = expect
            .iter()
            .map(|(kind, of, from, to, count)| (*kind, source(of), *from, *to, *count))
            .collect();
        assert_eq!(found, expect);
    };
    check(
        0,
        &[
            (TroubleKind::Full, "main", 0, 300, 3),
            (TroubleKind::Full, "other", 5, 5, 1),
            (TroubleKind::Busy, "main", 7, 7, 1),
            (TroubleKind::Full, "main", 601, 601, 1),
        ],
    )
    .await;
    check(8, &[(TroubleKind::Full, "main", 0, 300, 3), (TroubleKind::Full, "main", 601, 601, 1)]).await;
}

async fn a_trouble_knows_what_became_of_its_refusals<J: Journal + Ledger>(bench: &Bench<J>) {
    let since = bench.clock.now();
    let kind = TroubleKind::Refused(RefusalCause::Mismatch);
    // Five were turned away; four of them were kept.
    for _ in 0..5 {
        let trouble = Trouble::once(kind, source("main"), bench.clock.now());
        bench.journal.note_troubles(vec![trouble]).await.expect("noted");
    }
    bench.refuse(4, "main").await;
    let ids = bench.list(&RefusalFilter::default(), None, 3).await;
    bench.journal.remove_refusals(ids).await.expect("removed");
    let troubles = bench.journal.history(since).await.expect("a history").troubles;
    let figures: Vec<_> =
        troubles.iter().map(|trouble| (trouble.kind, trouble.count, trouble.kept, trouble.settled)).collect();
    assert_eq!(figures, [(kind, 5, 1, 3)]);
}

async fn the_present_life_is_told<J: Journal + Ledger>(bench: &Bench<J>) {
    let now = bench.clock.now();
    let history = bench.journal.history(now).await.expect("a history");
    assert_eq!(history.known_since, Some(now));
    let lives: Vec<_> = history.lives.iter().map(|life| (life.started_at, life.end)).collect();
    assert_eq!(lives, [(now, crate::history::LifeEnd::Open)]);
}
