//! `vodrelay archive`: what the archives hold, and whether it is whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use clap::{Args as ClapArgs, Subcommand};
use jiff::civil::Date;
use serde_json::{Value, json};
use vodrelay_core::config::ConfigError;
use vodrelay_core::{Clock, Name, SystemClock};
use vodrelay_sinks::archive::{Found, FoundImage, FoundRecord, ReadError, Reader};

use crate::cli::ConfigFile;
use crate::config::{Loaded, SinkConfig};
use crate::exit::{Code, Failure};
use crate::output;
use crate::output::table::{Column, Table};

/// Subcommands of `archive`.
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:\n  \
    vodrelay archive list --date 2026-11-24\n  \
    vodrelay archive verify")]
pub(crate) enum Args {
    /// List the records: each event with its images and what became of them
    #[command(after_help = "Examples:\n  \
        vodrelay archive list\n  \
        vodrelay archive list --date 2026-11-24 --sink archive\n  \
        vodrelay archive list --json | jq 'select(.images[].state == \"failed\")'\n\n\
        With --json each record is a line. The relay need not run.\n\
        Exits with 0 when every record can be read, with 65 when one cannot, with 69 when a store does not answer.")]
    List(Selection),
    /// Hash every object that is kept, and compare it with its record
    #[command(after_help = "Examples:\n  \
        vodrelay archive verify\n  \
        vodrelay archive verify --date 2026-11-24 --json\n\n\
        With --json each mismatch is a line, and the last line has the totals. Reads every image, and writes nothing.\n\
        Exits with 0 when everything matches, with 65 when something does not, with 69 when a store does not answer.")]
    Verify(Selection),
}

fn day(text: &str) -> Result<Date, String> {
    text.parse().map_err(|_| "expected a day of UTC like 2026-11-24".to_owned())
}

/// Which records are meant.
#[derive(Debug, ClapArgs)]
pub(crate) struct Selection {
    /// The archive's name in the configuration [default: every archive there]
    #[arg(long, value_name = "NAME")]
    sink: Option<Name>,
    /// The UTC day of the records: that of the event, or of its acceptance where it has no time [default: every day]
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = day)]
    date: Option<Date>,
    /// Print JSON, a line for each
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigFile,
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    match args {
        Args::List(selection) => {
            let mut unreadable_records = 0;
            for (sink, reader) in selection.archives()? {
                let listed = list(&sink, &reader, &selection).await;
                unreadable_records += listed.map_err(|error| unreadable(&sink, &error))?;
            }
            if unreadable_records == 0 {
                return Ok(());
            }
            let message = format!("records that cannot be read: {unreadable_records}");
            Err(Failure::new(Code::Unreadable, message))
        }
        Args::Verify(selection) => {
            let mut totals = Totals::default();
            for (sink, reader) in selection.archives()? {
                let verified = verify(&sink, &reader, &selection, &mut totals).await;
                verified.map_err(|error| unreadable(&sink, &error))?;
            }
            totals.print(selection.json);
            if totals.mismatches == 0 { Ok(()) } else { Err(Failure::new(Code::Unreadable, String::new())) }
        }
    }
}

impl Selection {
    /// The archives that are meant, by name.
    fn archives(&self) -> Result<Vec<(Name, Reader)>, Failure> {
        let loaded = self.config.load()?;
        let wrong = |message: String| Failure::new(Code::Configuration, message);
        let is_meant = |name: &Name| self.sink.as_ref().is_none_or(|sink| sink == name);
        let archives = || loaded.config.sinks.iter().filter(|(_, sink)| sink.kind == "archive");
        let meant: Vec<_> = archives().filter(|(name, _)| is_meant(name)).collect();
        if meant.is_empty() {
            let named = self.sink.as_ref().map_or_else(String::new, |name| format!(" with the name {name}"));
            let names: Vec<&str> = archives().map(|(name, _)| name.as_str()).collect();
            let there_are =
                if names.is_empty() { String::new() } else { format!("; there are: {}", names.join(", ")) };
            return Err(wrong(format!("no sink of kind \"archive\"{named} is configured{there_are}")));
        }
        meant.into_iter().map(|(name, sink)| open(&loaded, name, sink)).collect()
    }
}

fn open(loaded: &Loaded, name: &Name, sink: &SinkConfig) -> Result<(Name, Reader), Failure> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let reader = Reader::open(&sink.options(&loaded.surroundings), &clock);
    let wrong = |error: ConfigError| {
        let error = error.within(&format!("sinks.{name}.options"));
        Failure::new(Code::Configuration, format!("the configuration is wrong\n  {error}"))
    };
    Ok((name.clone(), reader.map_err(wrong)?))
}

