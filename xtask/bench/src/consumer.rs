//! Programs that drain a queue and keep nothing: a bare loop of our client, and the provider's own clients as their
//! documents use them.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use mns_client::{MAX_BATCH, Queue};
use tokio::task::JoinSet;

use crate::clock::Instant;
use crate::emulator::{self, Emulator};
use crate::root;

/// As many as the relay has at most.
const POLLERS: usize = 8;
/// An empty poll that waited this long is the end.
const WAIT: Duration = Duration::from_secs(1);

/// Drains the queue at the endpoint that is the first word; prints how many messages it deleted, and how many seconds
/// it took until the last was.
#[tokio::main]
pub(crate) async fn run(words: &[String]) -> Result<(), String> {
    let queue = emulator::queue(words.first().ok_or("usage: vodrelay-bench consumer ENDPOINT")?)?;
    let begun = Instant::now();
    let mut pollers = JoinSet::new();
    for _ in 0..POLLERS {
        pollers.spawn(drain(queue.clone(), begun));
    }
    let (mut messages, mut took) = (0, Duration::ZERO);
    while let Some(poller) = pollers.join_next().await {
        let (count, until) = poller.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        messages += count;
        took = took.max(until);
    }
    writeln!(std::io::stdout(), "{messages} {}", took.as_secs_f64()).map_err(|error| error.to_string())
}

async fn drain(queue: Queue, begun: Instant) -> Result<(usize, Duration), mns_client::Error> {
    let (mut messages, mut until) = (0, Duration::ZERO);
    loop {
        let poll = queue.receive_batch(MAX_BATCH, WAIT).await?;
        if poll.messages.is_empty() {
            return Ok((messages, until));
        }
        let handles: Vec<_> = poll.messages.into_iter().map(|message| message.receipt_handle).collect();
        messages += queue.delete_batch(&handles).await?.into_iter().filter(Result::is_ok).count();
        until = begun.elapsed();
    }
}

/// A program that drains.
#[derive(Debug)]
pub(crate) struct Consumer {
    /// What it is called among the figures.
    pub(crate) name: &'static str,
    program: PathBuf,
    word: PathBuf,
    needs: PathBuf,
}

/// A bare loop of our client, then the provider's two.
pub(crate) fn all() -> Result<[Consumer; 3], String> {
    let this = std::env::current_exe().map_err(|error| error.to_string())?;
    let interop = root().join("xtask/interop");
    let python = root().join("target/interop/venv/bin/python");
    Ok([
        Consumer {
            name: "mns-client alone",
            needs: this.clone(),
            program: this,
            word: PathBuf::from("consumer"),
        },
        Consumer {
            name: "aliyun-mns-sdk (Python)",
            needs: python.clone(),
            program: python,
            word: interop.join("python/mns_drain.py"),
        },
        Consumer {
            name: "@alicloud/mns (Node)",
            needs: interop.join("node/node_modules"),
            program: PathBuf::from("node"),
            word: interop.join("node/mns_drain.js"),
        },
    ])
}

impl Consumer {
    /// Whether what it needs is installed.
    pub(crate) fn is_there(&self) -> bool {
        let starts = |program: &Path| {
            let mut command = Command::new(program);
            command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
        };
        self.needs.exists() && starts(&self.program)
    }

    /// How many messages a second it gets out of a queue that has so many.
    pub(crate) fn rate(&self, emulator: &Emulator, messages: u64) -> Result<f64, String> {
        emulator.fill(messages)?;
        emulator.release()?;
        let output = Command::new(&self.program)
            .arg(&self.word)
            .args([emulator.endpoint().as_str(), emulator::QUEUE])
            .env("NODE_NO_WARNINGS", "1")
            .output()
            .map_err(|error| format!("{} could not be started: {error}", self.name))?;
        let said = String::from_utf8_lossy(&output.stdout);
        match figures(&said) {
            Some((count, seconds)) if count == messages => Ok(messages as f64 / seconds),
            _ => {
                let why = String::from_utf8_lossy(&output.stderr);
                Err(format!("{} did not drain {messages} messages: {said}{why}", self.name))
            }
        }
    }
}

fn figures(said: &str) -> Option<(u64, f64)> {
    let (count, seconds) = said.trim().split_once(' ')?;
    Some((count.parse().ok()?, seconds.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_consumer_says_how_many_and_how_long() {
        let check = |said: &str, expected| assert_eq!(figures(said), expected, "{said:?}");
        check("4000 0.5\n", Some((4_000, 0.5)));
        check("4000\n", None);
        check("", None);
    }
}
