//! `vodrelay forget`: a video goes from the journal and from the archives, but for the ids of its events.

use std::time::Duration;

use clap::Args as ClapArgs;
use serde_json::json;
use tokio::time::Instant;
use vodrelay_core::{Clock, Forgotten, Name, SystemClock, Video};
use vodrelay_sinks::archive::{FoundRecord, ReadError, Reader};

use super::archive;
use super::ask::Target;
use super::confirm::confirm;
use super::door::{Door, close, failed};
use crate::exit::{Code, Failure};
use crate::output;

/// How long what is in hand is waited for: a few attempts of a slow sink.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Arguments of `forget`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:\n  \
    vodrelay forget --video 5af3f0a5c5004971a1e9f9bb6b0ea0e4 --dry-run\n  \
    vodrelay forget --video 5af3f0a5c5004971a1e9f9bb6b0ea0e4\n\n\
    Goes: bodies, deliveries, attempts, refused requests that name the video, and what each archive of this\n\
    configuration has of it. Stays: the id of each event, so that a repeat is merged and not delivered.\n\
    Works without a running relay too. Without a terminal --yes is needed. Reads every record of the archives.\n\
    Exits with 0 when all is gone, with 69 when the relay or a store does not answer or a delivery stays in hand;\n\
    running it again goes on where it ended.")]
pub(crate) struct Args {
    /// The VideoId, as events have it
    #[arg(long, value_name = "ID")]
    video: String,
    /// Change nothing, and tell what would go
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

/// What one archive had of the video.
#[derive(Debug, Default, serde::Serialize)]
struct InArchive {
    records: u64,
    images: u64,
    /// Records of which nobody can say whose they are.
    unreadable: u64,
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let door = Door::find(&args.target)?;
    let archives = archive::all_of(&args.target.load()?)?;
    // What comes meanwhile stays, or it would have no end.
    let video = Video { id: args.video.clone(), received_before: SystemClock.now() };
    let found = in_journal(&door, &video, true).await?;
    let names: Vec<&str> = archives.iter().map(|(name, _)| name.as_str()).collect();
    if !args.dry_run {
        let and_archives = match names.as_slice() {
            [] => String::new(),
            names => format!(", and all that these archives have of it: {}", names.join(", ")),
        };
        let Forgotten { events, refused, .. } = found;
        let what = format!(
            "video {:?} goes for good: events in the journal: {events}, refused requests: {refused}{and_archives}",
            args.video
        );
        confirm(args.yes, &what)?;
    }
    let journal = if args.dry_run { found } else { forget_in_journal(&door, &video).await? };
    // Nothing of it is pending any more, so nothing writes into an archive what is removed there now.
    let mut told = Vec::new();
    for (name, reader) in &archives {
        let in_archive = in_archive(reader, &video, args.dry_run).await;
        told.push((name, in_archive.map_err(|error| archive::unreadable(name, &error))?));
    }
    args.tell(journal, &told);
    Ok(())
}

/// Goes on until nothing of it is in hand.
async fn forget_in_journal(door: &Door, video: &Video) -> Result<Forgotten, Failure> {
    let (mut total, begun) = (Forgotten::default(), Instant::now());
    loop {
        let step = in_journal(door, video, false).await?;
        total.events += step.events;
        total.refused += step.refused;
        if step.in_hand == 0 {
            return Ok(total);
        }
        if begun.elapsed() > PATIENCE {
            let message = format!(
                "events of which a delivery is in hand for {} s: {}; see `vodrelay sinks list`, then run it again",
                PATIENCE.as_secs(),
                step.in_hand
            );
            return Err(Failure::new(Code::Unreachable, message));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

async fn in_journal(door: &Door, video: &Video, dry_run: bool) -> Result<Forgotten, Failure> {
    match door {
        Door::Relay(relay) => {
            let Video { id, received_before } = video;
            let body = json!({"video_id": id, "received_before": received_before, "dry_run": dry_run});
            relay.post("/forget", &body).await
        }
        Door::Journal(place) => {
            let journal = place.open()?;
            let forgotten = vodrelay_core::forget(&journal, video, dry_run).await;
            close(journal, forgotten.map_err(|error| failed(&error))).await
        }
    }
}

fn is_of(record: &FoundRecord, video: &Video) -> bool {
    record.received_at < video.received_before
        && video.is_that_of(record.video_id.as_deref(), record.media_id.as_deref())
}

async fn in_archive(reader: &Reader, video: &Video, dry_run: bool) -> Result<InArchive, ReadError> {
    let mut records = reader.records(None);
    let mut found = InArchive::default();
    while let Some(item) = records.next().await? {
        let record = match &item.record {
            Ok(record) if is_of(record, video) => record,
            Ok(_) => continue,
            Err(_) => {
                found.unreadable += 1;
                continue;
            }
        };
        if !dry_run {
            reader.remove(&item.key, record).await?;
        }
        found.records += 1;
        found.images += record.images.iter().filter(|image| image.key.is_some()).count() as u64;
    }
    Ok(found)
}

impl Args {
    fn tell(&self, journal: Forgotten, archives: &[(&Name, InArchive)]) {
        if self.json {
            let archives: serde_json::Map<_, _> =
                archives.iter().map(|(name, found)| (name.to_string(), json!(found))).collect();
            let told = json!({
                "video_id": self.video, "dry_run": self.dry_run,
                "journal": {"events": journal.events, "refused": journal.refused}, "archives": archives,
            });
            return output::json(&told);
        }
        let Forgotten { events, refused, .. } = journal;
        output::line(format!("journal  events: {events}, refused requests: {refused}"));
        for (name, InArchive { records, images, unreadable }) in archives {
            output::line(format!("{name}  records: {records}, images: {images}"));
            if *unreadable > 0 {
                output::note(format!(
                    "{name} has records that cannot be read, so nobody can say whether they are of this video: \
                     {unreadable}; `vodrelay archive list --sink {name}` names them"
                ));
            }
        }
        output::line(if self.dry_run { "nothing was changed" } else { "all of this is gone" });
    }
}
