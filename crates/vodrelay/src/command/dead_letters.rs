//! `vodrelay dead-letters`: what was given up, and what cannot be read: listed, exported, purged.

pub(crate) mod filter;

use clap::{Args as ClapArgs, Subcommand};
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;
use vod_event::EventId;
use vodrelay_core::ledger::{DeadLetter, LetterFilter};

use self::filter::{FilterArgs, as_query};
use super::ask::{RunningRelay, Target};
use super::confirm::confirm;
use crate::exit::Failure;
use crate::output;
use crate::output::table::{Column, Table};

/// How many are asked for at once.
const PAGE: usize = 1_000;
const WHOLE_PAGE: usize = 100;

/// Subcommands of `dead-letters`.
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:\n  \
    vodrelay dead-letters list --sink cms --since 2h\n  \
    vodrelay dead-letters export --reason 410 > gone.jsonl\n  \
    vodrelay dead-letters purge --sink cms --yes\n\n\
    `vodrelay replay --dead-letters` tries them again.")]
pub(crate) enum Args {
    /// List what was given up and what cannot be read, in the order of acceptance, the newest last
    #[command(after_help = "Examples:\n  \
        vodrelay dead-letters list\n  \
        vodrelay dead-letters list --sink cms --event-type DynamicImageComplete --reason 410\n  \
        vodrelay dead-letters list --since 2026-11-24T09:00:00Z --until 1h --json")]
    List(List),
    /// Print each as a JSON line with all that is needed to act on it elsewhere
    #[command(after_help = "Examples:\n  \
        vodrelay dead-letters export > dead-letters.jsonl\n  \
        vodrelay dead-letters export --sink cms | jq -r .body\n\n\
        Each line has the normalised event or why it cannot be read, the sink, the reason, the failed attempts, the\n\
        body (body_encoding says whether as utf-8 or base64) and its sha256.")]
    Export(Export),
    /// Take them out of the dead letters; their events stay as history until retention removes them
    #[command(after_help = "Examples:\n  \
        vodrelay dead-letters purge --sink cms --reason 410\n  \
        vodrelay dead-letters purge evt_1a837bca04c4f17debab042bcffb2153d --yes\n\n\
        Nothing that is pending is touched. Without a terminal --yes is needed.")]
    Purge(Purge),
}

/// Arguments of `dead-letters list`.
#[derive(Debug, ClapArgs)]
pub(crate) struct List {
    #[command(flatten)]
    filter: FilterArgs,
    /// How many at most
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    limit: usize,
    /// Go on behind this place: the `next` of the page before
    #[arg(long, value_name = "PLACE")]
    after: Option<u64>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

/// Arguments of `dead-letters export`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Export {
    #[command(flatten)]
    filter: FilterArgs,
    /// Is how it prints anyway
    #[arg(long, hide = true)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

/// Arguments of `dead-letters purge`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Purge {
    /// Only those of these events
    #[arg(value_name = "EVENT_ID")]
    events: Vec<EventId>,
    #[command(flatten)]
    filter: FilterArgs,
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
struct Letters<T> {
    dead_letters: Vec<T>,
    next: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Purged {
    purged: u64,
    next: Option<u64>,
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    match args {
        Args::List(args) => list(&args).await,
        Args::Export(args) => export(&args).await,
        Args::Purge(args) => purge(&args).await,
    }
}

async fn list(args: &List) -> Result<(), Failure> {
    let (relay, filter) = (args.target.relay()?, args.filter.of(&[]));
    let mut found: Letters<DeadLetter> = Letters { dead_letters: Vec::new(), next: args.after };
    loop {
        let left = args.limit.saturating_sub(found.dead_letters.len()).min(PAGE);
        let page: Letters<DeadLetter> = page(&relay, &filter, found.next, left, false).await?;
        found.dead_letters.extend(page.dead_letters);
        found.next = page.next;
        if found.next.is_none() || found.dead_letters.len() >= args.limit {
            break;
        }
    }
    if args.json {
        output::json(&found);
        return Ok(());
    }
    if found.dead_letters.is_empty() {
        output::line("no dead letter matches");
    }
    let mut table = Table::new([
        Column::whole("GIVEN UP"),
        Column::whole("EVENT"),
        Column::text("SINK"),
        Column::number("ATTEMPTS").may_go(),
        Column::text("REASON").at_least(20),
        Column::text("TYPE").may_go(),
        Column::text("VIDEO").may_go(),
    ]);
    found.dead_letters.iter().for_each(|letter| table.row(cells(letter)));
    table.print();
    if let Some(next) = found.next {
        output::note(format!("there are more: go on with --after {next}"));
    }
    Ok(())
}

fn cells(letter: &DeadLetter) -> [String; 7] {
    let DeadLetter { event, given_up_at, reason, attempts, .. } = letter;
    let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let reason = match (&letter.sink, letter.replays) {
        (None, _) => format!("cannot be read, and is of no sink: {reason}"),
        (_, 0) => reason.clone(),
        (_, replays) => format!("{reason} (replays {replays})"),
    };
    [
        format!("{given_up_at:.0}"),
        event.to_string(),
        letter.sink.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string),
        attempts.to_string(),
        reason,
        text(&letter.event_type),
        text(&letter.video_id),
    ]
}

async fn export(args: &Export) -> Result<(), Failure> {
    let (relay, filter) = (args.target.relay()?, args.filter.of(&[]));
    let mut after = None;
    loop {
        let page: Letters<Box<RawValue>> = page(&relay, &filter, after, WHOLE_PAGE, true).await?;
        page.dead_letters.iter().for_each(output::json_line);
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

async fn page<T: serde::de::DeserializeOwned>(
    relay: &RunningRelay,
    filter: &LetterFilter,
    after: Option<u64>,
    limit: usize,
    whole: bool,
) -> Result<Letters<T>, Failure> {
    let mut query = as_query(filter);
    query.extend(after.map(|after| ("after", after.to_string())));
    query.push(("limit", limit.max(1).to_string()));
    query.push(("whole", whole.to_string()));
    relay.get("/dead-letters", &query).await
}

async fn purge(args: &Purge) -> Result<(), Failure> {
    let (relay, filter) = (args.target.relay()?, args.filter.until_now(&args.events));
    let count = count(&relay, &filter).await?;
    let purged = if count == 0 {
        0
    } else {
        let what = format!("this purges dead letters: {count}, and nothing brings them back by itself");
        confirm(args.yes, &what)?;
        purge_all(&relay, &filter).await?
    };
    if args.json {
        output::json(&json!({"purged": purged}));
    } else {
        output::line(format!("purged dead letters: {purged}"));
    }
    Ok(())
}

async fn purge_all(relay: &RunningRelay, filter: &LetterFilter) -> Result<u64, Failure> {
    let (mut purged, mut after) = (0, None);
    loop {
        let request = json!({"filter": filter, "after": after});
        let step: Purged = relay.post("/dead-letters/purge", &request).await?;
        purged += step.purged;
        after = step.next;
        if after.is_none() {
            return Ok(purged);
        }
    }
}

async fn count(relay: &RunningRelay, filter: &LetterFilter) -> Result<usize, Failure> {
    let (mut count, mut after) = (0, None);
    loop {
        let page: Letters<DeadLetter> = page(relay, filter, after, PAGE, false).await?;
        count += page.dead_letters.len();
        after = page.next;
        if after.is_none() {
            return Ok(count);
        }
    }
}
