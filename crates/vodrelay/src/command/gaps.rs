//! `vodrelay gaps`: when events may be missing, and what can be done about it.

use clap::Args as ClapArgs;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::ask::Target;
use super::when;
use crate::exit::{Code, Failure};
use crate::output;
use crate::output::table::{Column, Table};

/// Arguments of `gaps`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:\n  \
    vodrelay gaps --since 24h\n  \
    vodrelay gaps --since 2026-11-24T00:00:00Z --until 2026-11-24T12:00:00Z --json\n\n\
    Exits with 0 where there is no gap, with 65 where there is one.\n\
    A crash is told to about ten seconds, by the last heartbeat before it, and under load to about one.\n\
    The last 90 days are remembered, of each kind of trouble 2000 windows at most.")]
pub(crate) struct Args {
    /// From when on: a moment in RFC 3339, or how long ago, like 24h
    #[arg(long, value_name = "WHEN", value_parser = when::parse)]
    since: Timestamp,
    /// Until when [default: now]
    #[arg(long, value_name = "WHEN", value_parser = when::parse)]
    until: Option<Timestamp>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Deserialize, Serialize)]
struct Found {
    since: Timestamp,
    until: Timestamp,
    known_since: Option<Timestamp>,
    gaps: Vec<Gap>,
    clock_set_back: Vec<ClockJump>,
    sources: Vec<String>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Gap {
    from: Timestamp,
    until: Timestamp,
    #[serde(flatten)]
    why: Why,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Why {
    Down { stopped: bool, clock_set_back: bool },
    ClockJumpedAhead,
    TurnedAway { source: String, cause: String, count: u64 },
    Refused { source: String, cause: String, count: u64, kept: u64, settled: u64 },
}

#[derive(Debug, Deserialize, Serialize)]
struct ClockJump {
    from: Timestamp,
    to: Timestamp,
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let mut query = vec![("since", args.since.to_string())];
    query.extend(args.until.map(|until| ("until", until.to_string())));
    let found: Found = args.target.relay()?.get("/gaps", &query).await?;
    if args.json {
        output::json(&found);
    } else {
        found.print();
    }
    if found.gaps.is_empty() { Ok(()) } else { Err(Failure::new(Code::Unreadable, String::new())) }
}

impl Found {
    fn print(&self) {
        let mut table =
            Table::new([Column::whole("FROM"), Column::whole("UNTIL"), Column::wrapped("WHAT").at_least(24)]);
        for gap in &self.gaps {
            table.row([format!("{:.3}", gap.from), format!("{:.3}", gap.until), gap.why.as_text()]);
        }
        table.print();
        for ClockJump { from, to } in &self.clock_set_back {
            output::line(format!(
                "at {from:.3} the clock was set back to {to:.3}: the time between stands twice above"
            ));
        }
        let Self { since, until, .. } = self;
        if self.gaps.is_empty() {
            output::line(format!("no gap from {since:.3} to {until:.3}"));
        }
        match self.known_since {
            Some(known) if known > *since => {
                output::line(format!("nothing is known of the time before {known:.3}"));
            }
            None => output::line("nothing is known of that time"),
            Some(_) => {}
        }
        if !self.gaps.is_empty() {
            self.print_what_it_costs();
        }
    }

    /// A gap of the relay is no gap of a queue.
    fn print_what_it_costs(&self) {
        let has = |transport: &str| self.sources.iter().any(|source| source.starts_with(transport));
        if has("callbacks.") {
            output::line(
                "callbacks: VOD tries each three times within seconds, so events of these windows may be missing, and VOD \
                 cannot be asked for them again; compare with what its API lists",
            );
        }
        if has("queues.") {
            output::line(
                "queues: a message waits as long as the queue keeps messages, so a window that is shorter costs nothing",
            );
        }
    }
}

impl Why {
    fn as_text(&self) -> String {
        match self {
            Self::Down { stopped, clock_set_back } => {
                let how =
                    if *stopped { "was stopped" } else { "ended without a word, by a crash or a power cut" };
                let unsure = if *clock_set_back {
                    "; the clock was set back meanwhile, so how long it was is unknown"
                } else {
                    ""
                };
                format!("down: the relay {how}{unsure}")
            }
            Self::ClockJumpedAhead => {
                "the clock jumped ahead: the machine slept, and was not there, or its clock was set"
                    .to_owned()
            }
            Self::TurnedAway { source, cause, count } if source.starts_with("queues.") => {
                format!(
                    "{source}: {count} messages could not be taken ({}); they wait in the queue",
                    words(cause)
                )
            }
            Self::TurnedAway { source, cause, count } => {
                let answer = if cause == "too_large" { 413 } else { 503 };
                format!("{source}: {count} requests were answered {answer}: {}", words(cause))
            }
            Self::Refused { source, cause, count, kept, settled } => {
                let lost = count.saturating_sub(kept + settled);
                let callback = source.trim_start_matches("callbacks.");
                let how = match cause.as_str() {
                    _ if *kept == 0 => String::new(),
                    "missing" | "malformed" | "unreadable" => {
                        format!(
                            "; see `vodrelay refused list --callback {callback}`: without a proof none is ever accepted"
                        )
                    }
                    "stale" => {
                        format!("; try `vodrelay refused accept --callback {callback} --stale --dry-run`")
                    }
                    _ => format!("; try `vodrelay refused accept --callback {callback} --dry-run`"),
                };
                format!(
                    "{source}: {count} requests were refused ({cause}): {settled} accepted or purged since, {kept} still kept, \
                     {lost} not kept{how}"
                )
            }
        }
    }
}

fn words(cause: &str) -> &str {
    match cause {
        "full" => "the journal had no room",
        "failing" => "the journal did not work",
        "busy" => "their time ran out",
        "too_large" => "they were larger than http.body_limit, which no event of VOD is known to be",
        other => other,
    }
}
