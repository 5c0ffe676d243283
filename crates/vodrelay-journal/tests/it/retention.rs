//! What is removed, and what never is.

use std::time::Duration;

use bytes::Bytes;
use vodrelay_core::config::Span;
use vodrelay_core::testing::envelope_of;
use vodrelay_core::{Appended, Clock, Journal, Ledger, Outcome};
use vodrelay_journal::{Config, Keep, RefusedBounds};

use crate::bench::{Bench, DAY, config};
use crate::refusals::refusal;

#[tokio::test]
async fn delivered_events_go_counted_from_the_settlement() {
    let bench = Bench::new();
    bench.append(1, &["a"]).await;
    bench.clock.advance(DAY * 20);
    for claim in &bench.claim("a", 1).await {
        bench.settle(claim, Outcome::Delivered).await;
    }
    bench.clock.advance(DAY * 29);
    bench.tidy().await;
    assert_eq!(bench.journal.totals().await.unwrap().events, 1);
    bench.clock.advance(DAY + Duration::from_secs(1));
    bench.tidy().await;
    assert_eq!(bench.journal.totals().await.unwrap().events, 0);
    assert_eq!(bench.backlog("a").await.delivered, 0);
    assert_eq!(bench.append(1, &["a"]).await, Appended::New, "it is forgotten");
}

#[tokio::test]
async fn pending_and_dead_letters_stay() {
    let bench = Bench::new();
    bench.append(1, &["a", "b"]).await;
    bench.append(2, &["a"]).await;
    bench
        .journal
        .append(&envelope_of(Bytes::from_static(b"nonsense"), bench.clock.now()), &[])
        .await
        .unwrap();
    bench.append(4, &[]).await;
    let claims = bench.claim("a", 9).await;
    bench.settle(&claims[0], Outcome::Delivered).await;
    bench.settle(&claims[1], Outcome::DeadLetter("gone".to_owned())).await;
    bench.clock.advance(DAY * 400);
    bench.tidy().await;
    let totals = bench.journal.totals().await.unwrap();
    assert_eq!((totals.events, totals.unrouted, totals.unreadable), (3, 0, 1), "only the unrouted one went");
}

#[tokio::test]
async fn dead_letters_go_by_their_own_setting() {
    let keep = Keep::For(Span(DAY * 90));
    let bench = Bench::with(Config { dead_letter_retention: keep, ..config() }, RefusedBounds::default());
    bench.append(1, &["a"]).await;
    for claim in &bench.claim("a", 9).await {
        bench.settle(claim, Outcome::DeadLetter("gone".to_owned())).await;
    }
    bench.clock.advance(DAY * 89);
    bench.tidy().await;
    assert_eq!(bench.backlog("a").await.dead_letters, 1);
    bench.clock.advance(DAY * 2);
    bench.tidy().await;
    assert_eq!(bench.backlog("a").await.dead_letters, 0);
}

#[tokio::test]
async fn a_number_is_not_given_out_twice() {
    let bench = Bench::new();
    bench.deliver(1).await;
    bench.clock.advance(DAY * 31);
    bench.tidy().await;
    assert_eq!(bench.journal.totals().await.unwrap().events, 0);
    let bench = bench.restart().await;
    bench.append(2, &["a"]).await;
    assert_eq!(bench.reader().events_since(0, 9).unwrap()[0].seq, 2);
    assert_eq!(bench.claim("a", 9).await.len(), 1);
}

#[tokio::test]
async fn many_go_in_steps() {
    let bench = Bench::new();
    for number in 0..1_201 {
        bench.append(number, &[]).await;
    }
    bench.clock.advance(DAY * 31);
    bench.append(5_000, &[]).await;
    bench.tidy().await;
    let all_are_gone = async {
        while bench.journal.totals().await.unwrap().events > 1 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), all_are_gone).await.unwrap();
    assert_eq!(bench.journal.totals().await.unwrap().events, 1, "the one that is young stays");
}

#[tokio::test]
async fn what_was_purged_is_history_counted_from_the_purge() {
    let bench = Bench::new();
    bench.append(1, &["a"]).await;
    for claim in &bench.claim("a", 9).await {
        bench.settle(claim, Outcome::DeadLetter("gone".to_owned())).await;
    }
    let unreadable = envelope_of(Bytes::from_static(b"nonsense"), bench.clock.now());
    bench.journal.append(&unreadable, &[]).await.unwrap();
    bench.clock.advance(DAY * 100);
    let places = bench.dead_letters().iter().map(|letter| letter.place).collect();
    assert_eq!(bench.journal.purge(places).await, Ok(2));
    bench.clock.advance(DAY * 29);
    bench.tidy().await;
    assert_eq!(bench.journal.totals().await.unwrap().events, 2);
    bench.clock.advance(DAY + Duration::from_secs(1));
    bench.tidy().await;
    let totals = bench.journal.totals().await.unwrap();
    assert_eq!((totals.events, totals.unrouted, totals.unreadable), (0, 0, 0));
    let backlog = bench.backlog("a").await;
    assert_eq!((backlog.pending, backlog.dead_letters, backlog.delivered), (0, 0, 0));
}

#[tokio::test]
async fn a_clock_that_jumps_ahead_removes_nothing() {
    let keep = Keep::For(Span(DAY * 90));
    let bench = Bench::with(Config { dead_letter_retention: keep, ..config() }, RefusedBounds::default());
    let right = bench.clock.now();
    bench.deliver(1).await;
    bench.append(2, &["a"]).await;
    for claim in &bench.claim("a", 9).await {
        bench.settle(claim, Outcome::DeadLetter("gone".to_owned())).await;
    }
    bench.journal.refuse(vec![refusal(&bench, "192.0.2.1", 9)]).await.unwrap();
    let kept = async |bench: &Bench| {
        bench.tidy().await;
        let totals = bench.journal.totals().await.unwrap();
        (totals.events, totals.refusals)
    };
    bench.clock.set(right + DAY * 4_000);
    assert_eq!(kept(&bench).await, (2, 1), "while it runs");
    let bench = bench.restart().await;
    assert_eq!(kept(&bench).await, (2, 1), "after a restart");
    bench.clock.set(right + DAY * 8_000);
    let bench = bench.crash();
    assert_eq!(kept(&bench).await, (2, 1), "between two lives");
    bench.clock.set(right);
    let bench = bench.restart().await;
    assert_eq!(kept(&bench).await, (2, 1), "and back");
    bench.clock.advance(DAY * 8);
    assert_eq!(kept(&bench).await, (2, 0));
    bench.clock.advance(DAY * 90);
    assert_eq!(kept(&bench).await, (0, 0), "time that passes counts");
}

#[tokio::test]
async fn what_a_clock_wrote_down_that_was_behind_stays_as_long() {
    let bench = Bench::new();
    let right = bench.clock.now();
    bench.clock.set("1970-01-02T00:00:00Z".parse().unwrap());
    bench.deliver(1).await;
    bench.journal.refuse(vec![refusal(&bench, "192.0.2.1", 9)]).await.unwrap();
    bench.clock.set(right);
    bench.clock.advance(DAY * 6);
    bench.tidy().await;
    let totals = bench.journal.totals().await.unwrap();
    assert_eq!((totals.events, totals.refusals), (1, 1));
    bench.clock.advance(DAY * 25);
    bench.tidy().await;
    let totals = bench.journal.totals().await.unwrap();
    assert_eq!((totals.events, totals.refusals), (0, 0));
}
