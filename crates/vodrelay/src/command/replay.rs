//! `vodrelay replay`: delivers anew what was given up, could not be read, matched no sink, or came before a sink did.
//!
//! The relay does it by itself, as a job that the command looks after; a dry run is asked for step by step.

mod job;

use clap::Args as ClapArgs;
use serde::{Deserialize, Serialize};
use vod_event::EventId;
use vodrelay_core::ledger::LetterFilter;
use vodrelay_core::replay::{Request, What};

use super::ask::{NOTHING, RunningRelay, Target};
use super::dead_letters::filter::FilterArgs;
use crate::exit::{Code, Failure};
use crate::output;
use crate::output::progress::Progress;
use crate::output::table::{Column, Table};

/// How many events one request may name.
const NAMED_AT_ONCE: usize = 500;

/// Arguments of `replay`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:\n  \
    vodrelay replay evt_1a837bca04c4f17debab042bcffb2153d\n  \
    vodrelay replay --dead-letters --sink cms --since 2h --dry-run\n  \
    vodrelay replay --unreadable\n  \
    vodrelay replay --sink new_service --since 2026-11-01T00:00:00Z\n\n\
    What is replayed takes turns with new events, so it may be much. Tries and age start anew; what waits already is\n\
    left alone. The relay goes on by itself when this command is killed or loses it; Ctrl-C has it end after the step in\n\
    hand, and says how far it was. Exits with 65 when an event that was named is not in the journal, with 69 when the\n\
    relay stopped under it, with 130 after Ctrl-C.")]
pub(crate) struct Args {
    /// These events: what was given up of them
    #[arg(value_name = "EVENT_ID")]
    events: Vec<EventId>,
    /// What was given up, and what could not be read, as `vodrelay dead-letters list` shows it
    #[arg(long, group = "what", conflicts_with = "events")]
    dead_letters: bool,
    /// Events that could not be read: read them again, and route them
    #[arg(long, group = "what", conflicts_with = "events")]
    unreadable: bool,
    /// Events that matched no sink: route them again
    #[arg(long, group = "what", conflicts_with = "events")]
    unrouted: bool,
    #[command(flatten)]
    filter: FilterArgs,
    /// With event ids, or --sink and --since: what was delivered or purged, too
    #[arg(long)]
    all: bool,
    /// Tell how many and which, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Default, Deserialize, Serialize)]
struct Outcome {
    again: u64,
    added: u64,
    read: u64,
    left: Left,
    looked_at: u64,
    #[serde(default)]
    items: Vec<Item>,
    #[serde(default, skip_serializing)]
    next: Option<u64>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
struct Left {
    pending: u64,
    delivered: u64,
    purged: u64,
    not_configured: u64,
    unmatched: u64,
    unreadable: u64,
}

#[derive(Debug, Deserialize, Serialize)]
struct Item {
    event_id: EventId,
    sink: Option<String>,
    how: String,
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let requests = args.requests()?;
    let relay = args.target.relay()?;
    let mut progress = Progress::of(args.total(&relay).await?);
    let (mut total, mut ended) = (Outcome::default(), Ok(()));
    for request in requests {
        ended = if args.dry_run {
            dry_run(&relay, request, &mut total, &mut progress).await
        } else {
            job::carry_out(&relay, &request, &mut total, &mut progress).await
        };
        if ended.is_err() {
            break;
        }
    }
    progress.end();
    if ended.is_ok() || total.looked_at > 0 {
        if args.json { output::json(&total) } else { total.print(args.dry_run) }
    }
    ended?;
    let named = args.named();
    if args.filter.is_only_sink() && total.looked_at < named {
        let missing = named - total.looked_at;
        let message = format!(
            "named events that are not in the journal: {missing}; they never came, were forgotten, or their retention has passed (journal.retention)"
        );
        return Err(Failure::new(Code::Unreadable, message));
    }
    Ok(())
}

async fn dry_run(
    relay: &RunningRelay,
    mut request: Request,
    total: &mut Outcome,
    progress: &mut Progress,
) -> Result<(), Failure> {
    loop {
        let step: Outcome = relay.post("/replay", &request).await?;
        request.after = step.next;
        total.add(step);
        progress.show(total.looked_at, &total.so_far());
        if request.after.is_none() {
            return Ok(());
        }
    }
}

impl Args {
    fn requests(&self) -> Result<Vec<Request>, Failure> {
        let what = self.what()?;
        let chunks: Vec<&[EventId]> = match what {
            What::Events => self.events.chunks(NAMED_AT_ONCE).collect(),
            _ => vec![&[]],
        };
        let request = |events: &[EventId]| {
            // Whoever names events means them whatever the clock says.
            let filter: LetterFilter = match what {
                What::Events => self.filter.of(events),
                _ => self.filter.until_now(events),
            };
            Request { filter, all: self.all, dry_run: self.dry_run, ..Request::new(what) }
        };
        Ok(chunks.into_iter().map(request).collect())
    }

