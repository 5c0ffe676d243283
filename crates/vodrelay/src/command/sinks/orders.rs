//! What people do with one sink: pause, resume, have it retried, rename, forget.

use clap::Args as ClapArgs;
use serde::Deserialize;
use serde_json::json;
use vodrelay_core::ledger::Step;
use vodrelay_core::{Clock, Ledger, Pause, SinkName, SystemClock};

use super::Sinks;
use crate::command::ask::{NOTHING, RunningRelay, Target};
use crate::command::confirm::confirm;
use crate::command::door::{Door, Place, close, failed};
use crate::exit::{Code, Failure};
use crate::output;

/// One commit changes at most so many deliveries.
const STEP: usize = 500;

/// Arguments of `sinks pause`.
#[derive(Debug, ClapArgs)]
pub(crate) struct PauseArgs {
    /// The sink
    #[arg(value_name = "NAME")]
    sink: SinkName,
    /// Why, for whoever looks at it next
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    how: How,
}

/// Arguments of `sinks resume` and `sinks retry-now`.
#[derive(Debug, ClapArgs)]
pub(crate) struct OneArgs {
    /// The sink
    #[arg(value_name = "NAME")]
    sink: SinkName,
    #[command(flatten)]
    how: How,
}

/// Arguments of `sinks rename`.
#[derive(Debug, ClapArgs)]
pub(crate) struct RenameArgs {
    /// The name that is no longer configured
    #[arg(value_name = "OLD")]
    old: SinkName,
    /// The name that it has now
    #[arg(value_name = "NEW")]
    new: SinkName,
    #[command(flatten)]
    how: How,
}

/// Arguments of `sinks forget`.
#[derive(Debug, ClapArgs)]
pub(crate) struct ForgetArgs {
    /// The sink
    #[arg(value_name = "NAME")]
    sink: SinkName,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    how: How,
}

