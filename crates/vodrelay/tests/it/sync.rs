//! kill -9 does not test the sync, because the kernel keeps what was written. So the system calls are watched: before
//! each 200 leaves, a sync of the write-ahead log has succeeded that began after the event was written to it.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use vodrelay_core::testing::event_body;

use crate::receiver::Receiver;
use crate::relay::{KEY, Process, attempt, client, until};

const EVENTS: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_of_the_log_precedes_each_200() {
    if !crate::slow_tests_are_asked_for() {
        return;
    }
    if Command::new("strace").arg("--version").output().is_err() {
        eprintln!("skipped: strace is not installed, so the order of sync and answer was NOT checked");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    let mut relay = Process::start(folder.path(), receiver.address).await;
    let trace = folder.path().join("trace");
    let mut strace = Command::new("strace")
        .args(["-f", "-y", "-s", "40", "-e", "trace=fsync,fdatasync,pwrite64,write,writev,sendto", "-o"])
        .arg(&trace)
        .args(["-p", &relay.id().to_string()])
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    until("strace to attach", Duration::from_secs(10), || std::fs::metadata(&trace).is_ok()).await;
    tokio::time::sleep(Duration::from_millis(500)).await;

    // One at a time, so that each answer has a commit of its own. What is delivered meanwhile syncs as well, so only
    // the order within the trace tells anything.
    let client = client();
    for number in 0..EVENTS {
        assert_eq!(attempt(&client, relay.http, event_body(number), KEY).await, Some(200));
    }
    assert_eq!(relay.terminate(), Some(0));
    strace.wait().unwrap();
    check(&trace);
}

/// Walks the trace: a body written to the log, a sync of the log that begins after it and succeeds, the 200.
fn check(trace: &Path) {
    let text = std::fs::read_to_string(trace).unwrap();
    let (mut unsynced, mut syncing, mut answers, mut syncs) = (false, Vec::new(), 0, 0);
    let mut excerpt = Vec::new();
    for line in text.lines() {
        let thread = line.split_whitespace().next().unwrap_or_default();
        let is_log = line.contains("journal.sqlite3-wal");
        if line.contains("pwrite64(") && is_log {
            unsynced = true;
        } else if (line.contains("fdatasync(") || line.contains("fsync(")) && is_log {
            if line.contains("<unfinished") {
                syncing.push(thread.to_owned());
                unsynced = false;
            } else if line.ends_with("= 0") {
                (unsynced, syncs) = (false, syncs + 1);
            }
            excerpt.push(line);
        } else if line.contains("sync resumed>") && line.ends_with("= 0") {
            syncing.retain(|other| other != thread);
            syncs += 1;
            excerpt.push(line);
        } else if line.contains("HTTP/1.1 200 OK") && line.contains("socket:")
            || line.contains("HTTP/1.1 200 OK") && line.contains("TCP:")
        {
            answers += 1;
            excerpt.push(line);
            assert!(syncs > 0, "a 200 left before the first sync:\n{line}");
            assert!(
                !unsynced || !syncing.is_empty() || syncs >= answers,
                "a 200 left with its event unsynced:\n{line}"
            );
        }
    }
    println!("{answers} answers of 200, {syncs} syncs of the log; the first of them:");
    excerpt.iter().take(8).for_each(|line| println!("  {line}"));
    assert_eq!(answers, EVENTS, "each callback was seen answered in the trace");
    assert!(syncs >= EVENTS, "{syncs} syncs for {EVENTS} answers that came one after the other");
}