    fn what(&self) -> Result<What, Failure> {
        let usage = |message: &str| Err(Failure::new(Code::Usage, message));
        let what = match (self.events.is_empty(), self.dead_letters, self.unreadable, self.unrouted) {
            (false, ..) => What::Events,
            (_, true, ..) => What::DeadLetters,
            (_, _, true, _) => What::Unreadable,
            (_, _, _, true) => What::Unrouted,
            _ if self.filter.sink.is_none() => {
                return usage(
                    "nothing is named: say EVENT_ID, --dead-letters, --unreadable, --unrouted, or --sink NAME --since TIME",
                );
            }
            _ if self.filter.since.is_none() => {
                return usage(
                    "--sink NAME alone needs --since TIME: from when on the sink gets what it does not have",
                );
            }
            _ => What::Sink,
        };
        if self.all && !matches!(what, What::Events | What::Sink) {
            return usage("--all goes with event ids, or with --sink NAME --since TIME");
        }
        Ok(what)
    }

    /// How many different events are named.
    fn named(&self) -> u64 {
        self.events.iter().collect::<std::collections::BTreeSet<_>>().len() as u64
    }

    /// How many are looked at, where that can be told before.
    async fn total(&self, relay: &RunningRelay) -> Result<Option<u64>, Failure> {
        if !self.events.is_empty() {
            return Ok(Some(self.named()));
        }
        if !self.dead_letters || !self.filter.is_only_sink() {
            return Ok(None);
        }
        #[derive(Deserialize)]
        struct Sinks {
            sinks: Vec<Sink>,
        }
        #[derive(Deserialize)]
        struct Sink {
            sink: String,
            dead_letters: u64,
        }
        let Sinks { sinks } = relay.get("/sinks", NOTHING).await?;
        let is_meant =
            |sink: &&Sink| self.filter.sink.as_ref().is_none_or(|wanted| wanted.as_str() == sink.sink);
        Ok(Some(sinks.iter().filter(is_meant).map(|sink| sink.dead_letters).sum()))
    }
}

impl Outcome {
    /// Only a dry run tells which: of a replay the log does.
    fn add(&mut self, step: Self) {
        self.add_figures(&step);
        self.items.extend(step.items);
    }

    fn add_figures(&mut self, step: &Self) {
        self.again += step.again;
        self.added += step.added;
        self.read += step.read;
        self.looked_at += step.looked_at;
        let (left, more) = (&mut self.left, &step.left);
        left.pending += more.pending;
        left.delivered += more.delivered;
        left.purged += more.purged;
        left.not_configured += more.not_configured;
        left.unmatched += more.unmatched;
        left.unreadable += more.unreadable;
    }

    fn so_far(&self) -> String {
        format!("looked at {}, deliveries {}", self.looked_at, self.again + self.added)
    }

    fn print(&self, dry_run: bool) {
        let mut table = Table::new([Column::whole("EVENT"), Column::text("SINK"), Column::whole("HOW")]);
        for Item { event_id, sink, how } in &self.items {
            table.row([event_id.to_string(), sink.clone().unwrap_or_else(|| "-".to_owned()), how.clone()]);
        }
        table.print();
        let Self { again, added, read, left, .. } = self;
        let verb = if dry_run { "would replay" } else { "replayed" };
        let read = if *read > 0 { format!(", events read: {read}") } else { String::new() };
        output::line(format!("{verb} deliveries: {again} again, {added} added{read}"));
        for (count, what) in [
            (left.pending, "wait anyway"),
            (left.delivered, "were delivered (--all with event ids or a sink)"),
            (left.purged, "were purged (--all with event ids or a sink)"),
            (left.not_configured, "are to a sink that is not configured (vodrelay sinks rename, or forget)"),
            (left.unmatched, "match no sink, or not this one"),
            (left.unreadable, "still cannot be read"),
        ] {
            if count > 0 {
                output::line(format!("left alone: {count} {what}"));
            }
        }
    }
}
