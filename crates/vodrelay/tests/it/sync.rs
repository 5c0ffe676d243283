//! kill -9 does not test the sync, because the kernel keeps what was written. So the system calls are watched: before
//! each 200 leaves, a sync of the write-ahead log has succeeded that began after the event was written to it. And they
//! are made to fail: a journal whose sync failed says 503, and the process leaves with code 74.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use vodrelay_core::testing::event_body;

use crate::receiver::Receiver;
use crate::relay::{KEY, Process, accepted, attempt, client, until};

const EVENTS: usize = 20;

/// Whether this test can run here; says loudly where it cannot.
fn strace_is_there() -> bool {
    if !crate::slow_tests_are_asked_for() {
        return false;
    }
    let found = Command::new("strace").arg("--version").output().is_ok();
    if !found {
        eprintln!("!!! skipped: strace is not installed, so syncs were NOT watched");
    }
    found
}

/// Attaches strace to the relay; it ends with the relay.
async fn strace(words: &[&str], relay: &Process, trace: &Path) -> Child {
    let child = Command::new("strace")
        .args(["-f", "-y", "-s", "40", "-o"])
        .arg(trace)
        .args(words)
        .args(["-p", &relay.id().to_string()])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until("strace to attach", Duration::from_secs(10), || std::fs::metadata(trace).is_ok()).await;
    sleep(Duration::from_millis(500)).await;
    child
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_of_the_log_precedes_each_200() {
    if !strace_is_there() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    // Without a sink there are no settlements, so each commit is that of one event.
    let mut relay = Process::start_without_sinks(folder.path()).await;
    let trace = folder.path().join("trace");
    let calls = ["-e", "trace=fsync,fdatasync,pwrite64,write,writev,sendto"];
    let mut strace = strace(&calls, &relay, &trace).await;
    let client = client();
    for number in 0..EVENTS {
        accepted(&client, relay.http, event_body(number)).await;
    }
    relay.kill_9();
    strace.wait().unwrap();
    let text = std::fs::read_to_string(&trace).unwrap();
    let Seen { answers, syncs, lines } = check(&text).unwrap();
    println!(
        "{answers} answers of 200, each a commit of its own, and {syncs} syncs of the log; the last one's end:"
    );
    lines.iter().skip(lines.len().saturating_sub(5)).for_each(|line| println!("  {line}"));
    assert_eq!(answers, EVENTS, "each callback was seen answered in the trace");
    // The log's own header is synced too when the log begins.
    assert!((EVENTS..EVENTS + 5).contains(&syncs), "{syncs} syncs for {EVENTS} commits");
}

/// Where the log stands while a trace is walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Log {
    /// Nothing was written since the last answer.
    Clean,
    /// Something was written, and no sync has begun since.
    Written,
    /// A sync began after the last write.
    Syncing,
    /// And it succeeded.
    Synced,
}

/// What a trace shows.
#[derive(Debug)]
struct Seen<'t> {
    answers: usize,
    syncs: usize,
    lines: Vec<&'t str>,
}

/// Walks the trace: the event is written to the log, a sync begins after that, it succeeds, the 200 leaves.
fn check(trace: &str) -> Result<Seen<'_>, String> {
    let mut log = Log::Clean;
    let mut seen = Seen { answers: 0, syncs: 0, lines: Vec::new() };
    for line in trace.lines() {
        let is_log = line.contains("journal.sqlite3-wal");
        let is_sync = line.contains("fdatasync(") || line.contains("fsync(");
        let succeeded = line.trim_end().ends_with("= 0");
        if line.contains("pwrite64(") && is_log {
            log = Log::Written;
        } else if is_sync && is_log {
            log = if succeeded { Log::Synced } else { Log::Syncing };
            seen.syncs += usize::from(succeeded);
        } else if line.contains("sync resumed>") && succeeded && log == Log::Syncing {
            log = Log::Synced;
            seen.syncs += 1;
        } else if line.contains("HTTP/1.1 200 OK") {
            if log != Log::Synced {
                return Err(format!("a 200 left while the log was {log:?}:\n{line}"));
            }
            log = Log::Clean;
            seen.answers += 1;
        } else {
            continue;
        }
        seen.lines.push(line);
    }
    Ok(seen)
}

#[test]
fn the_check_sees_an_answer_that_leaves_too_early() {
    let write = "1 pwrite64(9</d/journal.sqlite3-wal>, \"x\", 4096, 0) = 4096\n";
    let answer = "2 sendto(7<TCP:[1]>, \"HTTP/1.1 200 OK\\r\\n\", 40) = 40\n";
    let begins = "1 fdatasync(9</d/journal.sqlite3-wal> <unfinished ...>\n";
    let ends = "1 <... fdatasync resumed>) = 0\n";
    let fails = "1 <... fdatasync resumed>) = -1 EIO (Input/output error)\n";
    check(&[write, begins, ends, answer].concat()).unwrap();
    for early in [
        [write, answer, begins, ends],
        [write, begins, answer, ends],
        [begins, ends, write, answer],
        [write, begins, fails, answer],
    ] {
        check(&early.concat()).unwrap_err();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_that_fails_is_503_and_ends_the_process_with_74() {
    if !strace_is_there() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    let mut relay = Process::start(folder.path(), receiver.address).await;
    let client = client();
    accepted(&client, relay.http, event_body(1)).await;
    until("the delivery", Duration::from_secs(10), || receiver.count() == 1).await;
    // Its settlement is on disk too before the disk begins to fail.
    sleep(Duration::from_millis(300)).await;

    let trace = folder.path().join("trace");
    let failing = ["-e", "trace=fdatasync,fsync", "-e", "inject=fdatasync,fsync:error=EIO"];
    let mut strace = strace(&failing, &relay, &trace).await;
    let begun = Instant::now();
    assert_eq!(attempt(&client, relay.http, event_body(2), KEY).await, Some(503));
    assert_eq!(relay.wait(), Some(74));
    let took = begun.elapsed();
    strace.wait().unwrap();
    assert!(
        took < Duration::from_secs(2),
        "it was to be gone within a second, and took {took:?} under strace"
    );
    let failed = std::fs::read_to_string(&trace).unwrap().matches("INJECTED").count();
    assert_eq!(failed, 1, "a failed sync is not tried again");

    let relay = Process::start_at(folder.path(), receiver.address, relay.http, relay.admin).await;
    accepted(&client, relay.http, event_body(2)).await; // the provider's next try
    until("the delivery", Duration::from_secs(10), || receiver.has(&event_body(2))).await;
    assert_eq!(receiver.count(), 2);
}
