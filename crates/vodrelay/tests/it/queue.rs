//! The relay with a queue: an event over both transports is one, and the commands know the queue.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use mns_emulator::{AccessKey, Attributes, Emulator, Settings};
use vodrelay_core::testing::event_body;

use crate::receiver::Receiver;
use crate::relay::{Process, accepted, client, configuration, free_port, until, webhook};

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

    accepted(&client(), http, event_body(1)).await;
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
