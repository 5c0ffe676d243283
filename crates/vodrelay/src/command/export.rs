//! `vodrelay export`: the events of a time as JSON lines, in the order of acceptance, read beside a running relay.

use std::io::{BufWriter, ErrorKind, IsTerminal, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args as ClapArgs;
use jiff::Timestamp;
use serde::Serialize;
use vod_event::{EventId, Identified};
use vodrelay_core::ledger::{Kept, KeptFilter};
use vodrelay_core::{Labels, SinkName, SourceName};
use vodrelay_journal::Reader;

use super::journal::Selection;
use super::serve::code_of_journal;
use super::when;
use crate::exit::{Code, Failure, io_failure};
use crate::output;
use crate::output::progress::Progress;

/// Read at once; a page ends sooner where its bodies are large.
const PAGE: usize = 500;

/// Arguments of `export`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:\n  \
    vodrelay export --since 7d > events.jsonl\n  \
    vodrelay export --since 2026-11-01T00:00:00Z --until 2026-12-01T00:00:00Z --raw | gzip > november.jsonl.gz\n  \
    vodrelay export --since 1d | jq -r 'select(.event.status == \"fail\") | .event.video_id'\n\n\
    Each line has the id, when and from where it came, where its deliveries stand, and the normalised event, or why it\n\
    cannot be read; with --raw the body too (body_encoding says whether as utf-8 or base64). The relay need not run.\n\
    What is read at a time is bounded, however much there is.")]
pub(crate) struct Args {
    /// Received since: a moment in RFC 3339, or how long ago, like 7d
    #[arg(long, value_name = "WHEN", value_parser = when::parse)]
    since: Timestamp,
    /// Received before [default: until now]
    #[arg(long, value_name = "WHEN", value_parser = when::parse)]
    until: Option<Timestamp>,
    /// With the body as the provider made it
    #[arg(long)]
    raw: bool,
    #[command(flatten)]
    selection: Selection,
}

#[derive(Serialize)]
struct Line<'k> {
    id: EventId,
    received_at: Timestamp,
    source: &'k SourceName,
    labels: &'k Labels,
    deliveries: Vec<Delivery<'k>>,
    event: Option<Identified<'k>>,
    unreadable: Option<&'k str>,
    bytes: usize,
    sha256: String,
    /// Whether the body is still the one that was accepted.
    is_intact: bool,
    #[serde(flatten)]
    body: Option<Body>,
}

#[derive(Serialize)]
struct Delivery<'k> {
    sink: &'k SinkName,
    state: &'static str,
}

#[derive(Serialize)]
struct Body {
    body_encoding: &'static str,
    body: String,
}

/// Runs where it may wait for the disk for long.
pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let done = tokio::task::spawn_blocking(move || export(&args)).await;
    done.unwrap_or_else(|error| Err(Failure::new(Code::Internal, format!("{error}; please report it"))))
}

fn export(args: &Args) -> Result<(), Failure> {
    let reader = Reader::open(&args.selection.folder()?);
    let reader = reader.map_err(|error| Failure::new(code_of_journal(&error), error.to_string()))?;
    let failed = |error: vodrelay_core::JournalError| Failure::new(Code::Internal, error.to_string());
    let filter = KeptFilter { since: Some(args.since), until: args.until, ..KeptFilter::default() };
    let mut out = BufWriter::new(std::io::stdout().lock());
    // On a terminal the lines themselves show how far it is.
    let mut progress = (!std::io::stdout().is_terminal()).then(|| Progress::of(None));
    let (mut after, mut count) = (None, 0_u64);
    loop {
        let page = reader.kept(&filter, after, PAGE).map_err(failed)?;
        for kept in &page.items {
            count += 1;
            match writeln!(out, "{}", output::json_text(&line(kept, args.raw))) {
                // Whoever reads has enough.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
                written => written.map_err(|error| io_failure("the events cannot be written", &error))?,
            }
        }
        progress.iter_mut().for_each(|progress| progress.show(count, &format!("exported {count} events")));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    match out.flush() {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(io_failure("the events cannot be written", &error))
        }
        _ => Ok(()),
    }
}

fn line(kept: &Kept, raw: bool) -> Line<'_> {
    let envelope = &kept.envelope;
    let (event, unreadable) = match envelope.event() {
        Ok(event) => (Some(event.identified(envelope.id)), None),
        Err(reason) => (None, Some(reason)),
    };
    Line {
        id: envelope.id,
        received_at: envelope.received_at,
        source: &envelope.source,
        labels: &envelope.labels,
        deliveries: kept
            .deliveries
            .iter()
            .map(|(sink, state)| Delivery { sink, state: state.as_str() })
            .collect(),
        event,
        unreadable,
        bytes: envelope.body.len(),
        sha256: envelope.sha256.iter().map(|byte| format!("{byte:02x}")).collect(),
        is_intact: envelope.is_intact(),
        body: raw.then(|| body(&envelope.body)),
    }
}

fn body(bytes: &[u8]) -> Body {
    match std::str::from_utf8(bytes) {
        Ok(text) => Body { body_encoding: "utf-8", body: text.to_owned() },
        Err(_) => Body { body_encoding: "base64", body: STANDARD.encode(bytes) },
    }
}
