//! Refused requests, kept within their bounds.

use std::time::Duration;

use bytes::Bytes;
use rusqlite::Connection;
use vodrelay_core::config::{ByteSize, Span};
use vodrelay_core::{Clock, Ledger, Name, Refusal, RefusalCause, RefusalFilter, SourceName};
use vodrelay_journal::RefusedBounds;

use crate::bench::{Bench, config};

fn bounds(keep: u64) -> RefusedBounds {
    RefusedBounds { keep: ByteSize(keep), max_age: Span(Duration::from_secs(3_600)) }
}

pub(crate) fn refusal(bench: &Bench, address: &str, body: usize) -> Refusal {
    Refusal {
        source: SourceName::callback(&Name::new("main").unwrap()),
        cause: RefusalCause::Mismatch,
        detail: "another key".to_owned(),
        received_at: bench.clock.now(),
        address: address.to_owned(),
        timestamp: Some("1700000000".to_owned()),
        signature: None,
        body: Bytes::from(vec![b'x'; body]),
        cut_short: false,
    }
}

/// How many refusals of each address are kept.
fn kept(bench: &Bench) -> Vec<(String, u64)> {
    let conn = Connection::open(bench.folder.path().join("journal.sqlite3")).unwrap();
    let mut statement =
        conn.prepare("SELECT address, COUNT(*) FROM refusals GROUP BY address ORDER BY address").unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

#[tokio::test]
async fn the_largest_share_goes_first() {
    let bench = Bench::with(config(), bounds(20_000));
    bench
        .journal
        .refuse(vec![refusal(&bench, "10.0.0.1", 1_000), refusal(&bench, "10.0.0.1", 1_000)])
        .await
        .unwrap();
    for _ in 0..100 {
        bench.journal.refuse(vec![refusal(&bench, "10.9.9.9", 1_000)]).await.unwrap();
    }
    let kept = kept(&bench);
    assert_eq!(kept[0], ("10.0.0.1".to_owned(), 2), "a flood does not push out others: {kept:?}");
    assert!((12..=16).contains(&kept[1].1), "{kept:?}");
    assert_eq!(bench.journal.totals().await.unwrap().refusals, kept[0].1 + kept[1].1);
}

#[tokio::test]
async fn old_ones_go() {
    let bench = Bench::with(config(), bounds(1 << 20));
    bench.journal.refuse(vec![refusal(&bench, "10.0.0.1", 10)]).await.unwrap();
    bench.clock.advance(Duration::from_secs(1_800));
    bench.journal.refuse(vec![refusal(&bench, "10.0.0.2", 10)]).await.unwrap();
    bench.clock.advance(Duration::from_secs(1_801));
    bench.tidy().await;
    assert_eq!(kept(&bench), [("10.0.0.2".to_owned(), 1)]);
}

#[tokio::test]
async fn an_id_is_not_given_out_again_after_a_restart_either() {
    let bench = Bench::with(config(), bounds(1 << 20));
    bench
        .journal
        .refuse(vec![refusal(&bench, "10.0.0.1", 10), refusal(&bench, "10.0.0.1", 10)])
        .await
        .unwrap();
    assert_eq!(bench.journal.remove_refusals(vec![1, 2]).await, Ok(2));
    let bench = bench.crash();
    bench.journal.refuse(vec![refusal(&bench, "10.0.0.1", 10)]).await.unwrap();
    let listed = bench.reader().list_refusals(&RefusalFilter::default(), None, 9).unwrap();
    assert_eq!(listed.iter().map(|record| record.id).collect::<Vec<_>>(), [3]);
}

#[tokio::test]
async fn large_bodies_come_in_small_pages() {
    let bench = Bench::with(config(), bounds(64 << 20));
    for _ in 0..8 {
        bench.journal.refuse(vec![refusal(&bench, "10.0.0.1", 1 << 20)]).await.unwrap();
    }
    let source = SourceName::callback(&Name::new("main").unwrap());
    let page = bench.reader().next_refusals(&source, 0, 99).unwrap();
    assert_eq!(page.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [1, 2, 3, 4]);
}
