//! `cargo xtask interop`: receivers made of other people's libraries, in other languages, take what the relay sends
//! and refuse what was altered; queue clients of other people find the MNS emulator to be what they know; Prometheus'
//! own tool takes the alert rules and a scrape; schemathesis finds the API to be what its document says. Needs what
//! `.ci/run` installs; says loudly what is missing.
#![expect(clippy::indexing_slicing, reason = "a JSON value answers null for a key that it does not have")]

mod api;
mod mns;
mod prometheus;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;

use crate::run::{cargo, root, target};

/// Test secrets; they guard nothing.
const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const OLD_SECRET: &str = "whsec_ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";
const RELAY_KEY: &str = "RelayCallbackKey2026";
const HANDLER_KEY: &str = "HandlerKey2026";
const PUBLIC_URL: &str = "https://relay.example.com/vod/callback";
const EVENTS: usize = 5;

/// Runs the queue clients against the emulator; then the receivers, the relay between, and compares what each says with
/// what was sent.
pub(crate) fn interop() -> Result<(), String> {
    prometheus::rules()?;
    let python = root().join("target/interop/venv/bin/python");
    let modules = root().join("xtask/interop/node/node_modules");
    if !python.is_file() || !modules.is_dir() {
        println!(
            "!!! interop was SKIPPED: run .ci/run once, which installs its Python and Node packages from lock files"
        );
        return Ok(());
    }
    // Built as for the tests, so that `ci` finds it ready: a build of the one package would compile half of it anew.
    cargo(&["test", "--workspace", "--locked", "--no-run", "--quiet"], &[])?;
    mns::clients(&python)?;
    api::check(&python)?;
    let folder = fresh("relay")?;

    let python = Receiver::start(&python, "python/receiver.py", SECRET)?;
    // The receiver knows the old secret only: during a rotation the relay signs with both.
    let node = Receiver::start(Path::new("node"), "node/receiver.js", OLD_SECRET)?;
    let handler = Receiver::start(Path::new("node"), "node/handler.js", HANDLER_KEY)?;
    let (http, admin) = (free_port()?, free_port()?);
    let relay = start_relay(&folder, (&http, &admin), &python, &node, &handler)?;
    for number in 0..EVENTS {
        trigger(&http, number)?;
    }
    let outcome = compare(&python, &node, &handler).and_then(|()| prometheus::scrape(&admin));
    drop(relay);
    outcome
}

fn compare(python: &Receiver, node: &Receiver, handler: &Receiver) -> Result<(), String> {
    let lists = [
        (python, "raw"),
        (python, "standard"),
        (python, "cloudevents"),
        (node, "standard"),
        (node, "cloudevents"),
        (handler, "accepted"),
    ];
    let mut failures = Vec::new();
    for (receiver, list) in lists {
        let report = receiver.wait_for(list, EVENTS)?;
        let taken = distinct_videos(&report, list);
        println!("{:<22} {list:<12} {taken} of {EVENTS} events taken", receiver.script);
        if taken != EVENTS {
            failures.push(format!("{} {list}: {taken} of {EVENTS}: {}", receiver.script, report["errors"]));
        }
    }
    for receiver in [python, node] {
        let report = receiver.report()?;
        let (refused, accepted) = (&report["altered_refused"], &report["altered_accepted"]);
        println!("{:<22} altered      {refused} refused, {accepted} accepted", receiver.script);
        if *accepted != 0 || refused.as_u64().unwrap_or(0) < EVENTS as u64 {
            failures.push(format!("{}: altered deliveries were not all refused", receiver.script));
        }
        if report["errors"].as_array().is_none_or(|errors| !errors.is_empty()) {
            failures.push(format!("{}: {}", receiver.script, report["errors"]));
        }
    }
    if handler.report()?["refused"] != 0 {
        failures.push("the unchanged handler refused signatures".to_owned());
    }
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n  ")) }
}

fn distinct_videos(report: &Value, list: &str) -> usize {
    let entries = report[list].as_array().into_iter().flatten();
    let videos = entries.filter_map(|entry| entry["video_id"].as_str());
    videos.collect::<std::collections::BTreeSet<_>>().len()
}

/// A receiver in a process of its own; ended with this value.
struct Receiver {
    script: &'static str,
    child: Child,
    port: u16,
}

impl Receiver {
    fn start(program: &Path, script: &'static str, argument: &str) -> Result<Self, String> {
        let path = root().join("xtask/interop").join(script);
        let mut child = Command::new(program)
            .arg(&path)
            .arg(argument)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{} could not be started: {error}", path.display()))?;
        let mut line = String::new();
        let out = child.stdout.take().ok_or("no output")?;
        BufReader::new(out).read_line(&mut line).map_err(|error| format!("{script}: {error}"))?;
        let port =
            line.trim().parse().map_err(|_| format!("{script} printed {line:?} instead of its port"))?;
        Ok(Self { script, child, port })
    }

