//! `vodrelay sinks`: what waits for each sink.

use clap::{Args as ClapArgs, Subcommand};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use vodrelay_core::{Clock, SystemClock};

use super::ask::Target;
use crate::exit::Failure;
use crate::output;

/// Subcommands of `sinks`.
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:\n  vodrelay sinks list")]
pub(crate) enum Args {
    /// List the sinks of a running relay, with what waits for each
    #[command(after_help = "Examples:\n  vodrelay sinks list\n  vodrelay sinks list --json")]
    List(List),
}

/// Arguments of `sinks list`.
#[derive(Debug, ClapArgs)]
pub(crate) struct List {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Deserialize, Serialize)]
struct Sinks {
    sinks: Vec<Sink>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Sink {
    sink: String,
    configured: bool,
    pending: u64,
    dead_letters: u64,
    delivered: u64,
    oldest_pending_at: Option<Timestamp>,
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let Args::List(args) = args;
    let found: Sinks = args.target.relay()?.get("/sinks", &[]).await?;
    if args.json {
        output::json(&found);
        return Ok(());
    }
    if found.sinks.is_empty() {
        output::line("no sink is configured, and none is known to the journal");
    }
    for sink in &found.sinks {
        output::line(sink.as_text(SystemClock.now()));
    }
    Ok(())
}

impl Sink {
    fn as_text(&self, now: Timestamp) -> String {
        let Self { sink, pending, dead_letters, delivered, .. } = self;
        let oldest = self.oldest_pending_at.map(|at| {
            // Clocks may have been set meanwhile.
            let age = output::age(now.duration_since(at).as_secs().max(0));
            format!(", the oldest accepted {age} ago")
        });
        let oldest = oldest.unwrap_or_default();
        let orphaned =
            if self.configured { "" } else { "; NOT CONFIGURED: what is pending waits until it is" };
        format!(
            "{sink}: {pending} pending{oldest}, {dead_letters} dead letters, {delivered} delivered{orphaned}"
        )
    }
}