/// How it is said, and to whom.
#[derive(Debug, ClapArgs)]
struct How {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

impl How {
    fn say(&self, json: &serde_json::Value, text: &str) {
        if self.json { output::json(json) } else { output::line(text) }
    }
}

pub(super) async fn pause(args: &PauseArgs) -> Result<(), Failure> {
    let sink = &args.sink;
    let body = json!({"reason": args.reason});
    let pause: Pause = args.how.target.relay()?.post(&format!("/sinks/{sink}/pause"), &body).await?;
    let text = format!(
        "{sink} is paused since {:.0}, over restarts too; `vodrelay sinks resume {sink}` lets it go on",
        pause.since
    );
    args.how.say(&json!({"sink": sink, "paused": pause}), &text);
    Ok(())
}

#[derive(Deserialize)]
struct Resumed {
    was_paused: bool,
}

pub(super) async fn resume(args: &OneArgs) -> Result<(), Failure> {
    let sink = &args.sink;
    let relay = args.how.target.relay()?;
    let Resumed { was_paused } = relay.post(&format!("/sinks/{sink}/resume"), &json!({})).await?;
    let text = if was_paused { format!("{sink} goes on") } else { format!("{sink} was not paused") };
    args.how.say(&json!({"sink": sink, "was_paused": was_paused}), &text);
    Ok(())
}

#[derive(Deserialize)]
struct Due {
    changed: u64,
    more: bool,
    probed: bool,
    paused: bool,
}

pub(super) async fn retry_now(args: &OneArgs) -> Result<(), Failure> {
    let sink = &args.sink;
    let relay = args.how.target.relay()?;
    // Fixed for all steps: what fails again meanwhile waits for its own time.
    let body = json!({"asked_at": SystemClock.now()});
    let path = format!("/sinks/{sink}/retry-now");
    let (mut changed, mut probed) = (0, false);
    let paused = loop {
        let step: Due = relay.post(&path, &body).await?;
        changed += step.changed;
        probed |= step.probed;
        if !step.more {
            break step.paused;
        }
    };
    let but = match (paused, probed) {
        (true, _) => format!("; it is paused, and they wait for `vodrelay sinks resume {sink}`"),
        (_, true) => "; it is down, and is tried at once: what waits goes out when it answers".to_owned(),
        _ => String::new(),
    };
    args.how.say(
        &json!({"sink": sink, "changed": changed, "probed": probed, "paused": paused}),
        &format!("{sink}: retries due now that were not: {changed}{but}"),
    );
    Ok(())
}

pub(super) async fn rename(args: &RenameArgs) -> Result<(), Failure> {
    let RenameArgs { old, new, how } = args;
    if old == new {
        return Err(Failure::new(Code::Usage, "both names are the same"));
    }
    let changed = match door(&how.target, old)? {
        Door::Relay(relay) => {
            let (path, body) = (format!("/sinks/{old}/rename"), json!({"to": new}));
            repeat(async || posted(&relay, &path, &body).await).await?
        }
        Door::Journal(place) => {
            if !place.config().sinks.contains_key(new) {
                let message = format!(
                    "sink {new} is not configured, so what waits would wait for ever; put [sinks.{new}] into the configuration first"
                );
                return Err(Failure::new(Code::Usage, message));
            }
            let journal = place.open()?;
            let changed =
                repeat(async || journal.rename(old, new, STEP).await.map_err(|error| failed(&error))).await;
            close(journal, changed).await?
        }
    };
    let text = format!("deliveries that were {old}'s are {new}'s: {changed}");
    how.say(&json!({"sink": old, "to": new, "changed": changed}), &text);
    Ok(())
}

pub(super) async fn forget(args: &ForgetArgs) -> Result<(), Failure> {
    let ForgetArgs { sink, yes, how } = args;
    let asks = |pending: u64| {
        let what = format!("deliveries that wait for {sink} become dead letters: {pending}");
        confirm(*yes, &what)
    };
    let changed = match door(&how.target, sink)? {
        Door::Relay(relay) => {
            let Sinks { sinks } = relay.get("/sinks", NOTHING).await?;
            let found =
                sinks.iter().find(|found| found.sink == sink.as_str()).ok_or_else(|| unknown(sink))?;
            if found.configured {
                return Err(configured(sink));
            }
            asks(found.pending)?;
            let path = format!("/sinks/{sink}/forget");
            repeat(async || posted(&relay, &path, &json!({})).await).await?
        }
        Door::Journal(place) => {
            asks(pending(&place, sink)?)?;
            let journal = place.open()?;
            let changed =
                repeat(async || journal.forget(sink, STEP).await.map_err(|error| failed(&error))).await;
            close(journal, changed).await?
        }
    };
    let text = format!(
        "{sink} is forgotten; dead letters more: {changed} (`vodrelay dead-letters list --sink {sink}`)"
    );
    how.say(&json!({"sink": sink, "changed": changed}), &text);
    Ok(())
}

/// By whom it is done; what is configured is not renamed or forgotten.
fn door(target: &Target, sink: &SinkName) -> Result<Door, Failure> {
    let door = Door::find(target)?;
    match &door {
        Door::Journal(place) if place.config().sinks.contains_key(sink) => Err(configured(sink)),
        _ => Ok(door),
    }
}

fn configured(sink: &SinkName) -> Failure {
    let message = format!(
        "sink {sink} is configured; take [sinks.{sink}] out of the configuration, or give it its new name there first"
    );
    Failure::new(Code::Usage, message)
}

fn unknown(sink: &SinkName) -> Failure {
    Failure::new(Code::Unreadable, format!("no sink {sink} is configured, and the journal knows none"))
}

/// What waits for the sink.
fn pending(place: &Place, sink: &SinkName) -> Result<u64, Failure> {
    let backlogs = place.reader()?.backlogs().map_err(|error| failed(&error))?;
    let found = backlogs.iter().find(|found| found.sink == *sink);
    found.map(|found| found.pending).ok_or_else(|| unknown(sink))
}

/// Asks for step after step until there is no more; says how many deliveries were changed.
async fn repeat(step: impl AsyncFn() -> Result<Step, Failure>) -> Result<u64, Failure> {
    let mut changed = 0;
    loop {
        let done = step().await?;
        changed += done.changed;
        if !done.more {
            return Ok(changed);
        }
    }
}

async fn posted(relay: &RunningRelay, path: &str, body: &serde_json::Value) -> Result<Step, Failure> {
    #[derive(Deserialize)]
    struct Stepped {
        changed: u64,
        more: bool,
    }
    let Stepped { changed, more } = relay.post(path, body).await?;
    Ok(Step { changed, more })
}
