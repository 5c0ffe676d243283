//! `vodrelay explain`: how an event reads, which sinks get it and why.

use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args as ClapArgs;
use serde_json::json;
use vod_event::{Event, Identified};
use vodrelay_core::routing::Verdict;
use vodrelay_core::{Labels, Name, SourceName};

use crate::cli::ConfigFile;
use crate::config::Loaded;
use crate::exit::{Code, Failure, io_failure};
use crate::output;

/// Arguments of `explain`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:\n  \
    vodrelay explain event.json\n  \
    vodrelay trigger --print | vodrelay explain - --json\n  \
    vodrelay explain message.txt --queue\n\n\
    Exits with 0 when the event can be read, with 65 when it cannot.")]
pub(crate) struct Args {
    /// The file with the body, or - for standard input
    #[arg(default_value = "-")]
    file: PathBuf,
    /// Read it as a queue message, which may be Base64
    #[arg(long)]
    queue: bool,
    /// The source that it is taken to come from [default: the first callback of the configuration]
    #[arg(long, value_name = "callbacks.NAME")]
    source: Option<SourceName>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigFile,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let raw = read(&args.file)?;
    let body = if args.queue { vod_event::queue::decode_body(&raw) } else { raw.as_slice().into() };
    let reading = match vod_event::read(&body) {
        Ok(reading) => reading,
        Err(unreadable) => {
            if args.json {
                output::json(&json!({"event": null, "unreadable": unreadable.to_string()}));
            }
            let message = format!(
                "not readable as an event: {unreadable}; a relay keeps it, and delivers it to no sink"
            );
            return Err(Failure::new(Code::Unreadable, message));
        }
    };
    let verdicts = match loaded(args)? {
        Some(loaded) => {
            let (source, labels) = source_of(&loaded, args.source.clone());
            Some(loaded.config.routes().explain(&reading, &source, &labels))
        }
        None => None,
    };
    let event = reading.event().identified(reading.id());
    if args.json {
        output::json(&Explained { event, sinks: verdicts });
    } else {
        output::json(&event);
        print(reading.event(), verdicts.as_deref());
    }
    Ok(())
}

/// Without a configuration there is nothing to say of sinks, and so no key for them.
#[derive(serde::Serialize)]
struct Explained<'a> {
    event: Identified<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sinks: Option<Vec<Verdict>>,
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
        Err(_) if args.config.config.is_none() && !std::path::Path::new("vodrelay.toml").exists() => Ok(None),
        Err(failure) => Err(failure),
    }
}

fn source_of(loaded: &Loaded, asked: Option<SourceName>) -> (SourceName, Arc<Labels>) {
    let callbacks = &loaded.config.http.callbacks;
    let named = |name: &Name| asked.as_ref().is_none_or(|asked| *asked == SourceName::callback(name));
    let found = callbacks.iter().find(|(name, _)| named(name));
    let labels = found.map(|(_, callback)| Arc::new(callback.labels.clone())).unwrap_or_default();
    let source = asked.or_else(|| found.map(|(name, _)| SourceName::callback(name)));
    (source.unwrap_or_else(|| SourceName::callback(&first_name())), labels)
}

#[expect(clippy::expect_used, reason = "the literal keeps the rule")]
fn first_name() -> Name {
    Name::new("main").expect("a name by the rule")
}

fn read(file: &PathBuf) -> Result<Vec<u8>, Failure> {
    if file.as_os_str() == "-" {
        let mut body = Vec::new();
        std::io::stdin()
            .read_to_end(&mut body)
            .map_err(|error| io_failure("cannot read standard input", &error))?;
        return Ok(body);
    }
    std::fs::read(file)
        .map_err(|error| Failure::new(Code::Unreadable, format!("cannot read {}: {error}", file.display())))
}
