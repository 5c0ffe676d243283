//! `vodrelay refused explain`: one refused request, held against the configuration that the relay runs with.

use clap::Args as ClapArgs;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::command::ask::{NOTHING, Target};
use crate::exit::Failure;
use crate::output;

/// Arguments of `refused explain`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Explain {
    /// The id, as `refused list` shows it
    id: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Deserialize, Serialize)]
struct Explanation {
    id: u64,
    received_at: Timestamp,
    source: String,
    address: String,
    cause: String,
    detail: String,
    timestamp: Option<String>,
    bytes: u64,
    cut_short: bool,
    today: Today,
    event_id: String,
    known: bool,
    event: Option<Box<RawValue>>,
    unreadable: Option<String>,
    taken: bool,
    taken_if_stale: bool,
}

#[derive(Debug, Deserialize, Serialize)]
struct Today {
    judgement: String,
    detail: String,
    key: Option<String>,
    off_by_seconds: Option<i64>,
    resembles: Option<String>,
}

pub(super) async fn run(args: Explain) -> Result<(), Failure> {
    let found: Explanation = args.target.relay()?.get(&format!("/refused/{}", args.id), NOTHING).await?;
    if args.json {
        output::json(&found);
        return Ok(());
    }
    found.print();
    Ok(())
}

impl Explanation {
    fn print(&self) {
        let Self { received_at, source, address, cause, detail, bytes, .. } = self;
        let part = if self.cut_short { ", only a part of what was sent" } else { "" };
        output::line(format!("received  {received_at} by {source} from {address}: {bytes} bytes{part}"));
        output::line(format!("refused   {cause}: {detail}"));
        // It is a stranger's text.
        let timestamp = self.timestamp.as_ref().map_or("none".to_owned(), |text| format!("{text:?}"));
        output::line(format!("sent      X-VOD-TIMESTAMP {timestamp}"));
        output::line(format!("today     {}: {}", self.today.judgement, self.today.detail));
        if let Some(key) = &self.today.key {
            output::line(format!("          the key {key:?} matches"));
        }
        if let Some(off) = self.today.off_by_seconds {
            let side = if off < 0 { "behind" } else { "ahead of" };
            output::line(format!("          its time was {} s {side} this machine's", off.unsigned_abs()));
        }
        if let Some(resembles) = &self.today.resembles {
            output::line(format!("          it would be right for {resembles}"));
        } else if self.today.judgement == "mismatch" {
            output::line(
                "          no other spelling of public_url matches either: another key, or another host or path",
            );
        }
        match (&self.event, &self.unreadable) {
            (Some(event), _) => {
                output::line("event");
                output::json(event);
            }
            (None, reason) => output::line(format!(
                "body      not readable as an event: {}",
                reason.as_deref().unwrap_or("no reason is given")
            )),
        }
        output::line(format!("accept    {}", self.outlook()));
    }

    fn outlook(&self) -> String {
        let merged = if self.known { "; it is merged with the event that is there" } else { "" };
        if self.taken {
            return format!("takes it as {}{merged}", self.event_id);
        }
        if self.taken_if_stale {
            return format!("takes it with --stale only, as {}{merged}", self.event_id);
        }
        let why = if self.cut_short { "a part of a body is never accepted" } else { &self.today.detail };
        format!("leaves it: {why}")
    }
}
