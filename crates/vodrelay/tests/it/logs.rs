//! Logs for machines: the fields are those that the documents list, and each line about an event says which.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use vodrelay_core::testing::event_body;

use crate::metrics::files::{read, sources};
use crate::receiver::Receiver;
use crate::relay::{Process, accepted, client, configuration, free_port, until, webhook};

const PATIENCE: Duration = Duration::from_secs(20);

/// A relay that tells of each event.
async fn start(folder: &Path, config: &str, http: std::net::SocketAddr) -> Process {
    std::fs::write(folder.join("vodrelay.toml"), config).unwrap();
    let log = std::fs::File::create(folder.join("log")).unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_vodrelay"))
        .args(["serve", "--log", "info,vodrelay_http=debug,vodrelay_core=debug", "--config"])
        .arg(folder.join("vodrelay.toml"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap();
    let process = Process::of(child);
    let is_up = || std::net::TcpStream::connect(http).is_ok();
    until("the start", PATIENCE, is_up).await;
    process
}

fn lines(folder: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join("log")).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_of_an_events_way_says_which_event() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let receiver = Receiver::start().await;
    let (http, admin) = (free_port(), free_port());
    let more = webhook(receiver.address).replace("sinks.hook", "sinks.strict") + "permanent = [\"503\"]\n";
    let config = configuration(http, admin) + &webhook(receiver.address) + &more;
    let mut relay = start(folder, &config, http).await;
    receiver.answer_with(503);
    let client = client();
    let body = event_body(7);
    let id = vod_event::read(&body).unwrap().id().to_string();
    accepted(&client, http, body.clone()).await;
    let says = |what: &str| {
        let of_it = lines(folder).into_iter().filter(|line| line["event.id"] == *id);
        of_it.filter(|line| line["message"].as_str().unwrap().contains(what)).count()
    };
    until("a failure", PATIENCE, || says("delivery failed") > 0 && says("delivery given up") > 0).await;
    receiver.answer_with(200);
    until("the delivery", PATIENCE, || says("delivered") > 0).await;
    accepted(&client, http, body).await;
    accepted(&client, http, "no event".into()).await;
    assert_eq!(relay.terminate(), Some(0));
    assert_eq!(says("a callback was accepted"), 2, "and the repeat");

    for line in lines(folder) {
        let message = line["message"].as_str().unwrap();
        let about_one = ["a callback was accepted", "delivery ", "delivered", "cannot be read as an event"];
        let is_about_one =
            about_one.iter().any(|about| message.contains(about)) || line.get("attempt").is_some();
        let named = line["event.id"].as_str().is_some_and(|id| id.starts_with("evt_1"));
        assert_eq!(named, is_about_one, "{line}");
        assert!(line["timestamp"].is_string() && line["level"].is_string(), "{line}");
    }
}

/// The names of fields in what sources log: of `tracing::warn!(a.b = 1, %c, "said {d}")` a.b and c.
fn fields_of(sources: &str) -> BTreeSet<String> {
    let levels = ["error", "warn", "info", "debug", "trace"];
    // The admin API's own macro is called with a filter first, which is no field.
    let begins = levels.map(|level| format!("tracing::{level}!(")).into_iter().chain(["tell!(".to_owned()]);
    let calls = begins.flat_map(|begin| sources.split(&begin).skip(1).map(str::to_owned).collect::<Vec<_>>());
    let mut found = BTreeSet::new();
    for call in calls {
        for part in parts_of(&call).iter().map(|part| part.trim()).filter(|part| !part.starts_with('"')) {
            let name = part.trim_start_matches(['%', '?']).split([' ', '=']).next().unwrap();
            if !name.starts_with(['$', '&']) {
                found.insert(name.to_owned());
            }
        }
    }
    found
}

/// What stands between the commas of a call, up to its message.
fn parts_of(call: &str) -> Vec<&str> {
    let (mut parts, mut from, mut depth, mut quoted, mut escaped) = (Vec::new(), 0, 0, false, false);
    for (at, character) in call.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted => {}
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' if depth > 0 => depth -= 1,
            ',' | ')' if depth == 0 => {
                let part = &call[from..at];
                parts.push(part);
                if character == ')' || part.trim_start().starts_with('"') {
                    break;
                }
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.into_iter().filter(|part| !part.trim().is_empty()).collect()
}

#[test]
fn fields_are_found_in_sources() {
    let check = |source: &str, expect: &[&str]| {
        assert_eq!(fields_of(source).into_iter().collect::<Vec<_>>(), expect, "{source}");
    };
    check(r#"tracing::warn!(a.b = f(1, 2), %c, d = ?e, "said {f}, g = 1");"#, &["a.b", "c", "d"]);
    check("tracing::info!(\n    \"nothing, but words\"\n)", &[]);
    check(r#"tracing::error!(a = "x, y)", "b"); other(c = 1, "d")"#, &["a"]);
}

#[test]
fn the_list_of_fields_is_true() {
    let document = read("docs/OPERATIONS.md");
    let logs = document.split("\n## ").find(|section| section.starts_with("Logs")).unwrap();
    let rows =
        logs.lines().filter_map(|line| line.strip_prefix("| `")).filter_map(|row| row.split_once(" |"));
    let listed: BTreeSet<String> = rows
        .flat_map(|(names, _)| names.split('`').filter(|name| !name.contains(',')).map(str::to_owned))
        .filter(|name| !name.is_empty())
        .collect();
    let logged = fields_of(&sources());
    assert!(logged.len() > 50, "{logged:?}");
    let missing: Vec<&String> = logged.difference(&listed).collect();
    assert!(missing.is_empty(), "docs/OPERATIONS.md, \"Logs\", does not list {missing:?}");
    let gone: Vec<&String> = listed.difference(&logged).collect();
    assert!(gone.is_empty(), "docs/OPERATIONS.md, \"Logs\", lists what nothing logs: {gone:?}");
}
