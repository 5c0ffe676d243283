//! Looking into a journal.

use std::time::Duration;

use vodrelay_core::ledger::{DeliveryState, EventFilter, Standing};
use vodrelay_core::{Envelope, Ledger, Outcome};
use vodrelay_journal::Reader;

use crate::bench::Bench;

#[tokio::test]
async fn pages_go_from_the_newest_back() {
    let bench = Bench::new();
    for number in 0..5 {
        bench.append(number, if number == 3 { &[] } else { &["a"] }).await;
    }
    let reader = bench.reader();
    let seqs = |filter: &EventFilter, before| {
        let events = reader.events(filter, before, 2).unwrap();
        events.items.iter().map(|event| event.seq).collect::<Vec<_>>()
    };
    let all = EventFilter::default();
    assert_eq!(seqs(&all, None), [5, 4]);
    assert_eq!(seqs(&all, Some(4)), [3, 2]);
    assert_eq!(seqs(&all, Some(1)), [] as [u64; 0]);
    assert_eq!(seqs(&EventFilter { standing: Some(Standing::Unrouted), ..all.clone() }, None), [4]);
    let event = bench.event(2);
    let video_id = event.event().unwrap().video_id.clone();
    assert_eq!(seqs(&EventFilter { video_id, ..all.clone() }, None), [3]);
    assert_eq!(seqs(&EventFilter { event_type: Some("Nothing".to_owned()), ..all }, None), [] as [u64; 0]);
}

#[tokio::test]
async fn an_event_whole() {
    let bench = Bench::new();
    bench.append(1, &["a"]).await;
    bench.append(1, &["a", "b"]).await;
    for _ in 0..30 {
        let claims = bench.claim("a", 9).await;
        bench.settle(&claims[0], Outcome::RetryAt("2000-01-01T00:00:00Z".parse().unwrap())).await;
        bench.clock.advance(Duration::from_secs(1));
    }
    let Envelope { id, body, .. } = bench.event(1);
    let reader = bench.reader();
    assert_eq!(reader.body(id).unwrap(), Some(body));
    let found = reader.event(id).unwrap().unwrap();
    assert_eq!(found.repeats.iter().map(|repeats| repeats.count).collect::<Vec<_>>(), [1]);
    let [a, b] = &found.deliveries[..] else { panic!("{found:?}") };
    assert_eq!((a.state, a.attempts, b.state), (DeliveryState::Retry, 30, DeliveryState::Fresh));
    let numbers: Vec<u32> = a.failed_attempts.iter().map(|attempt| attempt.number).collect();
    assert_eq!(numbers.len(), 20, "the first 3 and the last 17");
    assert_eq!((&numbers[..3], numbers[3], numbers[19]), (&[1, 2, 3][..], 14, 30));
}

#[tokio::test]
async fn figures_without_the_lock_are_those_of_the_running_journal() {
    let bench = Bench::new();
    bench.deliver(1).await;
    bench.append(2, &["a"]).await;
    bench.append(2, &["a"]).await;
    bench.append(3, &[]).await;
    let reader = Reader::open(bench.folder.path()).unwrap();
    assert_eq!(reader.totals().unwrap(), bench.journal.totals().await.unwrap());
    assert_eq!(reader.backlogs().unwrap(), bench.journal.backlogs().await.unwrap());
    let totals = reader.totals().unwrap();
    assert_eq!((totals.events, totals.duplicates, totals.unrouted), (3, 1, 1));
    let backlog = bench.backlog("a").await;
    assert_eq!((backlog.pending, backlog.delivered), (1, 1));
    assert_eq!(backlog.oldest_pending_at, Some(bench.event(2).received_at));
}
