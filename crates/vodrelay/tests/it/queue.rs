//! The relay with a queue: what is written to it is delivered, whatever happens, and not deleted before it is durable.
//!
//! `TORTURE_MESSAGES` and `TORTURE_KILLS` make the test with kills longer (`cargo xtask torture` does); `TORTURE_SEED`
//! repeats the moments at which it kills and the dice of its faults.

use std::collections::HashSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use mns_emulator::{AccessKey, Attributes, Emulator, Fault, Operation, Settings};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::Instant;
use vodrelay_core::testing::event_body;
use vodrelay_journal::Reader;

use crate::deletions::Deletions;
use crate::number;
use crate::receiver::Receiver;
use crate::relay::{KEY, Process, attempt, client, configuration, free_port, until, webhook};

async fn emulator(settings: Settings, attributes: Attributes) -> Emulator {
    let settings = Settings { access_keys: vec![AccessKey::new("AK", "SK")], ..settings };
    let emulator = Emulator::start(settings).await.unwrap();
    emulator.create_queue("vod-events", attributes).unwrap();
    emulator
}

fn with_queue(config: &str, emulator: &Emulator) -> String {
    let endpoint = emulator.endpoint();
    format!(
        r#"{config}
[mns.queues.main]
endpoint = "{endpoint}"
queue = "vod-events"
credentials = {{ kind = "static", access_key_id = "AK", access_key_secret = "SK" }}
labels = {{ region = "cn-shanghai" }}
"#
    )
}

fn text(number: usize) -> String {
    String::from_utf8(event_body(number).to_vec()).unwrap()
}

