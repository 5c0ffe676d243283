//! When events may be missing: each window that the relay was not there, had no room or refused is told.

use std::net::SocketAddr;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::time::sleep;
use vodrelay_core::testing::event_body;

use crate::cli::vodrelay;
use crate::relay::{KEY, Process, attempt, client, configuration, free_port};

/// What a window may be off. A crash is told by the last heartbeat, which under load is a second old at most.
const TOLERANCE: SignedDuration = SignedDuration::from_secs(3);

struct Bench {
    folder: tempfile::TempDir,
    http: SocketAddr,
    admin: SocketAddr,
}

impl Bench {
    async fn start(&self, config: &str) -> Process {
        Process::start_with(self.folder.path(), config, self.http, self.admin).await
    }

    fn config(&self) -> String {
        configuration(self.http, self.admin)
    }

    async fn send(&self, numbers: std::ops::Range<usize>, status: u16) {
        for number in numbers {
            assert_eq!(attempt(&client(), self.http, event_body(number), KEY).await, Some(status));
        }
    }

    /// Runs `gaps` and answers its exit code with what it prints.
    fn gaps(&self, since: Timestamp, more: &[&str]) -> (Option<i32>, String) {
        let since = since.to_string();
        let words = [&["gaps", "--config", "vodrelay.toml", "--since", &since], more].concat();
        let output = vodrelay(self.folder.path(), &words, "");
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    }

    fn windows(&self, since: Timestamp) -> Vec<Value> {
        let (code, said) = self.gaps(since, &["--json"]);
        let found: Value = serde_json::from_str(&said).unwrap();
        let gaps = found.get("gaps").and_then(Value::as_array).unwrap().clone();
        assert_eq!(code, Some(if gaps.is_empty() { 0 } else { 65 }), "{said}");
        gaps
    }
}

#[track_caller]
fn check(gap: &Value, from: Timestamp, until: Timestamp, fields: &Value) {
    let moment = |name: &str| gap[name].as_str().unwrap().parse::<Timestamp>().unwrap();
    for (told, is) in [(moment("from"), from), (moment("until"), until)] {
        assert!(told.duration_since(is).abs() <= TOLERANCE, "{told} is not {is}, in {gap}");
    }
    for (name, value) in fields.as_object().unwrap() {
        assert_eq!(gap[name], *value, "{name} in {gap}");
    }
}

/// The window that opens and closes around what is done: what has to be told.
async fn while_down(bench: &Bench, config: &str, down_at: Timestamp) -> (Process, Timestamp, Timestamp) {
    sleep(Duration::from_millis(500)).await;
    let relay = bench.start(config).await;
    (relay, down_at, Timestamp::now())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_a_stop_a_full_journal_and_a_wrong_key_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench { folder, http: free_port(), admin: free_port() };
    let (right, start) = (bench.config(), Timestamp::now());
    let mut relay = bench.start(&right).await;
    bench.send(0..1, 200).await;
    sleep(Duration::from_millis(1_100)).await;
    bench.send(1..2, 200).await;
    assert_eq!(bench.windows(start), Vec::<Value>::new());

    relay.kill_9();
    let (mut relay, killed_at, back_at) = while_down(&bench, &right, Timestamp::now()).await;

    // Only one that answers is sure to hear the signal.
    bench.send(1..2, 200).await;
    let full = right.replace("256MiB", "1000TiB");
    assert_eq!(relay.terminate(), Some(0));
    let (mut relay, stopped_at, started_at) = while_down(&bench, &full, Timestamp::now()).await;
    let full_from = Timestamp::now();
    bench.send(2..5, 503).await;
    let full_until = Timestamp::now();

    let wrong = right.replace(KEY, "Wrong0123456789");
    assert_eq!(relay.terminate(), Some(0));
    let mut relay = bench.start(&wrong).await;
    let wrong_from = Timestamp::now();
    bench.send(5..9, 401).await;
    let wrong_until = Timestamp::now();
    assert_eq!(relay.terminate(), Some(0));
    let _relay = bench.start(&right).await;

    let gaps = bench.windows(start);
    let of_kind = |kind: &str| gaps.iter().filter(|gap| gap["kind"] == kind).collect::<Vec<_>>();
    let down = of_kind("down");
    assert_eq!(down.len(), 4, "one crash, three stops: {gaps:?}");
    check(down[0], killed_at, back_at, &serde_json::json!({"stopped": false, "clock_set_back": false}));
    check(down[1], stopped_at, started_at, &serde_json::json!({"stopped": true}));
    let full = serde_json::json!({"source": "callbacks.main", "cause": "full", "count": 3});
    check(of_kind("turned_away")[0], full_from, full_until, &full);
    let refused = serde_json::json!({"cause": "mismatch", "count": 4, "kept": 4, "settled": 0});
    check(of_kind("refused")[0], wrong_from, wrong_until, &refused);
    assert_eq!(gaps.len(), 6, "{gaps:?}");

    let (_, said) = bench.gaps(start, &[]);
    for text in [
        "ended without a word",
        "the relay was stopped",
        "3 requests were answered 503: the journal had no room",
        "4 requests were refused (mismatch): 0 accepted or purged since, 4 still kept, 0 not kept; \
         try `vodrelay refused accept --callback main --dry-run`",
        "callbacks: VOD tries each three times",
    ] {
        assert!(said.contains(text), "{text} is not said:\n{said}");
    }
    assert!(!said.contains("queues:"), "there is none:\n{said}");
    settled(&bench, start);
}

/// What was accepted is no gap any more; after all of it there is none.
fn settled(bench: &Bench, start: Timestamp) {
    let accept = ["refused", "accept", "--callback", "main", "--config", "vodrelay.toml"];
    assert_eq!(vodrelay(bench.folder.path(), &accept, "").status.code(), Some(0));
    assert!(bench.windows(start).iter().all(|gap| gap["kind"] != "refused"));
    let (code, said) = bench.gaps(Timestamp::now(), &[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.starts_with("no gap from "), "{said}");
    let (_, said) = bench.gaps(start - SignedDuration::from_hours(1), &[]);
    assert!(said.contains("nothing is known of the time before"), "{said}");
}
