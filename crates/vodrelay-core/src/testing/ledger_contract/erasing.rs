//! What every ledger must do with events that somebody wants gone.

use jiff::Timestamp;
use vod_event::EventId;

use super::super::journal_contract::{Bench, LEASE, name};
use super::in_every_state;
use crate::clock::Clock;
use crate::forget::Video;
use crate::journal::{Appended, Journal, Outcome};
use crate::ledger::{Erased, EventFilter, Ledger};

impl<J: Journal + Ledger> Bench<J> {
    async fn of_video(&self, id: &str, received_before: Timestamp) -> Vec<EventId> {
        let video = Video { id: id.to_owned(), received_before };
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = self.journal.events_of_video(&video, after).await;
            let page = page.expect("a page of a healthy journal");
            found.extend(page.items);
            after = page.next;
            if after.is_none() {
                return found;
            }
        }
    }
}

pub(super) async fn what_was_erased_leaves_its_id<J: Journal + Ledger>(bench: &Bench<J>) {
    in_every_state(bench, bench.clock.now() + LEASE).await;
    bench.append(5, &[]).await;
    let unreadable = bench.append_unreadable(6).await;
    bench.clock.advance(LEASE);
    let (first, sixth, now) = (format!("{:032x}", 1), format!("{:032x}", 6), bench.clock.now());
    assert_eq!(bench.of_video(&first, now).await, [bench.id(1)]);
    assert_eq!(bench.of_video(&sixth, now).await, [unreadable], "its bytes have the id");
    assert_eq!(bench.of_video("another", now).await, []);
    assert_eq!(bench.of_video(&first, now - LEASE).await, [], "it was not there yet");

    let all: Vec<EventId> = (1..=5).map(|number| bench.id(number)).chain([unreadable]).collect();
    let some = all.iter().copied().filter(|id| *id != bench.id(4)).collect();
    assert_eq!(bench.journal.erase(some).await, Ok(Erased { erased: 5, in_hand: 0 }));
    assert_eq!(bench.counts("old").await, (1, 0, 0), "the one that was not named is there");
    assert_eq!(bench.found(&EventFilter::default()).await, [bench.id(4)]);
    let totals = bench.journal.totals().await.expect("a healthy journal");
    assert_eq!((totals.events, totals.unrouted, totals.unreadable), (1, 0, 0));
    assert!(bench.journal.event(bench.id(1)).await.expect("a healthy journal").is_none());
    assert_eq!(bench.journal.has_events(vec![bench.id(1), bench.id(9)]).await, Ok(vec![true, false]));
    assert_eq!(bench.journal.erased_at(bench.id(1)).await, Ok(Some(bench.clock.now())));
    assert_eq!(bench.journal.erased_at(bench.id(4)).await, Ok(None));

    let again = bench.event(1);
    assert_eq!(bench.journal.append(&again, &[name("old")]).await, Ok(Appended::Duplicate));
    assert_eq!(bench.counts("old").await, (1, 0, 0), "a repeat brings nothing back");
    assert_eq!(bench.journal.erase(vec![bench.id(1), bench.id(9)]).await, Ok(Erased::default()));
    assert_eq!(bench.claimed("old", 9).await, [4]);
}

pub(super) async fn what_is_in_hand_is_not_erased<J: Journal + Ledger>(bench: &Bench<J>) {
    bench.append(1, &["a", "b"]).await;
    let claims = bench.claim("a", 1).await;
    let id = bench.id(1);
    assert_eq!(bench.journal.erase(vec![id]).await, Ok(Erased { erased: 0, in_hand: 1 }));
    assert_eq!((bench.counts("a").await, bench.counts("b").await), ((1, 0, 0), (0, 1, 0)));
    assert!(bench.claim("b", 1).await.is_empty(), "nobody begins with it any more");
    bench.settle(claims.first().expect("a claim"), Outcome::RetryAt(bench.clock.now())).await;
    assert_eq!(bench.journal.erase(vec![id]).await, Ok(Erased { erased: 1, in_hand: 0 }));
    assert_eq!((bench.counts("a").await, bench.counts("b").await), ((0, 0, 0), (0, 0, 0)));
    assert!(bench.claim("a", 1).await.is_empty());
}
