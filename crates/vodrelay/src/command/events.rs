//! `vodrelay events`: what came, and how it stands; with `--follow`, what comes.

pub(crate) mod filter;
pub(crate) mod item;

use clap::Args as ClapArgs;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use self::filter::FilterArgs;
use self::item::{Item, table};
use super::ask::{RunningRelay, Target};
use super::live::{Heard, Live};
use super::stop::until_asked_to_stop;
use crate::exit::{Code, Failure};
use crate::output;

/// How many are asked for at once.
const PAGE: usize = 1_000;
/// How many of those before are shown to whoever follows.
const BEFORE: usize = 10;

/// Arguments of `events`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:\n  \
    vodrelay events --since 2h\n  \
    vodrelay events --state dead --type DynamicImageComplete\n  \
    vodrelay events --video 93ab850b4f6f44eab54b6e91d24d81d4 --json\n  \
    vodrelay events --label region=cn-shanghai --status fail --follow\n\n\
    `vodrelay explain EVENT_ID` tells one event's story. --follow goes on over restarts of the relay, and ends with Ctrl-C.")]
pub(crate) struct Args {
    #[command(flatten)]
    filter: FilterArgs,
    /// How it stands: pending, delivered, dead, purged, unrouted, unreadable
    #[arg(long, conflicts_with = "follow")]
    state: Option<String>,
    /// How many at most [default: 100, with --follow 10 of those before]
    #[arg(long, value_name = "COUNT")]
    limit: Option<usize>,
    /// Go on behind this place: the `next` of the page before
    #[arg(long, value_name = "PLACE", conflicts_with = "follow")]
    after: Option<u64>,
    /// Go on with what comes, as it comes
    #[arg(long)]
    follow: bool,
    /// Print JSON; with --follow a line for each event
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Deserialize, Serialize)]
struct Page {
    events: Vec<Box<RawValue>>,
    next: Option<u64>,
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let relay = args.target.relay()?;
    if args.follow { follow(&args, relay).await } else { list(&args, &relay).await }
}

/// The last one that was accepted stands first.
async fn list(args: &Args, relay: &RunningRelay) -> Result<(), Failure> {
    if args.limit == Some(0) {
        return Err(Failure::new(
            Code::Usage,
            "--limit 0 goes with --follow alone, where it leaves out what was before",
        ));
    }
    let found = find(args, relay, args.limit.unwrap_or(100)).await?;
    if args.json {
        output::json(&found);
        return Ok(());
    }
    if found.events.is_empty() {
        output::line("no event matches");
    }
    let mut table = table();
    for event in &found.events {
        table.row(Item::read(event)?.cells());
    }
    table.print();
    if let Some(next) = found.next {
        output::note(format!("there are more: go on with --after {next}"));
    }
    Ok(())
}

/// A page may be short, or empty, while there is a next one.
async fn find(args: &Args, relay: &RunningRelay, limit: usize) -> Result<Page, Failure> {
    let mut query = args.filter.query();
    query.extend(args.state.clone().map(|state| ("state".to_owned(), state)));
    let mut found = Page { events: Vec::new(), next: args.after };
    while found.events.len() < limit {
        let mut asked = query.clone();
        asked.push(("limit".to_owned(), (limit - found.events.len()).min(PAGE).to_string()));
        asked.extend(found.next.map(|after| ("after".to_owned(), after.to_string())));
        let page: Page = relay.get("/events", &asked).await?;
        found.events.extend(page.events);
        found.next = page.next;
        if found.next.is_none() {
            break;
        }
    }
    Ok(found)
}

/// The place of the last event of all.
async fn newest(relay: &RunningRelay) -> Result<u64, Failure> {
    let page: Page = relay.get("/events", &[("limit", "1".to_owned())]).await?;
    page.events.first().map_or(Ok(0), |event| Item::read(event).map(|item| item.seq))
}

/// The last ones of before, then each as it is accepted; the last one stands last.
async fn follow(args: &Args, relay: RunningRelay) -> Result<(), Failure> {
    if args.filter.has_end() {
        return Err(Failure::new(Code::Usage, "--until goes without --follow, which has no end"));
    }
    let mut table = table();
    let mut tell = |event: &RawValue, item: &Item| {
        if args.json {
            return output::json_line(event);
        }
        table.row(item.cells());
        table.print();
    };
    // Asked before the list is, so that nothing comes unseen between that and the stream.
    let mut last = newest(&relay).await?;
    let before = find(args, &relay, args.limit.unwrap_or(BEFORE)).await?;
    for event in before.events.iter().rev() {
        let item = Item::read(event)?;
        last = last.max(item.seq);
        tell(event, &item);
    }
    let mut live = Live::new(relay, Some(last));
    let mut stop = std::pin::pin!(until_asked_to_stop());
    loop {
        let heard = tokio::select! {
            () = &mut stop => return Ok(()),
            heard = live.next() => heard?,
        };
        match heard {
            Heard::Accepted(event) => {
                let item = Item::read(&event)?;
                if args.filter.takes(&item) {
                    tell(&event, &item);
                }
            }
            Heard::Lost(why) => output::note(format!("{why}; trying again until it is there")),
            Heard::Again => output::note("the relay is there again; nothing was missed"),
            Heard::AnotherJournal => {
                output::note("the relay has another journal now; going on with what is new")
            }
            Heard::Ready => {}
        }
    }
}
