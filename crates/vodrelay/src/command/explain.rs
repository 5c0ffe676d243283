//! `vodrelay explain`: how an event reads, which sinks get it and why, and, of one in the journal, what became of it.

mod story;

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use clap::Args as ClapArgs;
use serde_json::json;
use vod_event::{Event, EventId, Identified};
use vodrelay_core::routing::Verdict;
use vodrelay_core::{Labels, Name, SourceName};

use self::story::Story;
use crate::cli::ConfigFile;
use crate::config::Loaded;
use crate::exit::{Code, Failure, io_failure};
use crate::output;

/// Arguments of `explain`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:\n  \
    vodrelay explain event.json\n  \
    vodrelay trigger --print | vodrelay explain - --json\n  \
    vodrelay explain message.txt --queue\n  \
    vodrelay explain evt_1a837bca04c4f17debab042bcffb2153d\n\n\
    Exits with 0 when the event can be read, with 65 when it cannot or is not in the journal.")]
pub(crate) struct Args {
    /// The file with the body, - for standard input, or the id of an event in the relay's journal
    #[arg(default_value = "-", value_name = "FILE, - or EVENT_ID")]
    what: String,
    /// Read it as a queue message, which may be Base64
    #[arg(long)]
    queue: bool,
    /// The source that it is taken to come from [default: its own, or the first callback of the configuration, with --queue the first queue]
    #[arg(long, value_name = "callbacks.NAME or queues.NAME")]
    source: Option<SourceName>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigFile,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let (body, story) = match args.what.parse::<EventId>() {
        Ok(id) => {
            story::from_journal(id, &args.config.load()?).map(|(body, story)| (body.into(), Some(story)))?
        }
        Err(_) => (read(&args.what)?, None),
    };
    let body = if args.queue { vod_event::queue::decode_body(&body) } else { body.as_slice().into() };
    let reading = match vod_event::read(&body) {
        Ok(reading) => reading,
        Err(unreadable) => {
            if args.json {
                output::json(&json!({"event": null, "unreadable": unreadable.to_string(), "journal": story}));
            } else {
                story.iter().for_each(Story::print_receipt);
            }
            // One that the journal holds may be read by a later version; until then nothing can be done.
            if story.as_ref().is_some_and(|story| !story.body_intact) {
                let message = format!("not readable as an event: {unreadable}; {}", story::DAMAGED);
                return Err(Failure::new(Code::Unreadable, message));
            }
            let next = match story.is_some() {
                true => {
                    "; `vodrelay replay --unreadable` reads it again, `vodrelay export --raw` has its bytes"
                }
                false => "",
            };
            let message = format!(
                "not readable as an event: {unreadable}; a relay keeps it, and delivers it to no sink{next}"
            );
            return Err(Failure::new(Code::Unreadable, message));
        }
    };
    let asked = args.source.clone().or_else(|| story.as_ref().map(|story| story.source.clone()));
    let verdicts = match loaded(args)? {
        Some(loaded) => {
            let (source, labels) = source_of(&loaded, args.source.as_ref(), asked, args.queue)?;
            Some(loaded.config.routes().explain(&reading, &source, &labels))
        }
        None => None,
    };
    let event = reading.event().identified(reading.id());
    if args.json {
        output::json(&Explained { event, sinks: verdicts, journal: story });
    } else {
        output::json(&event);
        print(reading.event(), verdicts.as_deref());
        story.iter().for_each(Story::print);
    }
    Ok(())
}

/// Without a configuration there is nothing to say of sinks, and so no key for them.
#[derive(serde::Serialize)]
struct Explained<'a> {
    event: Identified<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sinks: Option<Vec<Verdict>>,
    /// Only of an event that was asked for by its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    journal: Option<Story>,
}

fn print(event: &Event, verdicts: Option<&[Verdict]>) {
    for doubt in &event.doubts {
        output::line(format!("doubt   {}: {}", doubt.field, doubt.what));
    }
    for verdict in verdicts.unwrap_or_default() {
        let word = if verdict.takes { "gets it" } else { "does not" };
        output::line(format!("sink    {} {word}: {}", verdict.sink, verdict.why));
    }
    match verdicts {
        None => output::line("no configuration here, so no sinks are shown (--config FILE)"),
        Some(verdicts) if !verdicts.iter().any(|verdict| verdict.takes) => {
            output::line("no sink gets it: the relay would keep it as unrouted");
        }
        Some(_) => {}
    }
}

/// Without a configuration an event can still be read, so only one that is there and wrong is an error.
fn loaded(args: &Args) -> Result<Option<Loaded>, Failure> {
    match args.config.load() {
        Ok(loaded) => Ok(Some(loaded)),
        Err(_) if args.config.config.is_none() && !Path::new("vodrelay.toml").exists() => Ok(None),
        Err(failure) => Err(failure),
    }
}

fn source_of(
    loaded: &Loaded,
    named: Option<&SourceName>,
    asked: Option<SourceName>,
    is_message: bool,
) -> Result<(SourceName, Arc<Labels>), Failure> {
    let known = loaded.config.sources();
    if let Some(named) = named.filter(|named| !known.contains(named)) {
        let known: Vec<&str> = known.iter().map(SourceName::as_str).collect();
        let message =
            format!("--source {named}: the configuration has no such source; it has: {}", known.join(", "));
        return Err(Failure::new(Code::Usage, message));
    }
    let mut queues = loaded.config.mns.queues.keys().filter(|_| is_message);
    let asked = asked.or_else(|| queues.next().map(SourceName::queue));
    let source = asked.or_else(|| loaded.config.first_source());
    let source = source.unwrap_or_else(|| SourceName::callback(&first_name()));
    let labels = loaded.config.labels_of(&source).cloned().unwrap_or_default();
    Ok((source, Arc::new(labels)))
}

#[expect(clippy::expect_used, reason = "the literal keeps the rule")]
fn first_name() -> Name {
    Name::new("main").expect("a name by the rule")
}

fn read(file: &str) -> Result<Vec<u8>, Failure> {
    if file == "-" {
        let mut body = Vec::new();
        std::io::stdin()
            .read_to_end(&mut body)
            .map_err(|error| io_failure("cannot read standard input", &error))?;
        return Ok(body);
    }
    std::fs::read(file).map_err(|error| {
        let hint = if file.starts_with("evt_") {
            " (an event id is evt_1 and 32 lower-case hex digits)"
        } else {
            ""
        };
        Failure::new(Code::Unreadable, format!("cannot read {file}: {error}{hint}"))
    })
}