fn vodrelay(folder: &Path, args: &[&str]) -> (Option<i32>, String) {
    let config = folder.join("vodrelay.toml");
    let done =
        Command::new(env!("CARGO_BIN_EXE_vodrelay")).args(args).arg("--config").arg(config).output().unwrap();
    let said = [done.stdout, done.stderr].concat();
    (done.status.code(), String::from_utf8(said).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_over_both_transports_is_delivered_once_and_the_commands_know_the_queue() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    let short = Attributes { message_retention_period: 3_600, ..Attributes::default() };
    let emulator = emulator(Settings::default(), short).await;
    let (http, admin) = (free_port(), free_port());
    let config = with_queue(&(configuration(http, admin) + &webhook(receiver.address)), &emulator);
    let mut relay = Process::start_with(folder.path(), &config, http, admin).await;

    assert_eq!(attempt(&client(), http, event_body(1), KEY).await, Some(200));
    emulator.send("vod-events", &text(1)).unwrap();
    let (code, said) = vodrelay(folder.path(), &["trigger", "--queue", "main"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("queue vod-events has it as message"), "{said}");
    until("both deliveries", Duration::from_secs(10), || receiver.count() == 2).await;
    until("the deletions", Duration::from_secs(10), || emulator.messages("vod-events").is_empty()).await;
    let metrics = client().get(format!("http://{admin}/metrics")).send().await.unwrap().text().await.unwrap();
    for line in [
        "vodrelay_duplicates_total{transport=\"mns\"} 1",
        "vodrelay_mns_up{queue=\"main\"} 1",
        "vodrelay_mns_deletions_total{queue=\"main\",outcome=\"deleted\"} 2",
    ] {
        assert!(metrics.contains(line), "{line} is not among the metrics:\n{metrics}");
    }

    let (code, said) = vodrelay(folder.path(), &["check"]);
    assert_eq!(code, Some(0), "{said}");
    for expected in ["queue main: vod-events answers", "set MessageRetentionPeriod", "both are served"] {
        assert!(said.contains(expected), "{said}");
    }
    let event = folder.path().join("event.json");
    std::fs::write(&event, text(1)).unwrap();
    let event = event.to_str().unwrap();
    for (source, takes) in [("queues.main", "gets it"), ("callbacks.main", "does not")] {
        let labelled = format!(
            "{config}[sinks.east]\nkind = \"archive\"\nlabels = {{ region = \"cn-shanghai\" }}\n[sinks.east.options]\nurl = \"file:archive\"\n"
        );
        std::fs::write(folder.path().join("vodrelay.toml"), labelled).unwrap();
        let (_, said) = vodrelay(folder.path(), &["explain", event, "--source", source]);
        assert!(said.contains(&format!("sink    east {takes}")), "{said}");
    }

    assert_eq!(relay.terminate(), Some(0));
    assert_eq!(receiver.deliveries(), 2);
    assert_eq!(emulator.waiting(), 0, "the poll ended with the relay");
    emulator.stop().await;
    let (code, said) = vodrelay(folder.path(), &["check"]);
    assert_eq!(code, Some(69), "{said}");
    assert!(said.contains("see whether this machine reaches the endpoint"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_with_everything_going_wrong_loses_no_message() {
    let (messages, kills) = (number("TORTURE_MESSAGES", 1_000), number("TORTURE_KILLS", 3));
    let seed = number("TORTURE_SEED", rand::random::<u32>() as usize) as u64;
    println!("TORTURE_SEED={seed}");
    let limit = Duration::from_secs(60) + Duration::from_millis(10) * messages as u32;
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    let deletions = Deletions::default();
    let settings = Settings {
        seed,
        faults: faults(),
        slow_by: Duration::from_millis(50),
        observer: Some(deletions.observer()),
        ..Settings::default()
    };
    // What is in hand at a kill comes back that soon.
    let soon = Attributes { visibility_timeout: 1, ..Attributes::default() };
    let emulator = emulator(settings, soon).await;
    let (http, admin) = (free_port(), free_port());
    let config = with_queue(&(configuration(http, admin) + &webhook(receiver.address)), &emulator);
    let mut relay = Process::start_with(folder.path(), &config, http, admin).await;
    let open = || Reader::open(&folder.path().join("data"));
    until("the journal", Duration::from_secs(10), || open().is_ok()).await;
    deletions.look_into(&folder.path().join("data"));

    for number in 0..messages {
        emulator.send("vod-events", &text(number)).unwrap();
    }
    let started = Instant::now();
    for due in moments(kills, messages, seed) {
        let in_hand = || emulator.counts("vod-events").inactive;
        let mut struck = 0;
        // The last message in hand may be deleted just before the kill, which is no kill to speak of then.
        while struck == 0 {
            let strike = || emulator.ledger().deleted() >= due && in_hand() > 0;
            until("the moment to strike", limit, strike).await;
            relay.kill_9();
            struck = in_hand();
            println!(
                "kill -9 after {} deletions: {struck} messages were in hand",
                emulator.ledger().deleted()
            );
            relay = Process::start_with(folder.path(), &config, http, admin).await;
        }
    }
    until("the drain", limit, || emulator.counts("vod-events").all() == 0).await;
    let drained = started.elapsed();
    let deletions = deletions.all_in_time();
    assert!(deletions >= messages, "the observer saw {deletions} deletions");
    until("the deliveries", limit, || receiver.count() == messages).await;

    let sent: HashSet<_> = (0..messages).map(event_body).collect();
    assert!(receiver.bodies().iter().all(|body| sent.contains(body)), "no body differs by a byte");
    println!(
        "{messages} messages, {kills} kills: all delivered, {} more than once; {deletions} deletions, each of a message in \
         the journal; {:.3} requests for each message, faults and all; drained in {:.1} s",
        receiver.deliveries() - receiver.count(),
        emulator.ledger().requests_per_message().unwrap(),
        drained.as_secs_f64(),
    );
    assert_eq!(relay.terminate(), Some(0));
}

/// After how many deletions to kill: at random, and in that order.
fn moments(kills: usize, messages: usize, seed: u64) -> Vec<u64> {
    let mut dice = StdRng::seed_from_u64(seed);
    let mut moments: Vec<u64> = (0..kills).map(|_| dice.random_range(0..messages as u64 * 9 / 10)).collect();
    moments.sort_unstable();
    moments
}

fn faults() -> Vec<mns_emulator::Injection> {
    vec![
        Fault::Throttle.always().share(0.05),
        Fault::Unavailable.always().share(0.03),
        Fault::Duplicate.always().share(0.05),
        Fault::Reorder.always().share(0.2),
        Fault::ShortBatch.always().share(0.2),
        Fault::EarlyEmpty.always().share(0.02),
        Fault::PartialBatch.always().share(0.05),
        Fault::Slow.always().share(0.1),
        Fault::DropAfter.always().on(Operation::BatchDeleteMessage).share(0.1),
        Fault::DropAfter.always().on(Operation::BatchReceiveMessage).share(0.02),
        Fault::Cut.always().share(0.02),
    ]
}
