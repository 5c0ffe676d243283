//! `check --against`: what another configuration would do to what came, beside a running relay.

use serde_json::Value;
use vodrelay_core::testing::event_body;

use crate::cli::{check_in, vodrelay};
use crate::receiver::Receiver;
use crate::relay::{Process, accepted, client, configuration, free_port, until, webhook};
use crate::sinks::waits;

#[tokio::test(flavor = "multi_thread")]
async fn what_would_no_longer_reach_whom_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let receiver = Receiver::start().await;
    let (http, admin) = (free_port(), free_port());
    let hook = webhook(receiver.address);
    let config = configuration(http, admin) + &hook;
    let _relay = Process::start_with(folder, &config, http, admin).await;
    let fail =
        br#"{"EventType":"DynamicImageComplete","Status":"fail","VideoId":"v","JobId":"j","ErrorCode":"X"}"#;
    for body in [event_body(1), event_body(2), fail.as_slice().into(), b"nothing".as_slice().into()] {
        accepted(&client(), http, body).await;
    }
    until("the settlements", std::time::Duration::from_secs(20), || waits(folder, "hook", 0)).await;
    check_in(
        folder,
        &["check", "--against", "1h"],
        "",
        0,
        "of which reach the same sinks: 3, cannot be read: 1",
    );

    let check = |config: &str, code: i32| -> Value {
        std::fs::write(folder.join("new.toml"), config).unwrap();
        let output = vodrelay(folder, &["check", "--against", "7d", "--config", "new.toml", "--json"], "");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{told}");
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let only = config.replace("kind = \"webhook\"", "kind = \"webhook\"\nstatus = \"success\"");
    let found = check(&only, 65);
    let row = &found["no_longer"][0];
    assert_eq!(
        (&row["sink"], &row["status"], &row["count"]),
        (&"hook".into(), &"fail".into(), &1.into()),
        "{found}"
    );
    assert_eq!(found["nobody"]["count"], 1);
    let example = row["example"].as_str().unwrap();
    check_in(folder, &["explain", example], "", 0, "\"status\": \"fail\"");
    check_in(
        folder,
        &["check", "--against", "7d", "--config", "new.toml"],
        "",
        65,
        "no longer get  hook  DynamicImageComplete  fail",
    );

    let more = config.clone() + &hook.replace("hook]", "second]").replace("hook.", "second.");
    let found = check(&more, 0);
    assert_eq!(
        (&found["newly"][0]["sink"], found["newly"].as_array().unwrap().len()),
        (&"second".into(), 2),
        "{found}"
    );
    let moved = config.replace("[http.callbacks.main]", "[http.callbacks.other]");
    assert_eq!(check(&moved, 65)["sources_gone"]["callbacks.main"]["count"], 4);
    check_in(
        folder,
        &["check", "--against", "7d", "--journal", "nowhere"],
        "",
        65,
        "there is no journal in nowhere",
    );
}
