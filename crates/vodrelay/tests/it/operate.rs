//! The commands that talk to a running relay.

use std::time::Duration;

use vodrelay_core::testing::event_body;

use crate::cli::{check_in, vodrelay};
use crate::relay::{Process, accepted, client, configuration, free_port, until};

const SINKS: &str = r#"
[sinks.files]
kind = "archive"
[sinks.files.options]
url = "file:archive"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_sinks_of_a_running_relay() {
    let folder = tempfile::tempdir().unwrap();
    let (http, admin) = (free_port(), free_port());
    let config = configuration(http, admin) + SINKS;
    let relay = Process::start_with(folder.path(), &config, http, admin).await;
    accepted(&client(), http, event_body(1)).await;
    let config = folder.path().join("vodrelay.toml");
    let config = config.to_str().unwrap();

    let list = ["sinks", "list", "--config", config];
    let shown = || String::from_utf8(vodrelay(folder.path(), &list, "").stdout).unwrap();
    let table =
        "SINK   STATE  PENDING  OLDEST  DEAD  DELIVERED\nfiles  up           0       -     0          1\n";
    until("the settlement", Duration::from_secs(10), || shown() == table).await;
    let json = ["sinks", "list", "--json", "--config", config];
    check_in(folder.path(), &json, "", 0, r#""configured": true"#);

    drop(relay);
    check_in(folder.path(), &list, "", 69, "does not answer");
}