/// Every archive that is configured, by name.
pub(crate) fn all_of(loaded: &Loaded) -> Result<Vec<(Name, Reader)>, Failure> {
    let archives = loaded.config.sinks.iter().filter(|(_, sink)| sink.kind == "archive");
    archives.map(|(name, sink)| open(loaded, name, sink)).collect()
}

pub(crate) fn unreadable(sink: &Name, error: &ReadError) -> Failure {
    Failure::new(Code::Unreachable, format!("sink {sink}: {error}"))
}

/// Gives back how many records cannot be read.
async fn list(sink: &Name, reader: &Reader, selection: &Selection) -> Result<u64, ReadError> {
    let mut records = reader.records(selection.date);
    let (mut listed, mut unreadable) = (0, 0);
    let mut table = table();
    while let Some(found) = records.next().await? {
        listed += 1;
        unreadable += u64::from(found.record.is_err());
        if selection.json {
            output::json_line(&as_json(sink, &found));
        } else {
            rows(&found).into_iter().for_each(|row| table.row(row));
        }
    }
    table.print();
    if listed == 0 {
        let of_day = selection.date.map_or_else(String::new, |day| format!(" of {day}"));
        output::note(format!("{sink} has no record{of_day}"));
    }
    Ok(unreadable)
}

fn as_json(sink: &Name, found: &Found) -> Value {
    let mut line = match &found.record {
        Ok(record) => json!(record),
        Err(what) => json!({"unreadable": what}),
    };
    if let Value::Object(members) = &mut line {
        members.insert("sink".to_owned(), json!(sink));
        members.insert("key".to_owned(), json!(found.key));
    }
    line
}

fn table() -> Table {
    Table::new([
        Column::whole("TIME").may_go().at_least(20),
        Column::whole("EVENT").at_least(37),
        Column::text("TYPE").may_go().at_least(20),
        Column::whole("IMAGE").at_least(10),
        Column::wrapped("OBJECT OR REASON").at_least(24),
    ])
}

/// One for each image of a record, or one that says why there is none.
fn rows(found: &Found) -> Vec<[String; 5]> {
    let FoundRecord { id, event_type, time, status, images, .. } = match &found.record {
        Ok(record) => record,
        Err(what) => {
            let nothing = || "-".to_owned();
            return vec![[
                nothing(),
                nothing(),
                nothing(),
                "UNREADABLE".to_owned(),
                format!("{} {what}", found.key),
            ]];
        }
    };
    let row = |state: &str, detail: String| {
        [time.to_string(), id.to_string(), event_type.to_string(), state.to_owned(), detail]
    };
    if images.is_empty() {
        let why = if status.as_deref() == Some("fail") { "no image: the event's status is fail" } else { "" };
        return vec![row("-", why.to_owned())];
    }
    let of_image = |image: &FoundImage| {
        let FoundImage { state, cause, reason, key, .. } = image;
        let cause = cause.as_ref().map(|cause| format!("{cause}: ")).unwrap_or_default();
        let detail =
            key.clone().unwrap_or_else(|| format!("{cause}{}", reason.as_deref().unwrap_or_default()));
        row(state, detail)
    };
    images.iter().map(of_image).collect()
}

/// What a verification has come to.
#[derive(Default)]
struct Totals {
    records: u64,
    kept: u64,
    mismatches: u64,
    /// Images by their state.
    states: BTreeMap<String, u64>,
}

impl Totals {
    fn print(&self, json: bool) {
        let Self { records, kept, mismatches, states } = self;
        if json {
            let totals =
                json!({"records": records, "kept": kept, "mismatches": mismatches, "images": states});
            return output::json_line(&totals);
        }
        let states: Vec<String> = states.iter().map(|(state, count)| format!("{count} {state}")).collect();
        let images =
            if states.is_empty() { "no images".to_owned() } else { format!("images: {}", states.join(", ")) };
        output::line(format!("{records} records; {images}; mismatches: {mismatches}"));
    }
}

async fn verify(
    sink: &Name,
    reader: &Reader,
    selection: &Selection,
    totals: &mut Totals,
) -> Result<(), ReadError> {
    let mut verdicts = reader.verdicts(selection.date);
    while let Some(verdict) = verdicts.next().await? {
        totals.records += 1;
        totals.kept += verdict.kept;
        totals.mismatches += verdict.mismatches.len() as u64;
        for image in verdict.found.record.iter().flat_map(|record| &record.images) {
            *totals.states.entry(image.state.clone()).or_default() += 1;
        }
        for mismatch in verdict.mismatches {
            let (record, key, what) = (&verdict.found.key, mismatch.key, mismatch.what);
            if selection.json {
                output::json_line(&json!({"sink": sink, "record": record, "key": key, "mismatch": what}));
            } else {
                output::line(format!("MISMATCH {sink}: {key} {what}"));
            }
        }
    }
    Ok(())
}
