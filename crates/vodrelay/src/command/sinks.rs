//! `vodrelay sinks`: what waits for each sink, how it stands, and what people do with one.

mod orders;

use clap::{Args as ClapArgs, Subcommand};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use vodrelay_core::standing::BreakerState;
use vodrelay_core::{Clock, Pause, SystemClock};

use super::ask::{NOTHING, Target};
use crate::exit::Failure;
use crate::output;
use crate::output::table::{Column, Table};

/// Subcommands of `sinks`.
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:\n  \
    vodrelay sinks list\n  \
    vodrelay sinks pause cms --reason 'a deployment'\n  \
    vodrelay sinks resume cms\n  \
    vodrelay sinks rename cms cms_eu")]
pub(crate) enum Args {
    /// List the sinks of a running relay, with what waits for each
    #[command(after_help = "Examples:\n  vodrelay sinks list\n  vodrelay sinks list --json")]
    List(List),
    /// Hold back what comes for a sink, over restarts too, until it is resumed; nothing ages meanwhile
    #[command(after_help = "Examples:\n  vodrelay sinks pause cms --reason 'a deployment'")]
    Pause(orders::PauseArgs),
    /// Let a paused sink go on
    #[command(after_help = "Examples:\n  vodrelay sinks resume cms")]
    Resume(orders::OneArgs),
    /// Have all retries of a sink due now, and probe it at once
    #[command(after_help = "Examples:\n  vodrelay sinks retry-now cms")]
    RetryNow(orders::OneArgs),
    /// Give the deliveries of a sink that is no longer configured to the name that it has now
    #[command(after_help = "Examples:\n  vodrelay sinks rename cms cms_eu\n\n\
        Works without a running relay too.")]
    Rename(orders::RenameArgs),
    /// Make dead letters of what waits for a sink that is no longer configured
    #[command(after_help = "Examples:\n  vodrelay sinks forget cms --yes\n\n\
        Works without a running relay too. Without a terminal --yes is needed.")]
    Forget(orders::ForgetArgs),
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
    paused: Option<Pause>,
    breaker: Option<BreakerState>,
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    match args {
        Args::List(args) => list(args).await,
        Args::Pause(args) => orders::pause(&args).await,
        Args::Resume(args) => orders::resume(&args).await,
        Args::RetryNow(args) => orders::retry_now(&args).await,
        Args::Rename(args) => orders::rename(&args).await,
        Args::Forget(args) => orders::forget(&args).await,
    }
}

async fn list(args: List) -> Result<(), Failure> {
    let found: Sinks = args.target.relay()?.get("/sinks", NOTHING).await?;
    if args.json {
        output::json(&found);
        return Ok(());
    }
    if found.sinks.is_empty() {
        output::line("no sink is configured, and nothing is left of another");
    }
    let now = SystemClock.now();
    let mut table = Table::new([
        Column::text("SINK"),
        Column::whole("STATE"),
        Column::number("PENDING"),
        Column::number("OLDEST"),
        Column::number("DEAD"),
        Column::number("DELIVERED").may_go(),
    ]);
    found.sinks.iter().for_each(|sink| table.row(sink.cells(now)));
    table.print();
    found.sinks.iter().flat_map(Sink::remarks).for_each(output::line);
    Ok(())
}

impl Sink {
    fn cells(&self, now: Timestamp) -> [String; 6] {
        let Self { sink, pending, dead_letters, delivered, .. } = self;
        // Clocks may have been set meanwhile.
        let age = |at| output::age(now.duration_since(at).as_secs().max(0));
        [
            sink.clone(),
            self.state().to_owned(),
            pending.to_string(),
            self.oldest_pending_at.map_or_else(|| "-".to_owned(), age),
            dead_letters.to_string(),
            delivered.to_string(),
        ]
    }

    fn state(&self) -> &'static str {
        match (self.configured, &self.paused, &self.breaker) {
            (false, ..) => "not configured",
            (_, Some(_), _) => "paused",
            (.., Some(BreakerState::Open { .. })) => "down",
            _ => "up",
        }
    }

    /// What somebody may want to do something about.
    fn remarks(&self) -> Vec<String> {
        let Self { sink, pending, .. } = self;
        let mut remarks = Vec::new();
        if let Some(Pause { since, reason }) = &self.paused {
            let reason = reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
            remarks.push(format!("{sink}: PAUSED since {since:.0}{reason}"));
        }
        if let Some(BreakerState::Open { since }) = self.breaker {
            remarks.push(format!("{sink}: DOWN since {since:.0}: one probe at a time until it answers"));
        }
        if !self.configured && *pending > 0 {
            remarks.push(format!(
                "{sink}: NOT CONFIGURED: what is pending waits until it is, or for `vodrelay sinks rename {sink} NEW`, or `vodrelay sinks forget {sink}`"
            ));
        }
        remarks
    }
}
