//! Published queue clients run their whole life cycle against the emulator, in the look of both generations of the
//! service. Each script checks every step by itself.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::binary;
use crate::run::root;

/// Runs each client against the emulator as it was built last; the first that is not content ends it.
pub(super) fn clients(python: &Path) -> Result<(), String> {
    let node = Path::new("node");
    for generation in [&["--format", "current"][..], &["--format", "old", "--compact", "--chunked"]] {
        let emulator = Emulator::start(generation)?;
        run(python, "python/mns_queue.py", &emulator)?;
        run(node, "node/mns_alicloud.js", &emulator)?;
        run(node, "node/mns_ali.js", &emulator)?;
    }
    Ok(())
}

fn run(program: &Path, script: &str, emulator: &Emulator) -> Result<(), String> {
    let output = Command::new(program)
        .arg(root().join("xtask/interop").join(script))
        .arg(&emulator.endpoint)
        // One of the clients knows no endpoint but the provider's; the others do not look at it.
        .envs([
            ("HTTP_PROXY", emulator.endpoint.as_str()),
            ("no_proxy", "127.0.0.1"),
            ("NODE_NO_WARNINGS", "1"),
        ])
        .output()
        .map_err(|error| format!("{script} could not be started: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{script} is not content with the emulator ({}):\n{said}", emulator.words));
    }
    println!("{script:<22} {:<36} {}", emulator.words, String::from_utf8_lossy(&output.stdout).trim());
    Ok(())
}

/// An emulator in a process of its own; ended with this value.
struct Emulator {
    child: Child,
    endpoint: String,
    words: String,
}

impl Emulator {
    fn start(words: &[&str]) -> Result<Self, String> {
        let mut child = Command::new(binary("mns-emulator"))
            .args(["--access-key-id", "AK", "--access-key-secret", "SK"])
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("the emulator could not be started: {error}"))?;
        let mut endpoint = String::new();
        let out = child.stdout.take().ok_or("no output")?;
        BufReader::new(out).read_line(&mut endpoint).map_err(|error| error.to_string())?;
        Ok(Self { child, endpoint: endpoint.trim().to_owned(), words: words.join(" ") })
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
