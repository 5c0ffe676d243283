//! `drain` beside a running relay with a callback, a queue and a sink.

use std::time::Duration;

use mns_emulator::{Attributes, Emulator, Settings};
use vodrelay_core::testing::event_body;

use crate::cli::{check_in, vodrelay};
use crate::receiver::Receiver;
use crate::relay::{Process, accepted, client, configuration, free_port, until, webhook};
use crate::sinks::waits;

const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_relay_takes_nothing_from_queues_and_finishes_what_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let emulator = Emulator::start(Settings::default()).await.unwrap();
    emulator.create_queue("vod-events", Attributes::default()).unwrap();
    let receiver = Receiver::start().await;
    receiver.answer_with(503);
    let (http, admin) = (free_port(), free_port());
    let queue = format!(
        "[mns.queues.main]\nendpoint = \"{}\"\nqueue = \"vod-events\"\n\
         credentials = {{ kind = \"static\", access_key_id = \"AK\", access_key_secret = \"SK\" }}\n",
        emulator.endpoint()
    );
    let config = configuration(http, admin) + &webhook(receiver.address) + &queue;
    let mut relay = Process::start_with(folder, &config, http, admin).await;
    let client = client();
    let status = async |url: String| client.get(url).send().await.unwrap().status().as_u16();
    let (ready, health) = (format!("http://{admin}/readyz"), format!("http://{http}/healthz"));
    assert_eq!((status(ready.clone()).await, status(health.clone()).await), (200, 200));
    accepted(&client, http, event_body(1)).await;

    check_in(folder, &["drain", "--wait", "--timeout", "1s"], "", 69, "deliveries that are still pending: 1");
    assert_eq!((status(ready.clone()).await, status(health.clone()).await), (503, 503));
    let told = client.get(format!("{ready}?verbose")).send().await.unwrap().text().await.unwrap();
    assert!(told.contains("running: the relay is drained"), "{told}");
    check_in(folder, &["check"], "", 0, "warning    relay: it is drained");
    check_in(folder, &["check"], "", 0, "key 1 was last used");
    let other = tempfile::tempdir().unwrap();
    std::fs::write(other.path().join("vodrelay.toml"), &config).unwrap();
    let told = vodrelay(other.path(), &["check"], "").stdout;
    let told = String::from_utf8(told).unwrap();
    assert!(!told.contains("drained") && !told.contains("last used"), "of another relay: {told}");
    // What comes all the same is accepted.
    accepted(&client, http, event_body(2)).await;
    // A poll that was under way may still bring one message.
    tokio::time::sleep(Duration::from_millis(500)).await;
    for number in 3..6 {
        emulator.send("vod-events", std::str::from_utf8(&event_body(number)).unwrap()).unwrap();
    }
    // The configuration is read again, and the queue stays alone.
    relay.hang_up();
    receiver.answer_with(200);
    check_in(folder, &["drain", "--wait"], "", 0, "nothing is pending; the relay may be stopped");
    assert!(waits(folder, "hook", 0) && receiver.count() == 2);
    assert_eq!(emulator.messages("vod-events").len(), 3, "nobody takes them");

    check_in(folder, &["drain", "--undo"], "", 0, "the relay takes everything in again");
    until("the messages", PATIENCE, || receiver.count() == 5).await;
    assert_eq!((status(ready).await, status(health).await), (200, 200));
    check_in(folder, &["drain", "--undo"], "", 0, "the relay was not drained");
    check_in(folder, &["drain", "--undo", "--wait"], "", 64, "cannot be used with");
    assert_eq!(relay.terminate(), Some(0));
    check_in(folder, &["drain", "--wait"], "", 69, "does not answer");
}
