//! The write-ahead log stays small, also while somebody reads.

use std::time::Duration;

use bytes::Bytes;
use rusqlite::Connection;
use vodrelay_core::testing::envelope_of;
use vodrelay_core::{Clock, Journal};

use crate::bench::{Bench, sink};

const BOUND: u64 = 64_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn it_stays_under_its_bound_while_a_page_is_read_again_and_again() {
    let bench = Bench::new();
    let file = bench.folder.path().join("journal.sqlite3");
    let reading = std::thread::spawn(move || {
        let conn = Connection::open(file).unwrap();
        for _ in 0..10 {
            conn.execute_batch("BEGIN; SELECT COUNT(*) FROM events;").unwrap();
            std::thread::sleep(Duration::from_millis(150));
            conn.execute_batch("COMMIT").unwrap();
        }
    });
    let mut largest = 0;
    for number in 0..400 {
        let body = format!("{{\"EventType\":\"X\",\"n\":{number},\"pad\":\"{}\"}}", "x".repeat(400_000));
        let envelope = envelope_of(Bytes::from(body), bench.clock.now());
        bench.journal.append(&envelope, &[sink("a")]).await.unwrap();
        let log = std::fs::metadata(bench.folder.path().join("journal.sqlite3-wal")).unwrap();
        largest = largest.max(log.len());
    }
    reading.join().unwrap();
    assert!(largest > 1_000_000 && largest < BOUND, "{largest}");
}
