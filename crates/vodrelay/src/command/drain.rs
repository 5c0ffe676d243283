//! `vodrelay drain`: has a relay take nothing more in where that costs no event, and waits until it has finished.

use std::time::Duration;

use clap::Args as ClapArgs;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, sleep};
use vodrelay_core::config::Span;

use super::ask::{NOTHING, RunningRelay, Target};
use super::stop::until_asked_to_stop;
use crate::exit::{Code, Failure};
use crate::output;
use crate::output::progress::Progress;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(500);

/// Arguments of `drain`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:\n  \
    vodrelay drain --wait                    before a machine goes away for good\n  \
    vodrelay drain --wait --timeout 2m --json\n  \
    vodrelay drain --undo\n\n\
    The relay says that it is not ready, so that a load balancer looks elsewhere, and polls no queue; a callback that comes\n\
    all the same is accepted. Sinks get what is pending. It does not end by itself: stop it then. A restart, or --undo, has\n\
    it take everything in again. Exits with 0 when nothing is pending, with 69 when something still is after --timeout.")]
pub(crate) struct Args {
    /// Wait until nothing is pending
    #[arg(long, conflicts_with = "undo")]
    wait: bool,
    /// So long at most
    #[arg(long, value_name = "SPAN", default_value = "10m", value_parser = Span::parse)]
    timeout: Span,
    /// Have it take everything in again
    #[arg(long)]
    undo: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Deserialize)]
struct Drained {
    was_on: bool,
}

#[derive(Debug, Deserialize)]
struct Sinks {
    sinks: Vec<Sink>,
}

#[derive(Debug, Deserialize)]
struct Sink {
    sink: String,
    configured: bool,
    pending: u64,
    oldest_pending_at: Option<Timestamp>,
    paused: Option<serde_json::Value>,
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let relay = args.target.relay()?;
    let on = !args.undo;
    let Drained { was_on } = relay.post("/drain", &json!({"on": on})).await?;
    if !args.wait {
        let text = match (on, was_on) {
            (true, _) => {
                "the relay is drained: it is not ready, and polls no queue; `vodrelay drain --undo` ends that"
            }
            (false, true) => "the relay takes everything in again",
            (false, false) => "the relay was not drained",
        };
        if args.json {
            output::json(&json!({"draining": on, "was_draining": was_on}));
        } else {
            output::line(text);
        }
        return Ok(());
    }
    let waited = tokio::select! {
        () = until_asked_to_stop() => Err(Failure::new(
            Code::Interrupted,
            "nobody waits any more, and the relay is still drained; `vodrelay drain --undo` ends that",
        )),
        waited = wait(&relay, args.timeout.0) => waited,
    };
    let left = waited?;
    let pending: u64 = left.iter().map(|sink| sink.pending).sum();
    if args.json {
        let left: Vec<_> =
            left.iter().map(|sink| json!({"sink": sink.sink, "pending": sink.pending})).collect();
        output::json(&json!({"draining": true, "pending": pending, "left": left}));
    } else if pending == 0 {
        output::line("nothing is pending; the relay may be stopped");
    } else {
        left.iter().map(Sink::as_text).for_each(output::line);
    }
    if pending == 0 {
        return Ok(());
    }
    let message = format!(
        "deliveries that are still pending: {pending}; they stay in the journal, and go on when a relay is started with it"
    );
    Err(Failure::new(Code::Unreachable, message))
}

/// Waits; answers the sinks for which something is left, which no configured one has where all went well.
async fn wait(relay: &RunningRelay, limit: Duration) -> Result<Vec<Sink>, Failure> {
    let deadline = Instant::now() + limit;
    let mut progress = Progress::of(None);
    loop {
        let Sinks { sinks } = relay.get("/sinks", NOTHING).await?;
        let left: Vec<Sink> = sinks.into_iter().filter(|sink| sink.pending > 0).collect();
        // What is orphaned is nobody's to deliver, so nobody waits for it.
        let is_done = left.iter().all(|sink| !sink.configured);
        if is_done || Instant::now() >= deadline {
            return Ok(left);
        }
        let pending: u64 = left.iter().map(|sink| sink.pending).sum();
        let names: Vec<&str> = left.iter().map(|sink| sink.sink.as_str()).collect();
        progress.show(0, &format!("pending: {pending}, for {}", names.join(", ")));
        sleep(LOOK).await;
    }
}

impl Sink {
    fn as_text(&self) -> String {
        let Self { sink, pending, .. } = self;
        let since =
            self.oldest_pending_at.map(|at| format!(", the oldest accepted at {at:.0}")).unwrap_or_default();
        let why = match (self.configured, &self.paused) {
            (false, _) => format!("; it is not configured (`vodrelay sinks rename {sink} NEW`, or forget)"),
            (true, Some(_)) => format!("; it is paused (`vodrelay sinks resume {sink}`)"),
            (true, None) => String::new(),
        };
        format!("{sink}: {pending} pending{since}{why}")
    }
}
