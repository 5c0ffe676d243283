//! Events that are erased leave their ids, and nothing else in any file.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use rusqlite::Connection;
use vodrelay_core::ledger::Erased;
use vodrelay_core::testing::{envelope_of, event_body};
use vodrelay_core::{Appended, Clock, Journal, Ledger, Outcome, Refusal, RefusalCause, RefusalFilter};

use crate::backup::verify_whole;
use crate::bench::{Bench, sink};

fn has_in_a_file(folder: &Path, bytes: &[u8]) -> bool {
    let files = std::fs::read_dir(folder).unwrap().map(|file| std::fs::read(file.unwrap().path()).unwrap());
    files.into_iter().any(|file| file.windows(bytes.len()).any(|found| found == bytes))
}

async fn until_gone(folder: &Path, bytes: &[u8]) {
    for _ in 0..100 {
        if !has_in_a_file(folder, bytes) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{} is still there", bytes.escape_ascii());
}

#[tokio::test]
async fn no_file_has_what_was_erased() {
    const SMALL: &[u8] = b"a body in one page";
    let large = [&b"a body in many pages"[..], &[b'x'; 40_000], b"and its end"].concat();
    let bench = Bench::new();
    let mut erased = Vec::new();
    for (number, body) in [SMALL, &large].into_iter().enumerate() {
        bench.append(2 * number, &["a"]).await;
        let envelope = envelope_of(Bytes::copy_from_slice(body), bench.clock.now());
        bench.journal.append(&envelope, &[sink("a")]).await.unwrap();
        bench.append(2 * number + 1, &["a"]).await;
        erased.push(envelope.id);
    }
    let refused = Refusal {
        source: "callbacks.main".parse().unwrap(),
        cause: RefusalCause::Mismatch,
        detail: String::new(),
        received_at: bench.clock.now(),
        address: "192.0.2.1".to_owned(),
        timestamp: None,
        signature: None,
        body: [&b"a body that was refused"[..], &[b'y'; 20_000]].concat().into(),
        cut_short: false,
    };
    bench.journal.refuse(vec![refused]).await.unwrap();
    let refused = bench.journal.list_refusals(RefusalFilter::default(), None, 9).await.unwrap();
    for claim in bench.claim("a", 9).await {
        bench.settle(&claim, Outcome::DeadLetter("410 gone".to_owned())).await;
    }
    let folder = bench.folder.path();
    let parts = [
        SMALL,
        b"a body in many pages",
        b"and its end",
        &[b'x'; 100],
        b"a body that was refused",
        &[b'y'; 100],
    ];
    for part in parts {
        assert!(has_in_a_file(folder, part));
    }
    assert_eq!(bench.journal.remove_refusals(refused.iter().map(|record| record.id).collect()).await, Ok(1));
    assert_eq!(bench.journal.erase(erased.clone()).await, Ok(Erased { erased: 2, in_hand: 0 }));
    // The log is emptied after the answer, at the latest with the next look around.
    for part in parts {
        until_gone(folder, part).await;
    }
    assert_eq!(bench.journal.totals().await.unwrap().events, 4);
    // After a power cut the log's index may still count what is gone from it.
    let is_noted = |bench: &Bench| {
        std::fs::read_to_string(bench.folder.path().join("journal.lock")).unwrap().contains("log = emptied")
    };
    assert!(is_noted(&bench));

    let bench = bench.crash();
    assert!(!is_noted(&bench));
    let again = envelope_of(Bytes::from_static(SMALL), bench.clock.now());
    assert_eq!(bench.journal.append(&again, &[sink("a")]).await, Ok(Appended::Duplicate));
    assert!(!has_in_a_file(bench.folder.path(), SMALL));
    verify_whole(bench.folder.path());
}

/// Whatever else a commit has in it, none of its callers is the worse for an event that goes.
#[tokio::test(flavor = "multi_thread")]
async fn repeats_come_while_their_event_is_erased() {
    let bench = Bench::new();
    let event = |number: usize| envelope_of(event_body(number), bench.clock.now());
    for round in 0..40 {
        let (gone, other) = (event(2 * round), event(2 * round + 1));
        bench.journal.append(&gone, &[sink("a")]).await.unwrap();
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let senders = [gone.clone(), other.clone(), gone.clone(), other.clone()].map(|envelope| {
            let (journal, stopped) = (bench.journal.clone(), stopped.clone());
            tokio::spawn(async move {
                loop {
                    journal.append(&envelope, &[sink("a")]).await.unwrap();
                    if *stopped.borrow() {
                        break;
                    }
                }
            })
        });
        let erase = || bench.journal.erase(vec![gone.id]);
        let (first, second) = tokio::join!(erase(), erase());
        assert_eq!(first.unwrap().erased + second.unwrap().erased, 1);
        stop.send(true).unwrap();
        for sender in senders {
            sender.await.unwrap();
        }
    }
    assert_eq!(bench.journal.totals().await.unwrap().events, 40);
    verify_whole(bench.folder.path());
}

/// A kill came before the log could be emptied, since somebody was reading.
#[tokio::test]
async fn what_a_kill_left_in_the_log_goes_after_the_next_start() {
    const BODY: &[u8] = b"a body that was erased just before the kill";
    let bench = Bench::new();
    let envelope = envelope_of(Bytes::from_static(BODY), bench.clock.now());
    bench.journal.append(&envelope, &[]).await.unwrap();
    let reader = Connection::open(bench.folder.path().join("journal.sqlite3")).unwrap();
    reader.execute_batch("BEGIN; SELECT * FROM totals").unwrap();
    bench.journal.erase(vec![envelope.id]).await.unwrap();
    assert!(has_in_a_file(bench.folder.path(), BODY), "the reader sees it still");
    let bench = bench.crash();
    assert!(has_in_a_file(bench.folder.path(), BODY), "so does the log that the kill has left");
    // Whatever is written first has the log emptied behind it.
    bench.append(1, &[]).await;
    until_gone(bench.folder.path(), BODY).await;
}

/// An erasure that finds nothing any more has the log emptied all the same.
#[tokio::test]
async fn whoever_erases_again_has_the_log_emptied() {
    let bench = Bench::new();
    bench.append(1, &[]).await;
    assert_eq!(bench.journal.erase(Vec::new()).await, Ok(Erased::default()));
    let log = bench.folder.path().join("journal.sqlite3-wal");
    for _ in 0..100 {
        if std::fs::metadata(&log).unwrap().len() == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the log was not emptied");
}
