//! What a crash leaves behind, and how the next start takes it.

use std::time::Duration;

use rusqlite::Connection;
use vodrelay_core::{Appended, Clock, Journal, JournalError, Outcome, SettleResult, Settled};

use crate::bench::{Bench, DAY, LEASE, sink};

const CAREFUL: Duration = Duration::from_secs(60);

#[tokio::test]
async fn what_was_answered_survives() {
    let bench = Bench::new();
    for number in 0..20 {
        bench.append(number, &["a"]).await;
    }
    for claim in &bench.claim("a", 5).await {
        bench.settle(claim, Outcome::Delivered).await;
    }
    let bench = bench.crash();
    assert_eq!(bench.append(19, &["a"]).await, Appended::Duplicate);
    bench.clock.advance(CAREFUL);
    assert_eq!(bench.claim("a", 99).await.len(), 15);
}

#[tokio::test]
async fn a_start_after_a_crash_waits_for_no_reader() {
    let bench = Bench::new();
    bench.append(1, &["a"]).await;
    let folder = tempfile::tempdir().unwrap();
    crate::bench::copy_files(bench.folder.path(), folder.path());
    let reader = Connection::open(folder.path().join("journal.sqlite3")).unwrap();
    reader.execute_batch("BEGIN; SELECT COUNT(*) FROM events;").unwrap();
    let clock = crate::bench::as_clock(&bench.clock);
    let journal =
        vodrelay_journal::SqliteJournal::open(folder.path(), bench.config, bench.bounds, clock).unwrap();
    assert_eq!(journal.append(&bench.event(2), &[sink("a")]).await, Ok(Appended::New));
    reader.execute_batch("COMMIT").unwrap();
}

#[tokio::test]
async fn after_a_crash_each_sink_gets_one_at_a_time() {
    let bench = Bench::new();
    for number in 0..5 {
        bench.append(number, &["a", "b"]).await;
    }
    let bench = bench.crash();
    let first = bench.claim("a", 9).await;
    assert_eq!(first.len(), 1);
    assert_eq!(bench.claim("a", 9).await.len(), 0, "one is in hand");
    assert_eq!(bench.claim("b", 9).await.len(), 1, "the other sink has its own");
    bench.settle(&first[0], Outcome::Delivered).await;
    assert_eq!(bench.claim("a", 9).await.len(), 1);
    bench.clock.advance(CAREFUL);
    assert_eq!(bench.claim("a", 9).await.len(), 4, "all the rest, and the one whose lease ran out");
}

#[tokio::test]
async fn a_clock_set_back_does_not_make_it_careful_for_longer() {
    let bench = Bench::new();
    for number in 0..5 {
        bench.append(number, &["a"]).await;
    }
    let bench = bench.crash();
    bench.clock.set(bench.clock.now() - DAY);
    assert_eq!(bench.claim("a", 9).await.len(), 1);
    bench.clock.advance(CAREFUL);
    assert_eq!(bench.claim("a", 9).await.len(), 5);
}

#[tokio::test]
async fn a_clock_set_back_between_two_lives_makes_no_retry_wait_longer() {
    for crashes in [true, false] {
        let bench = Bench::new();
        let right = bench.clock.now();
        bench.append(1, &["a"]).await;
        bench.clock.set(right + DAY);
        for claim in &bench.claim("a", 9).await {
            let due = bench.clock.now() + Duration::from_secs(30);
            bench.settle(claim, Outcome::RetryAt(due)).await;
        }
        // Even where that is just before it stops, and nothing has been written since.
        bench.clock.set(right);
        let bench = if crashes { bench.crash() } else { bench.restart().await };
        bench.append(2, &["b"]).await;
        bench.clock.advance(Duration::from_secs(40));
        assert_eq!(number(&bench.claim("a", 9).await), [1]);
    }
}

#[tokio::test]
async fn many_retries_move_back_in_steps() {
    let bench = Bench::new();
    let right = bench.clock.now();
    for number in 0..1_201 {
        bench.append(number, &["a"]).await;
    }
    let due = right + Duration::from_secs(30);
    let settled: Vec<Settled> = (bench.claim("a", 2_000).await.iter())
        .chain(&bench.claim("a", 2_000).await)
        .map(|claim| Settled {
            token: claim.token,
            outcome: Outcome::RetryAt(due),
            attempt: None,
            reached_at: right,
        })
        .collect();
    assert_eq!(settled.len(), 1_201);
    bench.journal.settle(&settled).await.unwrap();
    bench.clock.set(right - DAY);
    bench.append(5_000, &["b"]).await;
    bench.clock.advance(Duration::from_secs(30));
    let mut claimed = 0;
    let all_are_due = async {
        while claimed < 1_201 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            claimed += bench.claim("a", 2_000).await.len();
        }
    };
    tokio::time::timeout(Duration::from_secs(30), all_are_due).await.unwrap();
    assert_eq!(claimed, 1_201);
}

