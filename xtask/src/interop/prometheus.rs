//! What Prometheus' own tool says of the alert rules, of their tests, and of a scrape of a relay that has worked.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::run::root;

/// The rules are right, and each alert fires when it should, and not otherwise.
pub(super) fn rules() -> Result<(), String> {
    let Some(promtool) = promtool() else {
        println!(
            "!!! promtool is not there, so alert rules and metrics were NOT checked: run .ci/run once, or install prometheus"
        );
        return Ok(());
    };
    let folder = root().join("packaging/prometheus");
    for words in [["check", "rules", "vodrelay.rules.yml"], ["test", "rules", "vodrelay.rules.test.yml"]] {
        let status = Command::new(&promtool).args(words).current_dir(&folder).status();
        let status = status.map_err(|error| format!("promtool could not be started: {error}"))?;
        if !status.success() {
            return Err(format!("promtool {} failed ({status})", words.join(" ")));
        }
    }
    Ok(())
}

/// The metrics are such as Prometheus likes.
pub(super) fn scrape(admin: &str) -> Result<(), String> {
    let Some(promtool) = promtool() else { return Ok(()) };
    let text = ask(admin).map_err(|error| format!("no scrape from {admin}: {error}"))?;
    let mut child = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .spawn()
        .map_err(|error| format!("promtool could not be started: {error}"))?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(text.as_bytes()).map_err(|error| format!("promtool check metrics: {error}"))?;
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    println!(
        "promtool check metrics: {} series, {status}",
        text.lines().filter(|line| !line.starts_with('#')).count()
    );
    if status.success() { Ok(()) } else { Err("promtool does not like the metrics".to_owned()) }
}

fn ask(admin: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(admin)?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
    body.ok_or_else(|| std::io::Error::other("there is no body in the answer"))
}

/// That of the machine, else the one that `.ci/run` has unpacked.
fn promtool() -> Option<PathBuf> {
    let unpacked = root().join("target/interop/prometheus/usr/bin/promtool");
    [PathBuf::from("promtool"), unpacked].into_iter().find(|program| {
        let version =
            Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        version.is_ok_and(|status| status.success())
    })
}
