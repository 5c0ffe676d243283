//! What people do with a sink: pause and resume, over a restart; have it retried; rename and forget it.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tokio::time::sleep;
use vodrelay_core::testing::event_body;

use crate::cli::{check_in, vodrelay};
use crate::receiver::Receiver;
use crate::relay::{Process, accepted, client, configuration, free_port, until, webhook};

const PATIENCE: Duration = Duration::from_secs(20);
/// Long enough for a delivery that should not be made.
const A_MOMENT: Duration = Duration::from_millis(400);

/// So many deliveries wait for the sink.
pub(crate) fn waits(folder: &Path, sink: &str, pending: u64) -> bool {
    let is_so = |found: &Value| found["sink"] == sink && found["pending"] == pending;
    listed(folder).is_some_and(|sinks| sinks.iter().any(is_so))
}

/// It is not configured, and has nothing left.
pub(crate) fn is_gone(folder: &Path, sink: &str) -> bool {
    listed(folder).is_some_and(|sinks| sinks.iter().all(|found| found["sink"] != sink))
}

fn listed(folder: &Path) -> Option<Vec<Value>> {
    let listed = vodrelay(folder, &["sinks", "list", "--json"], "").stdout;
    let listed: Value = serde_json::from_slice(&listed).ok()?;
    listed.get("sinks")?.as_array().cloned()
}