    fn report(&self) -> Result<Value, String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))
            .map_err(|error| format!("{}: {error}", self.script))?;
        let mut answer = String::new();
        stream
            .write_all(b"GET /report HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            .map_err(|error| error.to_string())?;
        stream.read_to_string(&mut answer).map_err(|error| error.to_string())?;
        let (from, to) = (answer.find('{').ok_or("no report")?, answer.rfind('}').ok_or("no report")?);
        serde_json::from_str(answer.get(from..=to).unwrap_or_default()).map_err(|error| error.to_string())
    }

    fn wait_for(&self, list: &str, count: usize) -> Result<Value, String> {
        for _ in 0..200 {
            let report = self.report()?;
            if distinct_videos(&report, list) >= count
                || report["errors"].as_array().is_some_and(|errors| !errors.is_empty())
            {
                return Ok(report);
            }
            sleep(Duration::from_millis(50));
        }
        self.report()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder below those of interop that has nothing in it.
fn fresh(name: &str) -> Result<PathBuf, String> {
    let folder = root().join("target/interop").join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).map_err(|error| format!("cannot create {}: {error}", folder.display()))?;
    Ok(folder)
}

/// A relay in a process of its own; ended with this value.
struct Relay(Child);

impl Relay {
    /// Returns once callbacks are taken.
    fn start(folder: &Path, config: &str, http: &str) -> Result<Self, String> {
        let file = folder.join("vodrelay.toml");
        fs::write(&file, config).map_err(|error| error.to_string())?;
        let log = fs::File::create(folder.join("log")).map_err(|error| error.to_string())?;
        let child = Command::new(binary("vodrelay"))
            .args(["serve", "--config"])
            .arg(&file)
            .stdin(Stdio::null())
            .stderr(log)
            .spawn();
        let relay = Self(child.map_err(|error| format!("the relay could not be started: {error}"))?);
        for _ in 0..400 {
            if TcpStream::connect(http).is_ok() {
                return Ok(relay);
            }
            sleep(Duration::from_millis(25));
        }
        let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
        Err(format!("the relay did not come up:\n{log}"))
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start_relay(
    folder: &Path,
    (http, admin): (&str, &str),
    python: &Receiver,
    node: &Receiver,
    handler: &Receiver,
) -> Result<Relay, String> {
    let mut config = format!(
        "[http]\nlisten = \"{http}\"\n[http.callbacks.main]\npublic_url = \"{PUBLIC_URL}\"\nkeys = [\"{RELAY_KEY}\"]\n\
         [journal]\nmin_free = \"256MiB\"\n[admin]\nlisten = \"{admin}\"\n"
    );
    let both = format!("secret = [\"{SECRET}\", \"{OLD_SECRET}\"]");
    let sinks = [
        ("python_raw", python.port, "raw", "raw", both.as_str()),
        ("python_standard", python.port, "standard", "standard", &both),
        ("python_cloudevents", python.port, "cloudevents", "cloudevents", &both),
        ("node_standard", node.port, "standard", "standard", &both),
        ("node_cloudevents", node.port, "cloudevents", "cloudevents", &both),
    ];
    for (name, port, path, format, secret) in sinks {
        config += &format!(
            "[sinks.{name}]\nkind = \"webhook\"\n[sinks.{name}.options]\nurl = \"http://127.0.0.1:{port}/{path}\"\nformat = \"{format}\"\n{secret}\n"
        );
    }
    config += &format!(
        "[sinks.handler]\nkind = \"webhook\"\n[sinks.handler.options]\nurl = \"http://127.0.0.1:{}/vod/callback\"\n\
         vod_key = \"{HANDLER_KEY}\"\nvod_url = \"https://api.example.com/vod/callback\"\nsuccess = [\"200\"]\n",
        handler.port
    );
    Relay::start(folder, &config, http)
}

fn trigger(http: &str, number: usize) -> Result<(), String> {
    let to = format!("http://{http}/vod/callback");
    let title = format!("Extend={{\"number\":{number}}}");
    let words = ["trigger", "--to", &to, "--sign-url", PUBLIC_URL, "--key", RELAY_KEY, "--set", &title];
    let output = Command::new(binary("vodrelay")).args(words).output().map_err(|error| error.to_string())?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

fn binary(name: &str) -> PathBuf {
    target().join("debug").join(name)
}

fn free_port() -> Result<String, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    listener.local_addr().map(|address| address.to_string()).map_err(|error| error.to_string())
}
