//! `vodrelay refused`: what a running relay refused and keeps, and how it comes in after all.

mod accept;
mod explain;

use clap::{Args as ClapArgs, Subcommand};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use vodrelay_core::{Name, RefusalCause};

use super::ask::{RunningRelay, Target};
use super::confirm::confirm;
use super::when;
use crate::exit::Failure;
use crate::output;
use crate::output::table::{Column, Table};

/// Subcommands of `refused`.
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:\n  \
    vodrelay refused list --since 2h\n  \
    vodrelay refused explain 17\n  \
    vodrelay refused accept --callback main --dry-run\n  \
    vodrelay refused accept --callback main\n  \
    vodrelay refused purge --cause missing --yes\n\n\
    The running relay judges by the configuration that it has now, so mend that and have it reload (SIGHUP) first.")]
pub(crate) enum Args {
    /// List refused requests, the newest first
    #[command(after_help = "Examples:\n  \
        vodrelay refused list\n  \
        vodrelay refused list --callback main --cause mismatch --since 2h --limit 20\n  \
        vodrelay refused list --after 1234 --json")]
    List(List),
    /// Tell how a refused request compares with the configuration that the relay runs with
    #[command(
        after_help = "Examples:\n  vodrelay refused explain 17\n  vodrelay refused explain 17 --json\n\n\
        Exits with 65 where no such request is kept."
    )]
    Explain(explain::Explain),
    /// Accept what a mistake in the configuration refused, now that it is mended
    #[command(after_help = "Examples:\n  \
        vodrelay refused accept --callback main --dry-run\n  \
        vodrelay refused accept --callback main\n  \
        vodrelay refused accept --callback main --since 2h --stale --off-by -7200s..-7100s\n\n\
        Each kept request is judged again, by the keys and the public_url that the relay runs with, and by the time \
        at which it was received. Those that are genuine go the way of every event; an event that is there already \
        is merged. The others stay. Run it again whenever it ended early: nothing is lost or doubled by that.")]
    Accept(accept::Accept),
    /// Remove refused requests for good
    #[command(after_help = "Examples:\n  \
        vodrelay refused purge --cause missing --until 1d\n  \
        vodrelay refused purge --callback main --yes\n\n\
        Without a terminal --yes is needed.")]
    Purge(Purge),
}

/// Which refused requests are meant.
#[derive(Clone, Debug, ClapArgs, Serialize)]
pub(crate) struct Wanted {
    /// Those of one callback
    #[arg(long, value_name = "NAME")]
    callback: Option<Name>,
    /// Those with one cause: missing, malformed, mismatch, stale, unreadable
    #[arg(long)]
    cause: Option<RefusalCause>,
    /// Those of one sender
    #[arg(long)]
    address: Option<String>,
    /// Those received since: a moment in RFC 3339, or how long ago, like 2h
    #[arg(long, value_name = "WHEN", value_parser = when::parse)]
    since: Option<Timestamp>,
    /// Those received before
    #[arg(long, value_name = "WHEN", value_parser = when::parse)]
    until: Option<Timestamp>,
}

/// Arguments of `refused list`.
#[derive(Debug, ClapArgs)]
pub(crate) struct List {
    #[command(flatten)]
    wanted: Wanted,
    /// How many, up to 1000
    #[arg(long, default_value_t = 100)]
    limit: usize,
    /// Go on after the one with that id
    #[arg(long, value_name = "ID")]
    after: Option<u64>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

/// Arguments of `refused purge`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Purge {
    #[command(flatten)]
    wanted: Wanted,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Deserialize, Serialize)]
struct Page {
    refused: Vec<Record>,
    next: Option<u64>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Record {
    id: u64,
    received_at: Timestamp,
    source: String,
    cause: String,
    address: String,
    bytes: u64,
    cut_short: bool,
}

#[derive(Debug, Deserialize)]
struct Purged {
    purged: u64,
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    match args {
        Args::List(args) => list(args).await,
        Args::Explain(args) => explain::run(args).await,
        Args::Accept(args) => accept::run(args).await,
        Args::Purge(args) => purge(args).await,
    }
}

async fn list(args: List) -> Result<(), Failure> {
    let mut query = args.wanted.query();
    query.push(("limit", args.limit.to_string()));
    query.extend(args.after.map(|id| ("after", id.to_string())));
    let page: Page = args.target.relay()?.get("/refused", &query).await?;
    if args.json {
        output::json(&page);
        return Ok(());
    }
    if page.refused.is_empty() {
        output::line("no refused request is kept, or none that matches");
    }
    let mut table = Table::new([
        Column::number("ID"),
        Column::whole("RECEIVED"),
        Column::text("SOURCE"),
        Column::text("CAUSE"),
        Column::text("ADDRESS"),
        Column::text("BYTES").may_go(),
    ]);
    page.refused.iter().for_each(|record| table.row(record.cells()));
    table.print();
    if let Some(next) = page.next {
        output::note(format!("there may be more: --after {next}"));
    }
    Ok(())
}

async fn purge(args: Purge) -> Result<(), Failure> {
    let (relay, mut wanted) = (args.target.relay()?, args.wanted);
    if !args.yes {
        // What comes while somebody thinks about it is not meant.
        wanted.until = wanted.until.or(Some(Timestamp::now()));
    }
    let count = ask_to_purge(&relay, &wanted, true).await?.purged;
    let purged = if count == 0 {
        0
    } else {
        confirm(args.yes, &format!("this removes refused requests for good: {count}"))?;
        ask_to_purge(&relay, &wanted, false).await?.purged
    };
    if args.json {
        output::json(&json!({"purged": purged}));
    } else {
        output::line(format!("purged refused requests: {purged}"));
    }
    Ok(())
}

async fn ask_to_purge(relay: &RunningRelay, wanted: &Wanted, dry_run: bool) -> Result<Purged, Failure> {
    let mut body = serde_json::to_value(wanted).unwrap_or_default();
    if let Some(body) = body.as_object_mut() {
        body.insert("dry_run".to_owned(), json!(dry_run));
    }
    relay.post("/refused/purge", &body).await
}

impl Wanted {
    fn query(&self) -> Vec<(&'static str, String)> {
        let Self { callback, cause, address, since, until } = self;
        let texts = [
            ("callback", callback.as_ref().map(ToString::to_string)),
            ("cause", cause.map(|cause| cause.as_str().to_owned())),
            ("address", address.clone()),
            ("since", since.as_ref().map(ToString::to_string)),
            ("until", until.as_ref().map(ToString::to_string)),
        ];
        texts.into_iter().filter_map(|(name, text)| Some((name, text?))).collect()
    }
}

impl Record {
    fn cells(&self) -> [String; 6] {
        let Self { id, received_at, source, cause, address, bytes, .. } = self;
        let cut_short = if self.cut_short { ", cut short" } else { "" };
        [
            id.to_string(),
            format!("{received_at:.3}"),
            source.clone(),
            cause.clone(),
            address.clone(),
            format!("{bytes}{cut_short}"),
        ]
    }
}
