//! `cargo xtask torture breaks`: breaks the promise on purpose, in a copy of the sources, and demands that the harness
//! sees it. A harness that sees nothing shows nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run::{cargo, root, target};
use crate::torture;

/// One mistake, made by putting some words in the place of others.
struct Break {
    what: &'static str,
    file: &'static str,
    find: &'static str,
    put: &'static str,
    /// The row that has to see it, and how often that strikes.
    row: &'static str,
    times: &'static str,
}

const BREAKS: [Break; 3] = [
    Break {
        what: "200 before the commit",
        file: "crates/vodrelay-core/src/intake.rs",
        find: "match self.journal.append(&envelope, &sinks).await {",
        put: "match {
            let (journal, of, to) = (Arc::clone(&self.journal), envelope.clone(), sinks.clone());
            tokio::spawn(async move { journal.append(&of, &to).await });
            Ok::<_, JournalError>(Appended::New)
        } {",
        row: "kill",
        times: "30",
    },
    Break {
        what: "syncs off",
        file: "crates/vodrelay-journal/src/open.rs",
        find: "PRAGMA synchronous = FULL;",
        put: "PRAGMA synchronous = OFF;",
        row: "power-cut",
        times: "5",
    },
    Break {
        what: "settled before the sink has answered",
        file: "crates/vodrelay-core/src/dispatcher/attempt.rs",
        find: "let delivering = async { sink.deliver(&delivery).await };",
        put: "let (to, of) = (Arc::clone(&sink), delivery.clone());
    tokio::spawn(async move { to.deliver(&of).await });
    let delivering = async { Ok(Receipt::default()) };",
        row: "kill",
        times: "5",
    },
];

/// Breaks, builds and tortures, one after the other; an error where the harness finds nothing missing.
pub(crate) fn run() -> Result<(), String> {
    let folder = target().join("breaks");
    let (sources, built) = (folder.join("sources"), folder.join("target"));
    let mut unseen = Vec::new();
    for one in &BREAKS {
        copy_sources(&sources)?;
        one.make_in(&sources)?;
        let manifest = sources.join("Cargo.toml");
        let words = ["build", "--locked", "-p", "vodrelay", "--manifest-path"];
        let at = [&*manifest.to_string_lossy(), "--target-dir", &built.to_string_lossy()].map(str::to_owned);
        cargo(&[&words[..], &at.each_ref().map(String::as_str)].concat(), &[])?;
        let said = one.torture(&built.join("debug/vodrelay"))?;
        let seen = said.lines().find(|line| shows_a_loss(line));
        println!("{}: {}", one.what, seen.map_or("NOT CAUGHT", |_| "caught"));
        println!("  {}", seen.unwrap_or(&said));
        unseen.extend(seen.is_none().then_some(one.what));
    }
    if unseen.is_empty() { Ok(()) } else { Err(format!("the harness did not see: {}", unseen.join(", "))) }
}

/// A row with a figure other than 0 under *missing*, or a journal that the fault has left useless.
fn shows_a_loss(line: &str) -> bool {
    let is_row = line.starts_with("| ") && !line.contains("**missing**");
    is_row && !line.contains("| **0** |") || line.contains("the relay does not come up")
}

/// Says which breaks can no longer be made, because what they replace is not there.
pub(crate) fn impossible() -> Vec<String> {
    let is_lost = |one: &&Break| {
        let text = fs::read_to_string(root().join(one.file)).unwrap_or_default();
        text.matches(one.find).count() != 1
    };
    let lost = BREAKS.iter().filter(is_lost);
    lost.map(|one| format!("{} lacks what xtask/src/breaks.rs replaces for {:?}", one.file, one.what))
        .collect()
}

impl Break {
    fn make_in(&self, sources: &Path) -> Result<(), String> {
        let path = sources.join(self.file);
        let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        fs::write(&path, text.replacen(self.find, self.put, 1))
            .map_err(|error| format!("{}: {error}", path.display()))
    }

    /// What the harness says of a relay that is broken so.
    fn torture(&self, relay: &Path) -> Result<String, String> {
        let mut command = torture::harness()?;
        command.arg("--relay").arg(relay).args([self.row, "--times", self.times]);
        let output = command.output().map_err(|error| format!("cannot run the harness: {error}"))?;
        Ok(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    }
}

/// Copies what git knows of, as it stands.
fn copy_sources(to: &Path) -> Result<(), String> {
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output();
    let listed = listed.map_err(|error| format!("cannot list the sources: {error}"))?;
    for name in String::from_utf8_lossy(&listed.stdout).split('\0').filter(|name| !name.is_empty()) {
        let (from, to): (PathBuf, PathBuf) = (root().join(name), to.join(name));
        // What has been removed and not committed is not there.
        let Ok(content) = fs::read(&from) else { continue };
        // A file that is as it was keeps its time, so that little is built again.
        if fs::read(&to).is_ok_and(|there| there == content) {
            continue;
        }
        let write = || {
            fs::create_dir_all(to.parent().unwrap_or(&to))?;
            fs::write(&to, &content)
        };
        write().map_err(|error: std::io::Error| format!("cannot write {}: {error}", to.display()))?;
    }
    Ok(())
}