#[tokio::test]
async fn five_crashes_with_it_in_hand_make_a_dead_letter() {
    let mut bench = Bench::new();
    bench.append(1, &["a"]).await;
    // The first crash is not counted: nothing was committed after the claim. It makes the next starts careful.
    bench.claim("a", 1).await;
    bench = bench.crash();
    for (crash, wait) in [0, 2, 4, 8, 16].into_iter().enumerate() {
        if wait > 0 {
            bench.clock.advance(Duration::from_secs(wait) - Duration::from_millis(1));
            assert_eq!(number(&bench.claim("a", 9).await), [0; 0], "not yet before crash {crash}");
            bench.clock.advance(Duration::from_millis(1));
        }
        let claims = bench.claim("a", 9).await;
        assert_eq!(number(&claims), [1], "before crash {crash}");
        bench = bench.crash();
    }
    assert_eq!(bench.backlog("a").await.dead_letters, 1);
    assert_eq!(bench.dead_letters()[0].reason, "relay_crashed");
}

#[tokio::test]
async fn what_was_in_hand_at_a_crash_waits_and_those_behind_it_do_not() {
    let mut bench = Bench::new();
    for number in 1..=3 {
        bench.append(number, &["a"]).await;
    }
    bench = bench.crash();
    assert_eq!(number(&bench.claim("a", 9).await), [1]);
    bench = bench.crash();
    for expected in [2, 3] {
        let claims = bench.claim("a", 9).await;
        assert_eq!(number(&claims), [expected]);
        bench.settle(&claims[0], Outcome::Delivered).await;
    }
    assert_eq!(number(&bench.claim("a", 9).await), [0; 0]);
    bench.clock.advance(Duration::from_secs(2));
    assert_eq!(number(&bench.claim("a", 9).await), [1]);
}

#[tokio::test]
async fn who_kills_the_relay_again_and_again_makes_no_dead_letter() {
    // Lives of so many milliseconds, in which a sink that hangs has something in hand as early as it may.
    for life in [300, 2_100, 5_000, 12_000, 15_000] {
        let mut bench = Bench::new();
        bench.append(1, &["a"]).await;
        for _ in 0..20 {
            for _ in 0..10 {
                bench.clock.advance(Duration::from_millis(life / 10));
                bench.claim("a", 9).await;
            }
            bench = bench.crash();
        }
        assert_eq!(bench.backlog("a").await.dead_letters, 0, "lives of {life} ms");
    }
}

#[tokio::test]
async fn a_claim_that_waits_says_until_when() {
    let mut bench = Bench::new();
    bench.append(1, &["a"]).await;
    bench.append(2, &["b"]).await;
    bench = bench.crash();
    assert_eq!(bench.claim("a", 9).await.len(), 1, "nothing is held against it yet");
    let bench = bench.crash();
    bench.clock.advance(Duration::from_secs(1));
    let claimed = bench.journal.claim(&sink("a"), 9, LEASE).await.unwrap();
    assert!(claimed.claims.is_empty());
    assert_eq!(claimed.look_again_at, Some(bench.clock.now() + Duration::from_secs(1)));
    assert_eq!(bench.claim("b", 9).await.len(), 1, "another sink does not wait");
}

#[tokio::test]
async fn a_settlement_clears_the_count() {
    for outcome in [Outcome::Released, Outcome::RetryAt("2000-01-01T00:00:00Z".parse().unwrap())] {
        let mut bench = Bench::new();
        bench.append(1, &["a"]).await;
        bench = bench.crash();
        for crash in 0..9 {
            bench.clock.advance(Duration::from_secs(16));
            let claims = bench.claim("a", 9).await;
            assert_eq!(claims.len(), 1, "{outcome:?} after {crash} crashes");
            if crash == 3 {
                bench.settle(&claims[0], outcome.clone()).await;
            }
            if crash < 8 {
                bench = bench.crash();
            }
        }
        assert_eq!(bench.backlog("a").await.dead_letters, 0);
    }
}

#[tokio::test]
async fn a_clean_stop_with_deliveries_in_hand_counts_nothing() {
    let mut bench = Bench::new();
    bench.append(1, &["a"]).await;
    bench.append(2, &["a"]).await;
    for _ in 0..7 {
        bench.clock.advance(LEASE);
        assert_eq!(bench.claim("a", 9).await.len(), 2, "and nobody is careful");
        bench = bench.restart().await;
    }
}

#[tokio::test]
async fn a_token_of_an_earlier_life_counts_for_delivered_only() {
    let bench = Bench::new();
    bench.append(1, &["a"]).await;
    let old = bench.claim("a", 1).await;
    let bench = bench.restart().await;
    bench.claim("a", 1).await;
    assert_eq!(bench.settle(&old[0], Outcome::Released).await, SettleResult::Expired);
    assert_eq!(bench.settle(&old[0], Outcome::Delivered).await, SettleResult::Done);
}

#[tokio::test]
async fn a_body_that_is_not_what_was_accepted_is_a_dead_letter() {
    let bench = Bench::new();
    bench.append(1, &["a", "b"]).await;
    bench.append(2, &["a"]).await;
    let change = Connection::open(bench.folder.path().join("journal.sqlite3")).unwrap();
    change.execute("UPDATE events SET body = CAST('{}' AS BLOB) WHERE seq = 1", []).unwrap();
    assert_eq!(number(&bench.claim("a", 9).await), [2]);
    assert_eq!(bench.claim("b", 9).await.len(), 0);
    let dead = bench.dead_letters();
    assert_eq!(dead.iter().map(|dead| dead.reason.as_str()).collect::<Vec<_>>(), ["corrupt", "corrupt"]);
    assert_eq!(bench.backlog("b").await.pending, 0);
}