pub(crate) fn says(folder: &Path, words: &[&str], text: &str) -> bool {
    String::from_utf8(vodrelay(folder, words, "").stdout).unwrap().contains(text)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let receiver = Receiver::start().await;
    let (http, admin) = (free_port(), free_port());
    let mut relay = Process::start_at(folder, receiver.address, http, admin).await;
    let client = client();
    check_in(folder, &["sinks", "pause", "nobody"], "", 65, "no sink nobody is configured");
    let pause = ["sinks", "pause", "hook", "--reason", "a deployment"];
    check_in(folder, &pause, "", 0, "hook is paused since");
    accepted(&client, http, event_body(1)).await;
    sleep(A_MOMENT).await;
    assert_eq!(receiver.count(), 0);
    check_in(folder, &["sinks", "list"], "", 0, "PAUSED since");
    check_in(
        folder,
        &["sinks", "retry-now", "hook"],
        "",
        0,
        "it is paused, and they wait for `vodrelay sinks resume hook`",
    );
    check_in(folder, &["check", "--offline"], "", 0, "(a deployment); `vodrelay sinks resume hook`");
    let metrics = client.get(format!("http://{admin}/metrics")).send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains(r#"vodrelay_sink_paused{sink="hook"} 1"#), "{metrics}");
    assert_eq!(relay.terminate(), Some(0));

    let mut relay = Process::start_at(folder, receiver.address, http, admin).await;
    sleep(A_MOMENT).await;
    assert_eq!(receiver.count(), 0);
    let log = std::fs::read_to_string(folder.join("log")).unwrap();
    assert!(log.contains("the sink is paused; what comes for it waits"), "{log}");
    check_in(folder, &["sinks", "resume", "hook"], "", 0, "hook goes on");
    until("the delivery", PATIENCE, || receiver.count() == 1).await;
    check_in(folder, &["sinks", "resume", "hook"], "", 0, "hook was not paused");

    // Its pause is what is left of a sink that was taken out, and would be in force again with it.
    check_in(folder, &pause, "", 0, "hook is paused since");
    assert_eq!(relay.terminate(), Some(0));
    let _relay = Process::start_with(folder, &configuration(http, admin), http, admin).await;
    check_in(folder, &["sinks", "list"], "", 0, "hook: PAUSED since");
    check_in(folder, &["sinks", "resume", "hook"], "", 0, "hook goes on");
    assert!(is_gone(folder, "hook"));
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_do_not_wait_when_somebody_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let receiver = Receiver::start().await;
    receiver.answer_with(503);
    let (http, admin) = (free_port(), free_port());
    let patient = webhook(receiver.address).replace("200ms", "1000h").replace("\"1s\"", "\"1000h\"");
    let config = configuration(http, admin) + &patient;
    let _relay = Process::start_with(folder, &config, http, admin).await;
    for number in 0..8 {
        accepted(&client(), http, event_body(number)).await;
    }
    until("the breaker", PATIENCE, || says(folder, &["sinks", "list"], "DOWN since")).await;
    receiver.answer_with(200);
    check_in(folder, &["sinks", "retry-now", "hook"], "", 0, "; it is down, and is tried at once");
    until("all of them", PATIENCE, || receiver.count() == 8).await;
    until("the breaker", PATIENCE, || !says(folder, &["sinks", "list"], "DOWN since")).await;
}

/// A configuration whose one sink has that name.
fn one_sink(http: SocketAddr, admin: SocketAddr, name: &str, receiver: &Receiver) -> String {
    let sink = webhook(receiver.address)
        .replace("[sinks.hook]", &format!("[sinks.{name}]"))
        .replace("[sinks.hook.", &format!("[sinks.{name}."));
    configuration(http, admin) + &sink
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_is_renamed_with_and_without_a_relay() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let receiver = Receiver::start().await;
    receiver.answer_with(503);
    let (http, admin) = (free_port(), free_port());
    check_in(folder, &["sinks", "rename", "one", "two"], "", 78, "configuration");
    let mut relay = Process::start_with(folder, &one_sink(http, admin, "one", &receiver), http, admin).await;
    for number in 0..3 {
        accepted(&client(), http, event_body(number)).await;
    }
    let rename = ["sinks", "rename", "one", "two"];
    check_in(folder, &rename, "", 64, "take [sinks.one] out of the configuration");
    assert_eq!(relay.terminate(), Some(0));
    check_in(folder, &rename, "", 64, "take [sinks.one] out of the configuration");
    check_in(folder, &["sinks", "forget", "one"], "", 64, "take [sinks.one] out of the configuration");
    std::fs::write(folder.join("vodrelay.toml"), one_sink(http, admin, "two", &receiver)).unwrap();
    check_in(folder, &["sinks", "rename", "nobody", "two"], "", 64, "never had a delivery for a sink nobody");
    check_in(folder, &["sinks", "rename", "one", "three"], "", 64, "sink three is not configured");
    check_in(folder, &["sinks", "forget", "nobody"], "", 65, "the journal knows none");
    check_in(folder, &rename, "", 0, "deliveries that were one's are two's: 3");

    // The new configuration is started before anybody thinks of the old name.
    let three = one_sink(http, admin, "three", &receiver);
    let _relay = Process::start_with(folder, &three, http, admin).await;
    accepted(&client(), http, event_body(3)).await;
    assert!(waits(folder, "two", 3));
    let gaps = ["gaps", "--since", "1h"];
    assert!(says(folder, &gaps, "was stopped"));
    assert!(
        !says(folder, &gaps, "without a word"),
        "what was refused left the journal as the relay closed it"
    );
    receiver.answer_with(200);
    check_in(
        folder,
        &["sinks", "rename", "two", "three"],
        "",
        0,
        "deliveries that were two's are three's: 3",
    );
    until("all of them", PATIENCE, || receiver.count() == 4).await;
    assert!(is_gone(folder, "two"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_forgotten_sink_becomes_dead_letters() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let receiver = Receiver::start().await;
    receiver.answer_with(503);
    let (http, admin) = (free_port(), free_port());
    let mut relay = Process::start_with(folder, &one_sink(http, admin, "old", &receiver), http, admin).await;
    accepted(&client(), http, event_body(1)).await;
    check_in(folder, &["sinks", "forget", "old"], "", 64, "sink old is configured");
    check_in(folder, &["sinks", "forget", "nobody"], "", 65, "the journal knows none");
    // Where there is no configuration a relay is asked that is named.
    let empty = tempfile::tempdir().unwrap();
    let named = format!("localhost:{}", admin.port());
    check_in(empty.path(), &["sinks", "list", "--admin", &named], "", 0, "old ");
    check_in(empty.path(), &["sinks", "list", "--admin", "localhost"], "", 64, "expected HOST:PORT");
    assert_eq!(relay.terminate(), Some(0));
    let _relay = Process::start_with(folder, &configuration(http, admin), http, admin).await;
    check_in(folder, &["sinks", "forget", "old"], "", 64, "become dead letters: 1; say --yes");
    check_in(folder, &["sinks", "forget", "old", "--yes"], "", 0, "old is forgotten; dead letters more: 1");
    check_in(folder, &["dead-letters", "list"], "", 0, "  forgotten  ");
    check_in(
        folder,
        &["replay", "--dead-letters"],
        "",
        0,
        "left alone: 1 are to a sink that is not configured",
    );
    check_in(folder, &["sinks", "list"], "", 0, "old   not configured        0       -     1          0\n");
    check_in(folder, &["dead-letters", "purge", "--yes"], "", 0, "1");
    check_in(folder, &["sinks", "list"], "", 0, "no sink is configured, and nothing is left of another\n");
}
