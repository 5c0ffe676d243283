//! `check --against`: routes what came lately by this configuration, and says whom it would no longer reach, and whom newly.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use jiff::Timestamp;
use serde::Serialize;
use vod_event::EventId;
use vodrelay_core::ledger::{Kept, KeptFilter};
use vodrelay_core::{Routes, SinkName, SourceName};
use vodrelay_journal::Reader;

use crate::command::journal::there_is_one;
use crate::command::serve::code_of_journal;
use crate::config::{Config, Loaded};
use crate::exit::{Code, Failure};
use crate::output;
use crate::output::progress::Progress;
use crate::output::table::{Column, Table};

/// Read at once.
const PAGE: usize = 500;
/// So many kinds of events are told apart; what a sender may write as a type is without end.
const MOST: usize = 1_000;

/// What is different.
#[derive(Debug, Default, Serialize)]
struct Difference {
    since: Timestamp,
    events: u64,
    /// Events that reach the same sinks.
    unchanged: u64,
    /// Events whose body cannot be read, which no configuration routes.
    unreadable: u64,
    no_longer: Vec<Row>,
    newly: Vec<Row>,
    /// Events that reached a sink, and would reach none.
    nobody: Tally,
    /// Sources that are no longer configured, so that nothing would come by them.
    sources_gone: BTreeMap<SourceName, Tally>,
}

/// How many, and one of them.
#[derive(Clone, Debug, Default, Serialize)]
struct Tally {
    count: u64,
    example: Option<EventId>,
}

#[derive(Debug, Serialize)]
struct Row {
    #[serde(flatten)]
    kind: Kind,
    #[serde(flatten)]
    tally: Tally,
}

/// For which sink, and what the event is.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Kind {
    sink: String,
    event_type: String,
    status: String,
}

/// Looks at all that was received since then.
pub(super) fn run(
    loaded: &Loaded,
    journal: Option<&Path>,
    since: Timestamp,
    json: bool,
) -> Result<(), Failure> {
    let folder = journal.unwrap_or(&loaded.data_dir);
    there_is_one(folder, "; name its folder with --journal")?;
    let reader =
        Reader::open(folder).map_err(|error| Failure::new(code_of_journal(&error), error.to_string()))?;
    let difference = compare(&reader, &loaded.config, since)?;
    if json {
        output::json(&difference);
    } else {
        difference.print();
    }
    if difference.no_longer.is_empty() && difference.sources_gone.is_empty() {
        return Ok(());
    }
    Err(Failure::new(Code::Unreadable, String::new()))
}

fn compare(reader: &Reader, config: &Config, since: Timestamp) -> Result<Difference, Failure> {
    let failed = |error: vodrelay_core::JournalError| Failure::new(Code::Internal, error.to_string());
    let filter = KeptFilter { since: Some(since), ..KeptFilter::default() };
    let mut counting = Counting {
        routes: config.routes(),
        config,
        difference: Difference { since, ..Difference::default() },
        no_longer: BTreeMap::new(),
        newly: BTreeMap::new(),
    };
    let mut progress = Progress::of(Some(reader.totals().map_err(failed)?.events));
    let mut after = None;
    loop {
        let page = reader.kept(&filter, after, PAGE).map_err(failed)?;
        page.items.iter().for_each(|kept| counting.event(kept));
        let looked_at = counting.difference.events;
        progress.show(looked_at, &format!("looked at {looked_at} events"));
        after = page.next;
        if after.is_none() {
            return Ok(counting.finish());
        }
    }
}

struct Counting<'c> {
    routes: Routes,
    config: &'c Config,
    difference: Difference,
    no_longer: BTreeMap<Kind, Tally>,
    newly: BTreeMap<Kind, Tally>,
}

impl Counting<'_> {
    fn event(&mut self, kept: &Kept) {
        let envelope = &kept.envelope;
        self.difference.events += 1;
        let Some(labels) = self.config.labels_of(&envelope.source) else {
            let gone = self.difference.sources_gone.entry(envelope.source.clone()).or_default();
            return gone.add(envelope.id);
        };
        let Ok(routed) = self.routes.read(&envelope.body, &envelope.source, labels) else {
            self.difference.unreadable += 1;
            return;
        };
        let before: BTreeSet<&SinkName> = kept.deliveries.iter().map(|(sink, _)| sink).collect();
        let now: BTreeSet<&SinkName> = routed.sinks.iter().collect();
        if before == now {
            self.difference.unchanged += 1;
        } else if now.is_empty() {
            self.difference.nobody.add(envelope.id);
        }
        let kind = |sink: &SinkName| Kind {
            sink: sink.to_string(),
            event_type: routed.event.event_type.clone(),
            status: routed
                .event
                .status
                .as_ref()
                .map_or_else(|| "-".to_owned(), |status| status.as_str().to_owned()),
        };
        before.difference(&now).for_each(|sink| count(&mut self.no_longer, kind(sink), envelope.id));
        now.difference(&before).for_each(|sink| count(&mut self.newly, kind(sink), envelope.id));
    }

    fn finish(mut self) -> Difference {
        let rows = |kinds: BTreeMap<Kind, Tally>| {
            kinds.into_iter().map(|(kind, tally)| Row { kind, tally }).collect()
        };
        (self.difference.no_longer, self.difference.newly) = (rows(self.no_longer), rows(self.newly));
        self.difference
    }
}

fn count(kinds: &mut BTreeMap<Kind, Tally>, mut kind: Kind, id: EventId) {
    if kinds.len() >= MOST && !kinds.contains_key(&kind) {
        "(others)".clone_into(&mut kind.event_type);
    }
    kinds.entry(kind).or_default().add(id);
}

impl Tally {
    fn add(&mut self, id: EventId) {
        self.count += 1;
        self.example.get_or_insert(id);
    }

    fn example(&self) -> String {
        self.example.map_or_else(|| "-".to_owned(), |id| id.to_string())
    }
}

impl Difference {
    fn print(&self) {
        let mut table = Table::new([
            Column::whole("WOULD"),
            Column::text("SINK"),
            Column::text("TYPE"),
            Column::text("STATUS"),
            Column::number("EVENTS"),
            Column::whole("EXAMPLE"),
        ]);
        for (what, rows) in [("no longer get", &self.no_longer), ("newly get", &self.newly)] {
            for Row { kind: Kind { sink, event_type, status }, tally } in rows {
                table.row([
                    what.to_owned(),
                    sink.clone(),
                    event_type.clone(),
                    status.clone(),
                    tally.count.to_string(),
                    tally.example(),
                ]);
            }
        }
        table.print();
        for (source, tally) in &self.sources_gone {
            output::line(format!(
                "{source} is no longer configured, and {} events came by it, like {}; nothing more would",
                tally.count,
                tally.example()
            ));
        }
        if self.nobody.count > 0 {
            output::line(format!(
                "would reach no sink at all: {}, like {}",
                self.nobody.count,
                self.nobody.example()
            ));
        }
        let Self { since, events, unchanged, unreadable, .. } = self;
        let unreadable =
            if *unreadable > 0 { format!(", cannot be read: {unreadable}") } else { String::new() };
        output::line(format!(
            "events since {since:.0}: {events}, of which reach the same sinks: {unchanged}{unreadable}"
        ));
        if !self.no_longer.is_empty() {
            output::line(
                "`vodrelay explain EVENT_ID` with this configuration says why a sink does not get one",
            );
        }
    }
}
