//! What other people's tools make of the API's document: openapi-spec-validator calls it valid, and schemathesis finds that
//! a relay which has something of everything does what is right by it, refuses what is wrong, and answers as it says.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;

use super::{PUBLIC_URL, RELAY_KEY, Relay, binary, free_port, fresh};
use crate::run::root;

/// A test token; it guards nothing.
const TOKEN: &str = "OperatorsToken2026";
/// The same requests in each run, as far as they are not made of what the relay answered.
const SEED: &str = "2026";
/// Of each operation, in each phase; with them it is done within about a minute.
const EXAMPLES: &str = "20";

pub(super) fn check(python: &Path) -> Result<(), String> {
    let tools = python.parent().unwrap_or(python);
    let (validator, tester) = (tools.join("openapi-spec-validator"), tools.join("schemathesis"));
    if !validator.is_file() || !tester.is_file() {
        println!(
            "!!! schemathesis is not there, so the API was NOT held against its document: run .ci/run once"
        );
        return Ok(());
    }
    let folder = fresh("api")?;
    let (http, admin) = (free_port()?, free_port()?);
    let relay = Relay::start(&folder, &configuration(&http, &admin), &http)?;
    fill(&folder, &http, &admin)?;

    let document = folder.join("openapi.json");
    let text = get(&admin, "/openapi.json")?.to_string();
    fs::write(&document, text).map_err(|error| format!("{}: {error}", document.display()))?;
    let said = run("openapi-spec-validator", Command::new(validator).arg(&document))?;
    println!("openapi-spec-validator {}", said.lines().last().unwrap_or_default());

    println!("schemathesis           seed {SEED}, {EXAMPLES} examples");
    let said = run(
        "schemathesis",
        Command::new(tester)
            .arg("--config-file")
            .arg(root().join("schemathesis.toml"))
            .args(["run", &format!("http://{admin}/api/v1/openapi.json")])
            .args(["--header", &format!("Authorization: Bearer {TOKEN}")])
            .args([
                "--seed",
                SEED,
                "--max-examples",
                EXAMPLES,
                "--continue-on-failure",
                "--request-timeout",
                "10",
            ])
            .env("NO_PROXY", "127.0.0.1")
            .current_dir(&folder),
    )?;
    let figures = said.lines().filter(|line| line.contains("Tested:") || line.contains("generated,"));
    figures.for_each(|line| println!("schemathesis           {}", line.trim()));
    drop(relay);
    Ok(())
}

/// What it delivers to `cms` is answered 404, which gives it up; nothing listens at the first port.
fn configuration(http: &str, admin: &str) -> String {
    format!(
        r#"
[http]
listen = "{http}"
[http.callbacks.main]
public_url = "{PUBLIC_URL}"
keys = ["{RELAY_KEY}"]
[journal]
min_free = "256MiB"
[admin]
listen = "{admin}"
token = "{TOKEN}"
[sinks.archive]
kind = "archive"
options = {{ url = "file:archive" }}
[sinks.cms]
kind = "webhook"
options = {{ url = "http://{http}/nowhere", permanent = ["404"] }}
[sinks.away]
kind = "webhook"
events = ["SnapshotComplete"]
options = {{ url = "http://127.0.0.1:1/" }}
"#
    )
}

/// Events that are delivered, given up, retried and unreadable, a refusal, a replay and what stands in the audit log of it.
fn fill(folder: &Path, http: &str, admin: &str) -> Result<(), String> {
    for event_type in ["DynamicImageComplete", "SnapshotComplete", "FileUploadComplete"] {
        trigger(http, RELAY_KEY, &[event_type])?;
    }
    let unreadable = folder.join("unreadable");
    fs::write(&unreadable, "no event").map_err(|error| error.to_string())?;
    trigger(http, RELAY_KEY, &["--file", &unreadable.display().to_string()])?;
    // It is refused, and says so.
    let _ = trigger(http, "AnotherKey2026", &[]);
    ask(http, "POST", "/vod/callback", "unproven").map_err(|error| error.to_string())?;
    for (list, count) in [("dead-letters", 4), ("refused", 2)] {
        wait_for(admin, list, count)?;
    }
    ask(admin, "POST", "/api/v1/replays", r#"{"what": "unrouted"}"#).map_err(|error| error.to_string())?;
    wait_for(admin, "replays", 1)
}

fn trigger(http: &str, key: &str, event: &[&str]) -> Result<(), String> {
    let to = format!("http://{http}/vod/callback");
    let words = ["trigger", "--to", &to, "--sign-url", PUBLIC_URL, "--key", key];
    run("vodrelay trigger", Command::new(binary("vodrelay")).args(words).args(event)).map(drop)
}

fn wait_for(admin: &str, list: &str, count: usize) -> Result<(), String> {
    let name = list.replace('-', "_");
    let mut found = Value::Null;
    for _ in 0..200 {
        found = get(admin, &format!("/{list}"))?;
        if found[&name].as_array().is_some_and(|items| items.len() >= count) {
            return Ok(());
        }
        sleep(Duration::from_millis(50));
    }
    Err(format!("/{list} does not come to {count}: {found}"))
}

fn get(admin: &str, path: &str) -> Result<Value, String> {
    let wrong = |why: String| format!("/api/v1{path}: {why}");
    let answer =
        ask(admin, "GET", &format!("/api/v1{path}"), "").map_err(|error| wrong(error.to_string()))?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| wrong("no answer".to_owned()))?;
    if !head.starts_with("HTTP/1.1 200") {
        return Err(wrong(answer));
    }
    serde_json::from_str(body).map_err(|error| wrong(error.to_string()))
}

fn ask(address: &str, method: &str, path: &str, body: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nauthorization: Bearer {TOKEN}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// What it prints, where it succeeds; else all of that is the error.
fn run(name: &str, command: &mut Command) -> Result<String, String> {
    let output = command.stdin(Stdio::null()).output();
    let Output { status, stdout, stderr } =
        output.map_err(|error| format!("{name} could not be started: {error}"))?;
    let said = String::from_utf8_lossy(&stdout).into_owned();
    if status.success() {
        return Ok(said);
    }
    Err(format!("{name} ({status}):\n{said}{}", String::from_utf8_lossy(&stderr)))
}