#[tokio::test]
async fn pages_that_rot_under_a_running_journal_poison_it() {
    let bench = Bench::new();
    for number in 0..200 {
        bench.append(number, &["a"]).await;
    }
    let bench = bench.restart().await;
    let mut poisoned = bench.journal.poisoned();
    let file = bench.folder.path().join("journal.sqlite3");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[4_096 * 4..].fill(0xA5);
    std::fs::write(&file, bytes).unwrap();
    let error = bench.journal.claim(&sink("a"), 200, LEASE).await.unwrap_err();
    assert!(matches!(error, JournalError::Poisoned(_)), "{error}");
    poisoned.wait_for(Option::is_some).await.unwrap();
    let error = bench.journal.append(&bench.event(999), &[]).await.unwrap_err();
    assert!(matches!(error, JournalError::Poisoned(_)), "{error}");
}

/// Changes the entry of an index while nobody has the journal, then claims until everything is found.
async fn after_damage_of(index: &str, change: impl Fn(&mut [u8], i64)) -> Vec<usize> {
    let bench = Bench::new();
    let wait = Duration::from_secs(30);
    let due_at = bench.clock.now() + wait;
    for number in [1, 2] {
        bench.append(number, &["a", "b"]).await;
    }
    for claim in &bench.claim("a", 1).await {
        bench.settle(claim, Outcome::RetryAt(due_at)).await;
    }
    for claim in &bench.claim("a", 1).await {
        bench.settle(claim, Outcome::Delivered).await;
    }
    let file = bench.folder.path().join("journal.sqlite3");
    let root: i64 = Connection::open(&file)
        .unwrap()
        .query_row("SELECT rootpage FROM sqlite_schema WHERE name = ?1", [index], |row| row.get(0))
        .unwrap();
    let Bench { folder, clock, journal, config, bounds } = bench;
    journal.close().await.unwrap();
    let mut bytes = std::fs::read(&file).unwrap();
    let page = &mut bytes[usize::try_from(root - 1).unwrap() * 4_096..][..4_096];
    change(page, i64::try_from(due_at.as_nanosecond()).unwrap());
    std::fs::write(&file, bytes).unwrap();
    let journal =
        vodrelay_journal::SqliteJournal::open(folder.path(), config, bounds, crate::bench::as_clock(&clock))
            .unwrap();
    let bench = Bench { folder, clock, journal, config, bounds };
    bench.clock.advance(wait);
    let mut found = Vec::new();
    for name in ["a", "b", "a", "b"] {
        let claims = bench.claim(name, 9).await;
        for claim in &claims {
            assert_eq!(claim.delivery.sink, sink(name));
            assert_eq!(bench.settle(claim, Outcome::Delivered).await, SettleResult::Done);
        }
        found.extend(number(&claims));
    }
    found.sort_unstable();
    found
}

#[tokio::test]
async fn a_flipped_bit_of_an_index_hides_no_delivery() {
    let replace = |page: &mut [u8], from: &[u8], to: &[u8]| {
        let at = page.windows(from.len()).position(|window| window == from).expect("the entry");
        page[at..][..to.len()].copy_from_slice(to);
    };
    let ends_late = |page: &mut [u8], due_at: i64| {
        replace(page, &due_at.to_be_bytes(), &(due_at | 1 << 62).to_be_bytes());
    };
    assert_eq!(after_damage_of("deliveries_retry", ends_late).await, [1, 1, 2]);
    // An entry of the second sink that names the delivery of the first.
    let of_a_neighbour =
        |page: &mut [u8], _: i64| replace(page, &[2, 0x10, 2, 0x10, 2], &[2, 0x10, 1, 0x10, 1]);
    assert_eq!(after_damage_of("deliveries_fresh", of_a_neighbour).await, [1, 1, 2]);
    // The sink before the moment: of one byte, so that 1 stands in the head of the entry as such.
    let of_another_sink = |page: &mut [u8], _: i64| {
        let cells = usize::from(u16::from_be_bytes([page[3], page[4]]));
        assert_eq!(cells, 1);
        let cell = usize::from(u16::from_be_bytes([page[8], page[9]]));
        // Length, length of the head, and three types; the first is that of the sink: the constant one.
        assert_eq!(page[cell + 2], 9);
        page[cell + 2] = 8;
    };
    assert_eq!(after_damage_of("deliveries_retry", of_another_sink).await, [1, 1, 2]);
}

fn number(claims: &[vodrelay_core::Claim]) -> Vec<usize> {
    let number = |claim: &vodrelay_core::Claim| {
        let event = claim.delivery.envelope.event().unwrap();
        usize::from_str_radix(event.video_id.as_deref().unwrap(), 16).unwrap()
    };
    claims.iter().map(number).collect()
}
